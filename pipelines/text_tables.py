"""Tables of labelled texts, TSV and CSV: from lines to pairs of text and label."""

import csv
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from seqloom.pipelines.lines import read_lines
from seqloom.tasks.records import DataError

_SEPARATORS = {"tsv": "tabs", "csv": "commas"}
REMEDY = "Correct it, or set data.on_error=skip to drop it."
# Above csv's own limit of 131,072 characters, and below what a quote that is never
# closed would swallow of a large file.
_LONGEST_CELL = 10_000_000

Column = int | str


class Pair(NamedTuple):
    """A text and its label, not yet checked; or what is wrong with them."""

    number: int
    source: str
    text: str = ""
    label: str = ""
    problem: str = ""


class _Row(NamedTuple):
    """A row of a table: number and text of its line, its cells or what is wrong."""

    number: int
    source: str
    cells: list[str]
    problem: str = ""


def read_table(
    path: str | Path, layout: str, columns: Mapping[str, Column]
) -> Iterator[Pair]:
    """The pairs of a table, with what is wrong where something is.

    Args:
        layout: "tsv" or "csv".
        columns: Setting -> name or number of its column: first of the text, then of
            the label.

    Raises:
        DataError: What is no matter of one row: a column that is not there, a first
            line that cannot be read, a quote that is never closed.
    """
    rows = _tsv_rows(path) if layout == "tsv" else _csv_rows(path)
    separator = _SEPARATORS[layout]
    first = next(rows, None)
    if first is None:
        return
    if first.problem:
        raise DataError(
            f"{path}:{first.number}: {shown(first.source)}: {first.problem}"
        )
    has_names = any(isinstance(column, str) for column in columns.values())
    find = _by_name if has_names else _by_number
    indices = [find(path, first, key, columns[key], separator) for key in columns]
    for row in rows if has_names else chain([first], rows):
        problem = row.problem
        if not problem and len(row.cells) != len(first.cells):
            problem = (
                f"{_count(len(row.cells))} where line {first.number} has "
                f"{len(first.cells)} (parted by {separator}). {REMEDY}"
            )
        if problem:
            yield Pair(row.number, row.source, problem=problem)
            continue
        text, label = (row.cells[index] for index in indices)
        yield Pair(row.number, row.source, text, label.strip())


def _tsv_rows(path: str | Path) -> Iterator[_Row]:
    for line in read_lines(path):
        if line.text.strip(" "):
            cells = line.text.split("\t")
            yield _Row(line.number, line.text, cells, line.problem)


def _csv_rows(path: str | Path) -> Iterator[_Row]:
    # The limit is one of the whole process: never lower it.
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    source: list[str] = []
    problems: list[str] = []

    def lines() -> Iterator[str]:
        for line in read_lines(path):
            source.append(line.text)
            if line.problem:
                problems.append(line.problem)
            yield line.text + "\n"

    reader = csv.reader(lines(), strict=True)
    while True:
        number = reader.line_num + 1
        source.clear()
        problems.clear()
        cells: list[str] = []
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error) or "field limit" in str(error):
                # Not a matter of one row: on_error=skip would drop all the rest.
                raise DataError(
                    f"{path}:{number}: {shown(source[0])}: a quote is opened here "
                    "and never closed. Close it, and write a quote inside a quoted "
                    'cell twice (""); for a file whose quotes mean nothing, parted by '
                    "tabs, set data.format=tsv."
                ) from None
            problems.append(
                f'no CSV ({error}): write a quote inside a quoted cell twice (""). '
                f"{REMEDY}"
            )
        if cells or problems:
            yield _Row(number, "\n".join(source), cells, " ".join(problems[:1]))


def _by_name(
    path: str | Path, first: _Row, key: str, column: Column, separator: str
) -> int:
    names = [name.strip() for name in first.cells]
    if names.count(str(column)) == 1:
        return names.index(str(column))
    if column in names:
        raise DataError(
            f"{path}:{first.number}: {names.count(str(column))} columns are called "
            f"{column!r} ({key}). Rename all but one."
        )
    raise DataError(
        f"{path}:{first.number}: there is no column {column!r}. "
        f"{name_them(names, column, key)} They are what the first line says, parted by "
        f"{separator}; in a file without names set data.text_column and "
        "data.label_column to numbers from 0 on."
    )


def _by_number(
    path: str | Path, first: _Row, key: str, column: Column, separator: str
) -> int:
    if int(column) < len(first.cells):
        return int(column)
    raise DataError(
        f"{path}:{first.number}: {shown(first.source)}: {key}={column}, but the line "
        f"has only {_count(len(first.cells))} (parted by {separator}). Columns count "
        f"from 0: give a number from 0 to {len(first.cells) - 1}."
    )


def name_them(names: list[str], wanted: Column, key: str) -> str:
    """Which columns there are, and which may be meant."""
    near = get_close_matches(str(wanted), names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(repr(name) for name in names[:20]) or "none"
    return f"The names are: {listed}.{hint} Set {key} to the right one."


def shown(text: str, width: int = 80) -> str:
    return repr(text if len(text) <= width else text[:width] + "...")


def _count(num_columns: int) -> str:
    return f"{num_columns} column{'s' if num_columns != 1 else ''}"
