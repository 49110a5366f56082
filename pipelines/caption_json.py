"""Captions in JSON: an object a line, or one object in COCO's or Karpathy's layout."""

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from seqloom.pipelines.caption_lines import CaptionLine
from seqloom.pipelines.lines import read_lines
from seqloom.pipelines.text_tables import REMEDY, shown
from seqloom.tasks.records import DataError

# Karpathy's splits. "restval" is what was left of COCO's validation images, which he
# and everybody since trains on.
KARPATHY_SPLITS = {
    "train": "train",
    "restval": "train",
    "val": "dev",
    "test": "test",
}
_NOT_ONE = object()
_LINE = '{"image": "1.jpg", "caption": "..."}'


class _BadEntry(Exception):
    """What is wrong with an entry of a file."""


def read_json_lines(path: str | Path) -> Iterator[CaptionLine]:
    """Read an object a line, with "image" and either "caption" or "captions"."""
    for line in read_lines(path):
        if not line.text.strip():
            continue
        found = CaptionLine(f"{path}:{line.number}", line.text)
        try:
            if line.problem:
                raise _BadEntry(line.problem)
            yield _of_object(found, _parsed(line.text))
        except _BadEntry as error:
            yield found._replace(problem=str(error))


def read_caption_json(path: str | Path, layout: str) -> Iterator[CaptionLine]:
    """Read a file that is one object, or, where it is not, an object a line.

    Args:
        layout: "coco", "karpathy", or "json" to go by what is there.

    Raises:
        DataError: What is no matter of one entry: no JSON, or of no layout that is
            known.
    """
    value = _whole(path, layout)
    if layout == "json" and (value is _NOT_ONE or _has(value, "image")):
        yield from read_json_lines(path)
        return
    images = value.get("images") if isinstance(value, dict) else None
    if not isinstance(images, list):
        raise _unknown(path, value)
    if layout == "coco" or (layout == "json" and "annotations" in value):
        yield from _coco(path, images, value.get("annotations"))
    elif layout == "karpathy" or any(_has(image, "sentences") for image in images):
        yield from _karpathy(path, images)
    else:
        raise _unknown(path, value)


# === Reading ===


