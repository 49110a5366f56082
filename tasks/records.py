"""The records that tasks are handed: plain data that knows no file and no config."""

from typing import NamedTuple


class DataError(ValueError):
    """Bad data: what is wrong, in which file and line, and how to fix it."""


class TaggedSentence(NamedTuple):
    """One sentence with one tag for every token.

    `where` is "path:line" of the first token, so that an error found long after
    reading can still name the place; it is empty for sentences that no file holds.

        TaggedSentence(
            tokens=("Rhea", "met", "Ada"),
            tags=("B-PER", "O", "B-PER"),
            where="my.conll:1",
        )
    """

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    where: str = ""


class LabelledText(NamedTuple):
    """One text with the label of the whole.

    `where` is as for `TaggedSentence`.

        LabelledText(text="A fine film.", label="positive", where="my.tsv:2")
    """

    text: str
    label: str
    where: str = ""


class SentencePair(NamedTuple):
    """A sentence and its translation; any text and what is to be made of it.

    `where` is as for `TaggedSentence`.

        SentencePair(source="A red ball.", target="Ein roter Ball.", where="my.tsv:2")
    """

    source: str
    target: str
    where: str = ""
