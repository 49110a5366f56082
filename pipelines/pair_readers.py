"""Streaming readers for pairs of a source and a target: tables, and two line files."""

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path

from seqloom.pipelines.archives import open_member
from seqloom.pipelines.lines import Line, read_lines
from seqloom.pipelines.readers import Skipped
from seqloom.pipelines.text_tables import REMEDY, Column, name_them, shown
from seqloom.tasks.records import DataError, SentencePair

Found = SentencePair | str
"""A pair, or what is wrong and where."""


def read_pair_table(
    path: str | Path,
    source_column: Column = 0,
    target_column: Column = 1,
    on_error: str = "stop",
    skipped: Skipped | None = None,
) -> Iterator[SentencePair]:
    r"""Read a pair a line, its sides in columns between tabs (TSV).

        A red ball.     Ein roter Ball.         <- my.tsv

    gives `SentencePair("A red ball.", "Ein roter Ball.", "my.tsv:1")`.

    Args:
        path: UTF-8 text, plain or gzipped. Blank lines are passed over; quotes mean
            nothing.
        source_column: Number of the column from 0 on; or its name in the first line,
            which is no pair then.
        target_column: That of the target, of the same kind.
        on_error: "stop", or "skip" to drop a bad line.
        skipped: Counts what "skip" drops.

    Raises:
        UserError: The file is missing or cannot be read.
        DataError: A bad line (file, number, the line, the fix), a column that is not
            there, or no pair at all.
    """
    columns = {"data.source_column": source_column, "data.target_column": target_column}
    return _checked(path, _rows(path, columns), on_error, skipped)


def read_line_pairs(
    path: str | Path,
    target_path: str | Path,
    on_error: str = "stop",
    skipped: Skipped | None = None,
) -> Iterator[SentencePair]:
    """Read two files in step: line n of one is the source, of the other the target.

    Args:
        path: The sources, UTF-8 text, plain or gzipped.
        target_path: The targets. Where both lines are blank they are passed over.
        on_error: "stop", or "skip" to drop a bad pair.
        skipped: Counts what "skip" drops.

    Raises:
        UserError: A file is missing or cannot be read.
        DataError: A bad pair (file, number, the line, the fix), no pair at all, or
            files of different numbers of lines: no `on_error` helps then, as nobody
            can say where they part.
    """
    return _checked(path, _lines(path, target_path), on_error, skipped)


def read_tatoeba(
    path: str | Path, member: str, english_first: bool = True
) -> Iterator[SentencePair]:
    """Read a zip of sentence pairs of Tatoeba, as manythings.org gives them out.

        Go.     Va !    CC-BY 2.0 ...           <- fra.txt in fra-eng.zip

    Older files have no third column; it is not read.

    Args:
        path: The zip.
        member: The file inside.
        english_first: Whether English is the source, or else the target.

    Raises:
        UserError: A damaged zip, or no such file in it.
        DataError: A line of another form.
    """
    with open_member(path, member) as file:
        for number, raw in enumerate(file, start=1):
            where = f"{path}!{member}:{number}"
            text = raw.decode("utf-8", "replace").rstrip("\r\n")
            english, _, rest = text.partition("\t")
            other = rest.partition("\t")[0]
            if not english.strip() or not other.strip() or "\ufffd" in text:
                raise DataError(
                    f"{where}: {shown(text)}: no two sentences in UTF-8, parted by a "
                    "tab. The file is damaged or of another kind: replace it."
                )
            sides = (english, other) if english_first else (other, english)
            yield SentencePair(*sides, where)


def _checked(
    path: str | Path, found: Iterable[Found], on_error: str, skipped: Skipped | None
) -> Iterator[SentencePair]:
    """Pass pairs on; stop at, or count and drop, what is none."""
    skipped = Skipped(unit="pair") if skipped is None else skipped
    num_pairs, before = 0, skipped.count
    for item in found:
        if isinstance(item, SentencePair):
            num_pairs += 1
            yield item
        elif on_error == "stop":
            raise DataError(item)
        else:
            skipped.add(item)
    if not num_pairs:
        dropped = skipped.count - before
        why = (
            f"all {dropped} were dropped by data.on_error=skip, the first because: "
            f"{skipped.reasons[0] if skipped.reasons else ''}"
            if dropped
            else "the file is empty, or holds nothing below its first line. Give a "
            "file with a source and its target in every line"
        )
        raise DataError(f"{path}: no pairs: {why}.")


