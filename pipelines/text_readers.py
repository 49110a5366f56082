"""Streaming readers for labelled texts of one's own: TSV, CSV and JSON Lines.

Each text has one label, any word. Columns go by the names in the first line, or by
numbers from 0 on in a file without such a line; JSON Lines have names only.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from seqloom.pipelines.lines import read_lines
from seqloom.pipelines.readers import Skipped
from seqloom.pipelines.text_tables import (
    REMEDY,
    Column,
    Pair,
    name_them,
    read_table,
    shown,
)
from seqloom.tasks.records import DataError, LabelledText

SUFFIXES = {
    ".tsv": "tsv",
    ".tab": "tsv",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}


def read_texts(
    path: str | Path,
    layout: str = "auto",
    text_column: Column = "text",
    label_column: Column = "label",
    on_error: str = "stop",
    skipped: Skipped | None = None,
) -> Iterator[LabelledText]:
    r"""Read labelled texts, one after the other.

        text        label                 <- my.tsv
        A fine film.    positive

        text,label                        <- my.csv
        "A fine, fine film.",positive

        {"text": "A fine film.", "label": "positive"}         <- my.jsonl

    The first gives `LabelledText("A fine film.", "positive", "my.tsv:2")`.

    Args:
        path: UTF-8 text, plain or gzipped.
        layout: "tsv" (cells between tabs; quotes mean nothing), "csv" (cells between
            commas; quoted ones may hold commas, quotes and line ends), "jsonl" (an
            object a line), or "auto": see `detect_text_format`.
        text_column: Name or number of the column of the text.
        label_column: That of the label, of the same kind.
        on_error: "stop", or "skip" to drop a bad line.
        skipped: Counts what "skip" drops.

    Raises:
        UserError: The file is missing or cannot be read.
        DataError: A bad line (file, number, the line, the fix), a column that is not
            there, or no text at all.
    """
    skipped = Skipped(unit="text") if skipped is None else skipped
    if layout == "auto":
        layout = detect_text_format(path)
    columns = {"data.text_column": text_column, "data.label_column": label_column}
    if layout == "jsonl":
        pairs = _objects(path, columns)
    else:
        pairs = read_table(path, layout, columns)
    return _checked(path, pairs, on_error, skipped)


def detect_text_format(path: str | Path) -> str:
    """Tell the layout by the file's name, else by its first line."""
    suffix = Path(str(path).removesuffix(".gz")).suffix.lower()
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    for line in read_lines(path):
        if line.text.strip():
            is_json = line.text.lstrip().startswith("{")
            return "jsonl" if is_json else "tsv" if "\t" in line.text else "csv"
    return "tsv"


def _checked(
    path: str | Path, pairs: Iterable[Pair], on_error: str, skipped: Skipped
) -> Iterator[LabelledText]:
    """Make records of pairs; stop at, or count and drop, those that are none."""
    num_texts, before = 0, skipped.count
    for pair in pairs:
        problem = pair.problem or _emptiness(pair)
        if not problem:
            num_texts += 1
            yield LabelledText(pair.text, pair.label, f"{path}:{pair.number}")
            continue
        problem = f"{path}:{pair.number}: {shown(pair.source)}: {problem}"
        if on_error == "stop":
            raise DataError(problem)
        skipped.add(problem)
    if not num_texts:
        dropped = skipped.count - before
        why = (
            f"all {dropped} were dropped by data.on_error=skip, the first because: "
            f"{skipped.reasons[0] if skipped.reasons else ''}"
            if dropped
            else "the file is empty, or holds nothing below its first line. Give a "
            "file with a text and its label in every line"
        )
        raise DataError(f"{path}: no texts: {why}.")


def _emptiness(pair: Pair) -> str:
    if not pair.text.strip():
        return f"the text is empty. {REMEDY}"
    if not pair.label:
        return f"the label is empty. {REMEDY}"
    return ""


# === JSON Lines ===


def _objects(path: str | Path, columns: dict[str, Column]) -> Iterator[Pair]:
    for key, column in columns.items():
        if not isinstance(column, str):
            raise DataError(
                f"{key}={column}: the values of {path} have names, not numbers, since "
                f"it is read as JSON Lines. Set {key} to a name, or data.format."
            )
    for line in read_lines(path):
        if not line.text.strip():
            continue
        pair = Pair(line.number, line.text)
        try:
            if line.problem:
                raise _BadObject(line.problem)
            value = _object(line.text)
            text, label = (_member(value, key, str(columns[key])) for key in columns)
        except _BadObject as error:
            yield pair._replace(problem=str(error))
            continue
        yield pair._replace(text=text, label=label.strip())


class _BadObject(Exception):
    """What is wrong with a line."""


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise _BadObject(
            f"no JSON: {error.msg} at column {error.colno}. Every line holds one "
            f'object, such as {{"text": "...", "label": "..."}}. {REMEDY}'
        ) from None
    except (ValueError, RecursionError) as error:  # huge numbers, endless nesting
        raise _BadObject(f"no JSON that can be read: {error}. {REMEDY}") from None
    if not isinstance(value, dict):
        raise _BadObject(
            f"a {_kind(value)} where an object is wanted, such as "
            f'{{"text": "...", "label": "..."}}. {REMEDY}'
        )
    return value


def _member(value: dict[str, Any], key: str, name: str) -> str:
    if name not in value:
        raise _BadObject(f"there is no {name!r}. {name_them(list(value), name, key)}")
    found = value[name]
    if key == "data.label_column" and isinstance(found, int):  # true and false, too
        return json.dumps(found)
    if not isinstance(found, str):
        wanted = "a text" if key == "data.text_column" else "a text or a whole number"
        raise _BadObject(f"{name!r} must be {wanted}, got {_kind(found)}. {REMEDY}")
    try:
        found.encode("utf-8")
    except UnicodeEncodeError:
        raise _BadObject(
            f"{name!r} holds half a character (a lone surrogate, such as \\ud83d "
            f"without its other half). {REMEDY}"
        ) from None
    return found


def _kind(value: Any) -> str:
    kinds = {list: "list", dict: "object", str: "text", type(None): "null"}
    return kinds.get(type(value), json.dumps(value))
