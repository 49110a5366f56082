"""The records that tasks are handed: plain data that knows no file and no config."""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


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


class ReadableImage(Protocol):
    """Where an encoded image is; its bytes are read when they are needed."""

    def read(self) -> bytes:
        """The bytes of a JPEG or PNG file."""
        ...


@dataclass(frozen=True)
class ImageBytes:
    """An image that is held in memory: one that was made, or sent to be captioned."""

    data: bytes = field(repr=False)

    def read(self) -> bytes:
        return self.data


class CaptionedImage(NamedTuple):
    """An image and what people say of it.

    `image` tells where the bytes are and reads them when asked, so that thirty thousand
    records fit into memory: `ImageBytes` here, or a file, or a file in a zip, which
    `seqloom.pipelines.image_files.ImageFile` opens. `name` is what the captions call
    the image; `where` is as for `TaggedSentence`, the line of the first caption.

        CaptionedImage(
            image=ImageFile("images/dogs/1.jpg"),
            captions=("Two dogs run.", "Dogs on a meadow."),
            name="dogs/1.jpg",
            where="my.csv:2",
        )
    """

    image: ReadableImage
    captions: tuple[str, ...]
    name: str = ""
    where: str = ""