# === Tables ===


def _rows(path: str | Path, columns: dict[str, Column]) -> Iterator[Found]:
    indices: list[int] = []
    for line in read_lines(path):
        if not line.text.strip():
            continue
        where, cells = f"{path}:{line.number}", line.text.split("\t")
        if not indices:
            has_names = any(isinstance(column, str) for column in columns.values())
            indices = _indices(where, cells, columns)
            if has_names:
                continue
        problem = line.problem or _missing(cells, columns, indices)
        if not problem:
            source, target = (cells[index].strip() for index in indices)
            problem = _emptiness(source, target)
        if problem:
            yield f"{where}: {shown(line.text)}: {problem}"
        else:
            yield SentencePair(source, target, where)


def _indices(where: str, names: list[str], columns: dict[str, Column]) -> list[int]:
    names = [name.strip() for name in names]
    indices = []
    for key, column in columns.items():
        if isinstance(column, int):
            indices.append(column)
        elif names.count(column) == 1:
            indices.append(names.index(column))
        elif column in names:
            raise DataError(
                f"{where}: {names.count(column)} columns are called {column!r} "
                f"({key}). Rename all but one."
            )
        else:
            raise DataError(
                f"{where}: there is no column {column!r}. "
                f"{name_them(names, column, key)} They are what the first line says, "
                "parted by tabs; in a file without names set data.source_column and "
                "data.target_column to numbers from 0 on."
            )
    return indices


def _missing(cells: list[str], columns: dict[str, Column], indices: list[int]) -> str:
    if len(cells) == 1:
        return (
            "no tab: a line holds a source, a tab and its target. If the targets lie "
            "in a file of their own, name it as data.train_target, data.dev_target or "
            f"data.test_target. {REMEDY}"
        )
    for (key, column), index in zip(columns.items(), indices, strict=True):
        if index >= len(cells):
            return (
                f"only {len(cells)} columns (parted by tabs), too few for {key}="
                f"{column}. {REMEDY}"
            )
    return ""


def _emptiness(source: str, target: str) -> str:
    if not source or not target:
        return f"the {'target' if source else 'source'} is empty. {REMEDY}"
    return ""


# === Two line files ===


def _lines(path: str | Path, target_path: str | Path) -> Iterator[Found]:
    for source, target in zip_longest(read_lines(path), read_lines(target_path)):
        if source is None or target is None:
            raise _uneven(path, target_path)
        problem = _bad_line(path, source) or _bad_line(target_path, target)
        sides = source.text.strip(), target.text.strip()
        if problem:
            yield problem
        elif all(sides):
            yield SentencePair(*sides, f"{path}:{source.number}")
        elif any(sides):
            empty, full = (path, target_path) if sides[1] else (target_path, path)
            yield (
                f"{empty}:{source.number}: {_emptiness(*sides).removesuffix(REMEDY)}"
                f"The other side, {full}:{source.number}, is {shown(max(sides))}. "
                f"{REMEDY}"
            )


def _uneven(path: str | Path, target_path: str | Path) -> DataError:
    numbers = [sum(1 for _ in read_lines(file)) for file in (path, target_path)]
    return DataError(
        f"{path} has {numbers[0]:,} lines and {target_path} has {numbers[1]:,} lines: "
        "line n of one is the translation of line n of the other, so the numbers must "
        "be equal. Find the line that lacks its other side (look where the two begin "
        "to say different things) and add or remove it."
    )


def _bad_line(path: str | Path, line: Line) -> str:
    if line.problem:
        return f"{path}:{line.number}: {shown(line.text)}: {line.problem}"
    return ""
