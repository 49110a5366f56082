"""Readers for the sentiment corpora: rated snippets, and trees with rated phrases."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from seqloom.pipelines.lines import Line, read_lines
from seqloom.tasks.records import DataError, LabelledText

# A mean rating from -4 to 4 between these two is neutral.
_NEGATIVE, _POSITIVE = -0.5, 0.5
_BRACKETS = {
    "-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}",
}  # fmt: skip
_ESCAPED = re.compile(r"\\([/*])")
_PARTS = re.compile(r"[()]|[^\s()]+")


def read_snippets(path: str | Path) -> Iterator[LabelledText]:
    r"""Read snippets with the mean of twenty people's ratings of each.

        1    2.26666666667    The Rock is destined ...

    (parted by tabs) gives `LabelledText("The Rock is destined ...", "positive", ...)`:
    a mean <= -0.5 is negative, >= 0.5 positive, what is between neutral.

    Raises:
        DataError: A line of another form.

    Reference: Hutto & Gilbert 2014, VADER, ICWSM, section 4.
    """
    for line in read_lines(path):
        parts = line.text.split("\t")
        try:
            if line.problem or len(parts) != 3 or not parts[2].strip():
                raise ValueError
            mean = float(parts[1])
        except ValueError:
            raise _bad(
                path, line, "no number, rating and text, parted by tabs"
            ) from None
        label = "neutral"
        if mean <= _NEGATIVE:
            label = "negative"
        elif mean >= _POSITIVE:
            label = "positive"
        yield LabelledText(parts[2], label, f"{path}:{line.number}")


class Phrase(NamedTuple):
    """A node of a tree: its rating from 0 to 4, and the words below it."""

    rating: int
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(self.words)


def read_trees(
    path: str | Path, labels: Mapping[int, str], phrases: bool = False
) -> Iterator[LabelledText]:
    """Read a tree a line, with a rating from 0 to 4 at every node.

        (3 (2 A) (3 (4 fine) (2 film)))

    gives the sentence `LabelledText("A fine film", "positive", ...)` if `labels` is
    `{3: "positive", ...}`, and with `phrases` "A", "fine film", "fine" and "film" too.

    Args:
        labels: Rating -> label. What has another rating is left out.
        phrases: Also yield the phrases below the sentence, each text once.

    Raises:
        DataError: A line that is no such tree.

    Reference: Socher et al. 2013, https://aclanthology.org/D13-1170.
    """
    seen: set[str] = set()
    for line in read_lines(path):
        if not line.text.strip():
            continue
        try:
            if line.problem:
                raise ValueError(line.problem)
            nodes = parse_tree(line.text)
        except ValueError as error:
            raise _bad(path, line, str(error)) from None
        for node in reversed(nodes) if phrases else nodes[-1:]:
            if node.rating not in labels or (phrases and node.text in seen):
                continue
            if phrases:
                seen.add(node.text)
            where = f"{path}:{line.number}"
            yield LabelledText(node.text, labels[node.rating], where)


def parse_tree(line: str) -> list[Phrase]:
    """The nodes of a bracketed tree, each after those below it; the sentence is last.

    Brackets and slashes come out of their escapes ("-LRB-" is "(", "\\/" is "/").

    Raises:
        ValueError: What is wrong with the line.
    """
    parts = iter(_PARTS.findall(line))
    words: list[str] = []
    open_nodes: list[tuple[int, int]] = []  # rating, number of words before it
    nodes: list[Phrase] = []
    for part in parts:
        if nodes and not open_nodes:
            raise ValueError(f"{part!r} stands after the end of the tree")
        if part == "(":
            rating = next(parts, "nothing")
            if rating not in set("01234"):
                raise ValueError(f"{rating!r} where a rating from 0 to 4 is expected")
            open_nodes.append((int(rating), len(words)))
        elif not open_nodes:
            raise ValueError(f"{part!r} where a tree, (rating ...), is expected")
        elif part == ")":
            rating_, start = open_nodes.pop()
            if start == len(words):
                raise ValueError("a node without a word")
            nodes.append(Phrase(rating_, tuple(words[start:])))
        else:
            words.append(_ESCAPED.sub(r"\1", _BRACKETS.get(part, part)))
    if open_nodes or not nodes:
        raise ValueError(f"{len(open_nodes)} brackets are not closed")
    return nodes


def _bad(path: str | Path, line: Line, why: str) -> DataError:
    shown = line.text if len(line.text) <= 80 else line.text[:80] + "..."
    return DataError(
        f"{path}:{line.number}: {shown!r}: {line.problem or why}. The file is damaged "
        "or of another kind: replace it, or read it as your own with data.train."
    )
