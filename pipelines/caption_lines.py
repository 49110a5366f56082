"""What the readers of captions hand on: a line's, and an image's."""

from typing import NamedTuple


class CaptionLine(NamedTuple):
    """What one line or entry of a file says of an image; or what is wrong with it.

    `split` is "train", "dev" or "test" in files that have splits of their own.
    """

    where: str
    source: str
    name: str = ""
    captions: tuple[str, ...] = ()
    split: str = ""
    problem: str = ""


class ImageCaptions(NamedTuple):
    """An image's name and all its captions; `where` is its first line."""

    name: str
    captions: tuple[str, ...]
    where: str
    split: str = ""