def _parsed(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise _BadEntry(
            f"no JSON: {error.msg} at column {error.colno}. Every line holds one "
            f"object, such as {_LINE}. {REMEDY}"
        ) from None
    except (ValueError, RecursionError) as error:  # huge numbers, endless nesting
        raise _BadEntry(f"no JSON that can be read: {error}. {REMEDY}") from None
    if not isinstance(value, dict):
        raise _BadEntry(f"no object, such as {_LINE}. {REMEDY}")
    return value


def _whole(path: str | Path, layout: str) -> Any:
    """The value that a file is; `_NOT_ONE` where any layout will do and it is none."""
    texts = []
    for line in read_lines(path):
        if line.problem:
            raise DataError(f"{path}:{line.number}: {shown(line.text)}: {line.problem}")
        texts.append(line.text)
    text = "\n".join(texts)
    if layout == "json" and not text.strip():
        return _NOT_ONE
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if layout == "json" and error.msg == "Extra data":
            return _NOT_ONE
        raise DataError(
            f"{path}:{error.lineno}: no JSON: {error.msg} at column {error.colno}. "
            "The file is cut off or damaged: make or download it again."
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: no JSON that can be read: {error}. Make the file again."
        ) from None


def _unknown(path: str | Path, value: Any) -> DataError:
    what = _kind(value)
    if isinstance(value, dict):
        what = f"an object with {', '.join(map(repr, list(value)[:8])) or 'nothing'}"
    return DataError(
        f"{path}: JSON, but {what}, which is no layout of captions that is read. They "
        f'are an object a line, such as {_LINE}; COCO\'s, {{"images": [...], '
        '"annotations": [...]}; and Karpathy\'s, {"images": [{"filename": ..., '
        '"sentences": [...]}]}. Write the captions in one of them.'
    )


# === Layouts ===


def _of_object(found: CaptionLine, value: dict[str, Any]) -> CaptionLine:
    if ("caption" in value) == ("captions" in value):
        have = "both" if "caption" in value else "neither"
        raise _BadEntry(
            f'{have} of "caption" (a text) and "captions" (a list of texts): give one '
            f"of the two, as in {_LINE}. {REMEDY}"
        )
    if "caption" in value:
        captions: tuple[str, ...] = (_text(value, "caption"),)
    else:
        texts = _list(value, "captions")
        captions = tuple(_text({"captions": text}, "captions") for text in texts)
    return found._replace(name=_text(value, "image").strip(), captions=captions)


def _coco(path: str | Path, images: list, annotations: Any) -> Iterator[CaptionLine]:
    if not isinstance(annotations, list):
        raise DataError(
            f'{path}: "annotations" must be a list in COCO\'s layout, got '
            f"{_kind(annotations)}. Make or download the file again."
        )
    if annotations and _has(annotations[0], "bbox") and "caption" not in annotations[0]:
        raise DataError(
            f"{path}: annotations of objects, not captions: there is a 'bbox' and no "
            "'caption'. Give COCO's files called captions_*.json."
        )
    captions: dict[int | str, list[str]] = {
        image["id"]: []
        for image in images
        if _has(image, "id") and isinstance(image["id"], int | str)
    }
    for place, annotation in enumerate(annotations):
        found = CaptionLine(f"{path}: annotations[{place}]", "")
        try:
            number = _member(annotation, "image_id", int | str, "a number or a text")
            if number not in captions:
                raise _BadEntry(
                    f'there is no image with the "id" {number!r} (the "image_id" of '
                    f"this caption) in the file. {REMEDY}"
                )
            captions[number].append(_text(annotation, "caption"))
        except _BadEntry as error:
            yield found._replace(problem=str(error))
    for place, image in enumerate(images):
        found = CaptionLine(f"{path}: images[{place}]", "")
        try:
            number = _member(image, "id", int | str, "a number or a text")
            name = _text(image, "file_name").strip()
        except _BadEntry as error:
            yield found._replace(problem=str(error))
            continue
        # A second image of the same number gets none.
        yield found._replace(name=name, captions=tuple(captions.pop(number, ())))


def _karpathy(path: str | Path, images: list) -> Iterator[CaptionLine]:
    for place, image in enumerate(images):
        found = CaptionLine(f"{path}: images[{place}]", "")
        try:
            name = _text(image, "filename").strip()
            if name and _has(image, "filepath"):
                name = str(PurePosixPath(_text(image, "filepath"), name))
            split = _text(image, "split")
            if split not in KARPATHY_SPLITS:
                raise _BadEntry(
                    f'the "split" is {split!r}, not one of '
                    f"{', '.join(KARPATHY_SPLITS)}. {REMEDY}"
                )
            sentences = _list(image, "sentences")
            captions = tuple(_text(sentence, "raw") for sentence in sentences)
        except _BadEntry as error:
            yield found._replace(problem=str(error))
            continue
        yield found._replace(name=name, captions=captions, split=KARPATHY_SPLITS[split])


# === Members ===


def _has(value: Any, name: str) -> bool:
    return isinstance(value, dict) and name in value


def _member(value: Any, name: str, kind: Any, wanted: str) -> Any:
    if not isinstance(value, dict):
        raise _BadEntry(f"{_kind(value)} where an object is wanted. {REMEDY}")
    if name not in value:
        names = ", ".join(map(repr, list(value)[:8])) or "nothing"
        raise _BadEntry(f"there is no {name!r}, only {names}. {REMEDY}")
    if not isinstance(value[name], kind) or isinstance(value[name], bool):
        got = _kind(value[name])
        raise _BadEntry(f"{name!r} must be {wanted}, got {got}. {REMEDY}")
    return value[name]


def _text(value: Any, name: str) -> str:
    return _member(value, name, str, "a text")


def _list(value: Any, name: str) -> list:
    return _member(value, name, list, "a list")


def _kind(value: Any) -> str:
    kinds = {
        list: "a list",
        dict: "an object",
        str: "a text",
        bool: "true or false",
        type(None): "null",
    }
    return kinds.get(type(value), "a number")
