"""The `predict` command: texts or images from the command line, a file, or a pipe."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from seqloom.pipelines import figures
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.predict_images import caption_images, draw_looks, image_paths
from seqloom.pipelines.render import show_prediction, to_json
from seqloom.pipelines.render_translations import check_figure_path, draw_attention
from seqloom.pipelines.trained import load
from seqloom.tasks.alignment_figure import MOST_EXAMPLES

LINES_AT_ONCE = 1024


def predict_command(
    run_dir: Path,
    texts: Sequence[str],
    file: str | None = None,
    as_json: bool = False,
    attention: Path | None = None,
    **options: Any,
) -> None:
    """Print the answers to texts or images, a line or a JSON object for each.

    Args:
        texts: Of a captioner, paths of images and of folders of them.
        file: A file with one a line, `-` for standard input, instead of `texts`.
        attention: Where to draw what the first translations or captions looked at.
        options: As in `Trained.predict`.

    Raises:
        SystemExit: With status 2, after all others, if an image cannot be read.
    """
    if attention is not None:
        check_figure_path(attention)
        options["attention"] = True
    trained = load(run_dir)
    console = Console(highlight=False, soft_wrap=True)
    drawn: list[dict] = []
    given = texts if file is None else _lines(file)
    if trained.task.name == "captioning":
        rows = caption_images(trained, image_paths(given), **options)
    else:
        rows = trained.stream(given, LINES_AT_ONCE, **options)
    failed = False
    with _progress(console, file) as advance:
        for number, row in enumerate(rows, start=1):
            _show(console, number, row, as_json)
            failed |= bool(row.get("error"))
            if attention and row.get("attention") and len(drawn) < MOST_EXAMPLES:
                drawn.append(row)
            advance()
    if attention is not None:
        _draw(drawn, attention)
    if failed:
        raise SystemExit(2)


def _show(console: Console, number: int, row: dict, as_json: bool) -> None:
    if as_json:
        print(to_json(row))
        return
    show_prediction(console, row)
    if row.get("error"):
        print(f"error: {row['error']}", file=sys.stderr)
    # On its line there is no room for that, when it is piped.
    if "translation" in row and row["truncated"] and not console.is_terminal:
        print(f"Text {number} is too long: its end was not read.", file=sys.stderr)


def _draw(rows: Sequence[dict], path: Path) -> None:
    if not rows:
        print(f"Nothing was written: {path} is not drawn.", file=sys.stderr)
        return
    try:
        draw = draw_looks if "image" in rows[0] else draw_attention
        figures.save(draw(rows), path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error}. Name another.") from error
    print(f"Drawn: {path}, of {len(rows)}", file=sys.stderr)


@contextmanager
def _progress(console: Console, file: str | None) -> Iterator[Callable[[], None]]:
    """A bar on the terminal while answers go elsewhere; gives what counts a line."""
    beside = Console(stderr=True)
    seen = file is not None and beside.is_terminal and not console.is_terminal
    columns = [BarColumn(), MofNCompleteColumn()]
    columns += [TextColumn("lines, {task.fields[rate]:,.0f} a second")]
    columns += [TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()]
    with Progress(*columns, console=beside, disable=not seen, transient=True) as bar:
        total = _count_lines(file) if seen and file not in (None, "-") else None
        task = bar.add_task("", total=total, rate=0.0)
        started = time.monotonic()

        def advance() -> None:
            done = bar.tasks[task].completed + 1
            rate = done / max(time.monotonic() - started, 1e-9)
            bar.update(task, completed=done, rate=rate)

        yield advance


def _count_lines(file: str) -> int:
    with Path(file).open("rb") as stream:
        return sum(1 for _ in stream)


def _lines(file: str) -> Iterator[str]:
    if file == "-":
        yield from _decoded(sys.stdin.buffer, "standard input")
        return
    with Path(file).open("rb") as stream:
        yield from _decoded(stream, file)


def _decoded(stream: Iterable[bytes], name: str) -> Iterator[str]:
    for number, line in enumerate(stream, start=1):
        try:
            yield line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{name}, line {number}: not UTF-8 ({error.reason} at byte "
                f"{error.start}): {line[:60]!r}. Convert it, for example with "
                "`iconv -f latin1 -t utf-8`."
            ) from error
