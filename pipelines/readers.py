"""Streaming readers for tagged text: CoNLL columns and CoNLL-U.

Both are generators that hold one sentence at a time. Lines end at "\\n" only (as in
both formats), never at the other characters that `str.splitlines` takes for line
ends, and columns are split at tabs or at ASCII blanks only: a token may be or hold a
no-break space.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from seqloom.pipelines.lines import Line, read_lines
from seqloom.tasks.records import DataError, TaggedSentence

logger = logging.getLogger(__name__)

CONLLU_COLUMNS = (
    "ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC",
)  # fmt: skip
_ID = re.compile(r"[1-9][0-9]*(-[1-9][0-9]*)?|[0-9]+\.[1-9][0-9]*")
_REMEDY = "Correct the line, or set data.on_error=skip to drop its sentence."


@dataclass
class Skipped:
    """Counts the records that `on_error="skip"` drops and keeps the first reasons."""

    count: int = 0
    reasons: list[str] = field(default_factory=list)
    unit: str = "sentence"

    def add(self, reason: str) -> None:
        self.count += 1
        if len(self.reasons) < 20:
            self.reasons.append(reason)
            logger.warning("Skipped a %s: %s", self.unit, reason)


def read_conll(
    path: str | Path,
    token_column: int = 0,
    tag_column: int | str | None = None,
    on_error: str = "stop",
    skipped: Skipped | None = None,
) -> Iterator[TaggedSentence]:
    """Read CoNLL columns: a token a line, blank lines between sentences.

        EU      NNP  B-ORG
        rejects VBZ  O
                                  <- a blank line ends the sentence
        Peter   NNP  B-PER

    with the defaults gives
    `TaggedSentence(("EU", "rejects"), ("B-ORG", "O"), "my.conll:1")` and
    `TaggedSentence(("Peter",), ("B-PER",), "my.conll:4")`.

    Args:
        path: UTF-8 text, plain or gzipped. A file whose first line holds a tab is
            split at tabs, any other at runs of ASCII blanks. `-DOCSTART-` lines are
            passed over.
        token_column: Index of the tokens; negative counts from the end.
        tag_column: Index of the tags. Defaults to the last column.
        on_error: "stop", or "skip" to drop a sentence that holds a bad line.
        skipped: Counts what "skip" drops.

    Raises:
        DataError: A bad line (file, number, the line, the fix), or no sentence at all.
    """
    rows = _ConllRows(path, token_column, tag_column)
    yield from _sentences(path, read_lines(path), rows, on_error, skipped)


def read_conllu(
    path: str | Path,
    tag_column: int | str | None = "UPOS",
    token_column: int | str = "FORM",
    on_error: str = "stop",
    skipped: Skipped | None = None,
) -> Iterator[TaggedSentence]:
    """Read CoNLL-U: ten tab-separated columns, comments, a blank line after a sentence.

    The words are what the treebank annotates: a multiword token's line ("1-2 don't")
    gives way to the lines of its words ("1 do", "2 n't"), and empty nodes ("8.1")
    are passed over. Columns go by name (`CONLLU_COLUMNS`) or index.

    Raises:
        DataError: As `read_conll`; also IDs out of order and a tag left out ("_").

    Reference: https://universaldependencies.org/format.html
    """
    rows = _ConlluRows(path, token_column, tag_column)
    yield from _sentences(path, read_lines(path), rows, on_error, skipped)


def detect_format(path: str | Path) -> str:
    """Tell "conllu" from "conll" by the name, else by the first line with columns."""
    name = str(path).removesuffix(".gz")
    if name.endswith(".conllu"):
        return "conllu"
    for line in read_lines(path):
        if line.text.strip(" \t") and not line.text.startswith("#"):
            columns = line.text.split("\t")
            is_conllu = len(columns) == 10 and _ID.fullmatch(columns[0])
            return "conllu" if is_conllu else "conll"
    return "conll"


class _BadLine(Exception):
    """A line that cannot be used; the message says why and how to fix it."""


class _ConllRows:
    """Cut a line of CoNLL columns into token and tag."""

    def __init__(
        self,
        path: str | Path,
        token_column: int | str,
        tag_column: int | str | None,
    ) -> None:
        self.columns: dict[str, int] = {}
        wanted = {
            "token": token_column,
            "tag": -1 if tag_column is None else tag_column,
        }
        for name, column in wanted.items():
            if not isinstance(column, int):
                raise DataError(
                    f"data.{name}_column={column!r}: the columns of {path} have no "
                    "names, since it is read as CoNLL columns. Give a number from 0 "
                    "on, or set data.format=conllu."
                )
            self.columns[f"data.{name}_column"] = column
        self.separator: str | None = None
        self.width = self.first_line = 0

    def is_boundary(self, text: str) -> bool:
        return not text.strip(" \t") or re.match(r"-DOCSTART-(\s|$)", text) is not None

    def is_passed_over(self, text: str) -> bool:
        return False

    def cut(self, line: Line, position: int) -> tuple[str, str] | None:
        if self.separator is None:
            self.separator = "\t" if "\t" in line.text else " "
        columns = line.text.split(self.separator)
        if self.separator == " ":
            columns = [column for column in columns if column]
        if not self.width:
            self.width, self.first_line = len(columns), line.number
            self._check_columns(line)
        if len(columns) != self.width:
            hint = ""
            if line.text.startswith("#"):
                hint = " CoNLL columns know no comments; CoNLL-U does."
            raise _BadLine(
                f"{_count(len(columns))} where the first line with columns, line "
                f"{self.first_line}, has {self.width} "
                f"(split at {'tabs' if self.separator == chr(9) else 'blanks'}). "
                f"{_REMEDY}{hint}"
            )
        token, tag = (columns[column] for column in self.columns.values())
        if not token or not tag:
            raise _BadLine(f"the {'tag' if token else 'token'} is empty. {_REMEDY}")
        return token, tag

    def _check_columns(self, line: Line) -> None:
        for key, column in self.columns.items():
            if not -self.width <= column < self.width:
                # Not a matter of one sentence: on_error=skip would drop them all.
                raise DataError(
                    f"{key}={column}, but line {line.number} has only "
                    f"{_count(self.width)}: {_shown(line.text)}. Columns count from 0: "
                    f"give a number from 0 to {self.width - 1}."
                )


class _ConlluRows:
    """Cut a line of CoNLL-U into token and tag."""

    def __init__(
        self,
        path: str | Path,
        token_column: int | str,
        tag_column: int | str | None,
    ) -> None:
        self.token = _conllu_index("data.token_column", token_column)
        self.tag = _conllu_index("data.tag_column", tag_column or "UPOS")

    def is_boundary(self, text: str) -> bool:
        return not text.strip(" \t")

    def is_passed_over(self, text: str) -> bool:
        return text.startswith("#")

    def cut(self, line: Line, position: int) -> tuple[str, str] | None:
        columns = line.text.split("\t")
        if len(columns) != 10:
            raise _BadLine(
                f"{_count(len(columns))} where CoNLL-U has 10, separated by tabs. "
                f"{_REMEDY} For other columns set data.format=conll."
            )
        number = columns[0]
        if not _ID.fullmatch(number):
            raise _BadLine(f"ID {number!r} is no CoNLL-U ID (1, 1-2 or 1.1). {_REMEDY}")
        if "-" in number or "." in number:
            return None
        if int(number) != position:
            raise _BadLine(
                f"ID {number} where {position} comes next: a word is missing, or the "
                f"blank line between two sentences. {_REMEDY}"
            )
        token, tag = columns[self.token], columns[self.tag]
        if not token:
            raise _BadLine(f"the token is empty. {_REMEDY}")
        if tag in ("", "_"):
            name = CONLLU_COLUMNS[self.tag]
            raise _BadLine(f"no tag in column {name} ({tag!r}). {_REMEDY}")
        return token, tag


def _conllu_index(key: str, column: int | str) -> int:
    names = {name.lower(): index for index, name in enumerate(CONLLU_COLUMNS)}
    if isinstance(column, int) and -10 <= column < 10:
        return column
    if isinstance(column, str) and column.lower() in names:
        return names[column.lower()]
    raise DataError(
        f"{key}={column!r} is no column of CoNLL-U. Give a number from 0 to 9 or one "
        f"of {', '.join(CONLLU_COLUMNS)}."
    )


def _sentences(
    path: str | Path,
    lines: Iterable[Line],
    rows: _ConllRows | _ConlluRows,
    on_error: str,
    skipped: Skipped | None,
) -> Iterator[TaggedSentence]:
    skipped = Skipped() if skipped is None else skipped
    num_sentences, before = 0, skipped.count
    for sentence in _group(path, lines, rows, on_error, skipped):
        num_sentences += 1
        yield sentence
    if not num_sentences:
        dropped = skipped.count - before
        why = (
            f"all {dropped} were dropped by data.on_error=skip, the first because: "
            f"{skipped.reasons[0] if skipped.reasons else ''}"
            if dropped
            else "the file is empty or holds only blank lines and comments. Give a "
            "file with one token a line and a blank line after every sentence"
        )
        raise DataError(f"{path}: no sentences: {why}.")


def _group(
    path: str | Path,
    lines: Iterable[Line],
    rows: _ConllRows | _ConlluRows,
    on_error: str,
    skipped: Skipped,
) -> Iterator[TaggedSentence]:
    tokens: list[str] = []
    tags: list[str] = []
    start, problem = 0, ""
    for line in _closed(lines):
        if not line.problem and rows.is_boundary(line.text):
            if problem:
                skipped.add(problem)
            elif tokens:
                yield TaggedSentence(tuple(tokens), tuple(tags), f"{path}:{start}")
            tokens, tags, problem = [], [], ""
            continue
        if problem or (not line.problem and rows.is_passed_over(line.text)):
            continue
        try:
            if line.problem:
                raise _BadLine(line.problem)
            row = rows.cut(line, len(tokens) + 1)
        except _BadLine as error:
            problem = f"{path}:{line.number}: {_shown(line.text)}: {error}"
            if on_error == "stop":
                raise DataError(problem) from None
            continue
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        if row:
            start = start if tokens else line.number
            tokens.append(row[0])
            tags.append(row[1])


def _closed(lines: Iterable[Line]) -> Iterator[Line]:
    yield from lines
    yield Line(0, "")  # the end of the file ends a sentence, too


def _shown(text: str, width: int = 80) -> str:
    return repr(text if len(text) <= width else text[:width] + "...")


def _count(num_columns: int) -> str:
    return f"{num_columns} column{'s' if num_columns != 1 else ''}"
