"""Readers for captions of images of one's own: CSV, TSV, JSON Lines, COCO, Karpathy.

An image may have several captions: they are joined, in the order in which they come.
The JSON layouts are read in `caption_json.py`; where the images are is not asked here.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from seqloom.pipelines.caption_json import read_caption_json, read_json_lines
from seqloom.pipelines.caption_lines import CaptionLine, ImageCaptions
from seqloom.pipelines.lines import read_lines
from seqloom.pipelines.readers import Skipped
from seqloom.pipelines.text_tables import REMEDY, read_table, shown
from seqloom.tasks.records import DataError

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
}
_HEADER = ("image", "caption")
# "1.jpg#0": the number of the caption, as in the files of Flickr8k and Flickr30k.
_NUMBER = re.compile(r"#[0-9]+$")


def read_captions(
    path: str | Path,
    layout: str = "auto",
    on_error: str = "stop",
    skipped: Skipped | None = None,
) -> list[ImageCaptions]:
    r"""Read the captions of images, in the order of the images' first lines.

        image,caption                     <- my.csv, with this header
        dogs/1.jpg,"Two dogs, running."
        dogs/1.jpg,Dogs on a meadow.

        dogs/1.jpg      Two dogs, running.        <- my.tsv; the header may be missing,
        dogs/1.jpg#1    Dogs on a meadow.            and captions may have numbers

        {"image": "dogs/1.jpg", "caption": "Two dogs, running."}          <- my.jsonl
        {"image": "dogs/1.jpg", "captions": ["Dogs on a meadow.", "..."]}

        {"images": [{"id": 7, "file_name": "dogs/1.jpg"}],                <- COCO's
         "annotations": [{"image_id": 7, "caption": "Two dogs, running."}]}

        {"images": [{"filename": "1.jpg", "filepath": "dogs", "split": "train",
                     "sentences": [{"raw": "Two dogs, running."}]}]}      <- Karpathy's

    The first gives `ImageCaptions("dogs/1.jpg", ("Two dogs, running.", "Dogs on a
    meadow."), "my.csv:2")`.

    Args:
        path: UTF-8 text, plain or gzipped.
        layout: "csv", "tsv", "jsonl", "coco", "karpathy", or "auto": see
            `detect_caption_format`.
        on_error: "stop", or "skip" to drop a bad caption or entry.
        skipped: Counts what "skip" drops.

    Raises:
        UserError: The file is missing or cannot be read.
        DataError: A bad line or entry (file, line or entry, the fix), a file of no
            layout that is read, or no caption at all.
    """
    skipped = Skipped(unit="caption") if skipped is None else skipped
    before = skipped.count
    if layout == "auto":
        layout = detect_caption_format(path)
    lines = {"csv": _csv_lines, "tsv": _tsv_lines, "jsonl": read_json_lines}
    found = lines[layout](path) if layout in lines else read_caption_json(path, layout)
    images = _joined(found, on_error, skipped)
    if not images:
        dropped = skipped.count - before
        why = (
            f"all {dropped} were dropped by data.on_error=skip, the first because: "
            f"{skipped.reasons[0] if skipped.reasons else ''}"
            if dropped
            else "the file is empty, or holds nothing below its first line. Give a "
            "file with an image and a caption in every line"
        )
        raise DataError(f"{path}: no captions: {why}.")
    return images


def detect_caption_format(path: str | Path) -> str:
    """Tell the layout by the file's name, else by its first line.

    Returns:
        "csv", "tsv", "jsonl", or "json", which only all of the content can tell apart.

    Raises:
        DataError: A first line of no kind that is known.
    """
    suffix = Path(str(path).removesuffix(".gz")).suffix.lower()
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    for line in read_lines(path):
        if not line.text.strip():
            continue
        if line.text.lstrip().startswith(("{", "[")):
            return "json"
        if "\t" in line.text:
            return "tsv"
        if set(_HEADER) <= set(_cells(line.text)):
            return "csv"
        raise DataError(
            f"{path}:{line.number}: {shown(line.text)}: neither JSON, nor an image and "
            "its caption parted by a tab, nor the header image,caption of a CSV file. "
            "Bring the file to one of these forms, or set data.format."
        )
    return "tsv"


def _joined(
    found: Iterable[CaptionLine], on_error: str, skipped: Skipped
) -> list[ImageCaptions]:
    """Bring the captions of an image together; stop at, or count and drop, bad ones."""
    images: dict[str, ImageCaptions] = {}
    for line in found:
        name = str(PurePosixPath(line.name))  # "./1.jpg" is "1.jpg"
        image = images.get(name, ImageCaptions(name, (), line.where, line.split))
        problem = line.problem or _wrong(line)
        if not problem and image.split != line.split:
            problem = (
                f"the image {name!r} is in {line.split!r} here and in {image.split!r} "
                f"at {image.where}. Take it out of one. {REMEDY}"
            )
        if not problem:
            captions = tuple(caption.strip() for caption in line.captions)
            images[name] = image._replace(captions=image.captions + captions)
            continue
        source = f"{shown(line.source)}: " if line.source else ""
        problem = f"{line.where}: {source}{problem}"
        if on_error == "stop":
            raise DataError(problem)
        skipped.add(problem)
    return list(images.values())


def _wrong(line: CaptionLine) -> str:
    """What is wrong with a caption or its image's name, whatever the layout."""
    name = PurePosixPath(line.name)
    if not line.name.strip():
        return f"the name of the image is empty. {REMEDY}"
    if name.is_absolute() or ".." in name.parts:
        return (
            f"the name of the image, {shown(line.name)}, leaves the folder of the "
            "images. Name it as it lies below data.images, without '/' in front and "
            f"'..'. {REMEDY}"
        )
    if not line.captions:
        return f"the image {line.name!r} has no caption. {REMEDY}"
    if not all(caption.strip() for caption in line.captions):
        return f"the caption is empty. {REMEDY}"
    try:
        "".join((line.name, *line.captions)).encode("utf-8")
    except UnicodeEncodeError:
        return (
            "half a character (a lone surrogate, such as \\ud83d without its other "
            f"half). {REMEDY}"
        )
    return ""


