"""What a person sees while images are encoded."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

Done = Callable[[int], None]


@contextmanager
def encoding_bar(total: int, console: Console | None = None) -> Iterator[Done]:
    """A bar over so many images, with images a second and the time left.

    Gives what is told how many are done. Off a terminal nothing is drawn.
    """
    console = console or Console(stderr=True)
    with Progress(
        TextColumn("images"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:,.0f} images/s"),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as bar:
        task = bar.add_task("", total=total, rate=0.0)
        start = time.perf_counter()

        def update(done: int) -> None:
            rate = done / (time.perf_counter() - start)
            bar.update(task, completed=done, rate=rate)

        yield update
