"""The `predict` command: texts from the command line, a file, or standard input."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console

from seqloom.pipelines.errors import UserError
from seqloom.pipelines.render import show_prediction, to_json
from seqloom.pipelines.trained import load

LINES_AT_ONCE = 1024


def predict_command(
    run_dir: Path, texts: Sequence[str], file: str | None = None, as_json: bool = False
) -> None:
    """Print the answers to texts, a line or a JSON object for each.

    Args:
        file: A file with a text a line, `-` for standard input, instead of `texts`.
    """
    trained = load(run_dir)
    console = Console(highlight=False, soft_wrap=True)
    for part in _parts(texts if file is None else _lines(file)):
        for row in trained.predict(part):
            if as_json:
                print(to_json(row))
            else:
                show_prediction(console, row)


def _parts(texts: Iterable[str]) -> Iterator[list[str]]:
    """Lists of texts: large for speed, so that a long file is never held whole."""
    part: list[str] = []
    for text in texts:
        part.append(text)
        if len(part) == LINES_AT_ONCE:
            yield part
            part = []
    if part:
        yield part


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