# === Tables ===


def _csv_lines(path: str | Path) -> Iterator[CaptionLine]:
    _check_header(path)
    columns = {"the image": _HEADER[0], "the caption": _HEADER[1]}
    for number, source, name, caption, problem in read_table(path, "csv", columns):
        name = name.strip()
        yield CaptionLine(f"{path}:{number}", source, name, (caption,), "", problem)


def _check_header(path: str | Path) -> None:
    """See that a CSV file's first line names its columns, before it is read by name."""
    for line in read_lines(path):
        if not line.text.strip():
            continue
        names = _cells(line.text)
        if line.problem or set(_HEADER) <= set(names):
            return
        hint = (
            " Its cells look parted by tabs: set data.format=tsv."
            if "\t" in line.text
            else ""
        )
        raise DataError(
            f"{path}:{line.number}: {shown(line.text)}: the first line of a CSV file "
            "of captions names its columns, and image and caption must be among them; "
            f"here they are {', '.join(map(repr, names))}. Write `image,caption` above "
            f"the lines, or rename the columns.{hint}"
        )


def _cells(header: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([header[:10_000]]), [])]


def _tsv_lines(path: str | Path) -> Iterator[CaptionLine]:
    is_first = True
    for line in read_lines(path):
        if not line.text.strip():
            continue
        cells = [cell.strip() for cell in line.text.split("\t")]
        is_header, is_first = is_first and tuple(cells) == _HEADER, False
        if is_header:
            continue
        where, problem = f"{path}:{line.number}", line.problem
        if not problem and len(cells) != 2:
            problem = (
                f"{len(cells) - 1 or 'no'} tab{'s' if len(cells) > 2 else ''}: a line "
                f"holds an image, a tab and one caption of it. {REMEDY}"
            )
        name, caption = cells if len(cells) == 2 else ("", "")
        name = _NUMBER.sub("", name)
        yield CaptionLine(where, line.text, name, (caption,), "", problem)
