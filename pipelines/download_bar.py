"""What a person sees while a corpus is fetched."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TransferSpeedColumn,
)

from seqloom.pipelines import sources


@contextmanager
def download_bar(console: Console | None = None) -> Iterator[sources.Progress]:
    """Gives the callback that `load_splits` takes: one bar for each file.

    Off a terminal nothing is drawn.
    """
    console = console or Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    files: dict[str, TaskID] = {}
    with Progress(
        *columns,
        TransferSpeedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as bar:

        def update(name: str, done: int, total: int) -> None:
            if name not in files:
                files[name] = bar.add_task(name, total=None)
            bar.update(files[name], completed=done, total=total or None)

        yield update
