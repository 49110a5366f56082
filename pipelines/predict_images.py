"""Captions of images for the `predict` command: files and folders in, rows out."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from seqloom.pipelines.errors import UserError
from seqloom.pipelines.image_files import ImageFile, check_image
from seqloom.pipelines.trained import Trained
from seqloom.tasks.caption_attention import attention_by_word, words_of
from seqloom.tasks.caption_inside import small_image
from seqloom.tasks.caption_sheet import CaptionedPicture, contact_sheet
from seqloom.tasks.records import DataError

SUFFIXES = (".jpg", ".jpeg", ".png")
IMAGES_AT_ONCE = 32


def image_paths(names: Iterable[str]) -> Iterator[str]:
    """The given files; of a folder, its JPEG and PNG files by name.

    Raises:
        UserError: A folder has none.
    """
    for name in names:
        folder = Path(name)
        if not folder.is_dir():
            yield name
            continue
        inside = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
        if not inside:
            raise UserError(
                f"The folder {name} has no image: no file that ends with "
                f"{', '.join(SUFFIXES)}. Name another, or the files themselves."
            )
        yield from map(str, inside)


def caption_images(trained: Trained, paths: Iterable[str], **options: Any) -> Iterator:
    """A row for each image, with its path, in their order.

    What is wrong with a file that cannot be read stands in its `error`, and the others
    are captioned all the same.

    Args:
        options: As in `Trained.predict`.
    """
    waiting: deque[tuple[str, str]] = deque()

    def images() -> Iterator[bytes]:
        for path in paths:
            data, problem = _read(path)
            waiting.append((path, problem))
            yield data

    for row in trained.stream(images(), IMAGES_AT_ONCE, **options):
        path, problem = waiting.popleft()
        yield {"image": path, **row, "error": problem or row["error"]}


def draw_looks(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Where the model looked at each word: of a lone row large, of more on a sheet."""
    pictures = []
    for row in rows:
        shown = small_image(ImageFile(row["image"]).read())
        words, weights = words_of(row["pieces"], np.array(row["attention"]))
        if len(rows) == 1:
            return attention_by_word(shown, words, weights, row["caption"])
        picture = CaptionedPicture(shown, row["caption"], words=words, weights=weights)
        pictures.append(picture)
    return contact_sheet(pictures)


def _read(path: str) -> tuple[bytes, str]:
    """The bytes, or what is wrong."""
    try:
        data = ImageFile(path).read()
        check_image(data, path)
    except FileNotFoundError:
        return b"", f"{path}: there is no such file. Check the path."
    except DataError as error:
        return b"", str(error)
    return data, ""
