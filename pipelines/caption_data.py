"""Load the three splits of images with captions: located, read, checked, counted."""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from seqloom.pipelines.caption_corpora import CAPTION_CORPORA, CaptionCorpus
from seqloom.pipelines.caption_files import CaptionFile, Say, own_caption_files
from seqloom.pipelines.caption_splits import CaptionSplitInfo, images_sha256
from seqloom.pipelines.config_captions import CaptionDataConfig
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.image_files import ImageFile, check_image
from seqloom.pipelines.readers import Skipped
from seqloom.pipelines.sources import Progress
from seqloom.pipelines.splits import (
    SPLIT_TITLES,
    SPLITS,
    Splits,
    dataset_sha256,
    files_sha256,
)
from seqloom.tasks.records import CaptionedImage, DataError
from seqloom.tasks.synthetic_scenes import (
    CIRCLES,
    SIZES,
    synthetic_circles,
    synthetic_scenes,
)

Checked = tuple[CaptionedImage, bytes]
"""A record, and the SHA-256 of its image."""
Files = dict[str, CaptionFile]
Lists = dict[str, list[Checked]]
# The corpora that are made here: how many images, and how.
DRAWN = {"scenes": (SIZES, synthetic_scenes), "circles": (CIRCLES, synthetic_circles)}


@dataclass(frozen=True)
class _Origin:
    name: str
    title: str
    licence: str = "your own files"
    licence_note: str = ""


def load_captions(
    data: CaptionDataConfig, task: str, seed: int, progress: Progress | None, say: Say
) -> Splits:
    """Load what the `data` settings name; see `data.load_splits`.

    Every image is read and checked once, and none is kept in memory. Captions of more
    than `data.max_words` are left out of training alone.

    Raises:
        UserError: A missing file or folder, a corpus that is not there.
        DataError: A bad caption, an image that is missing or cannot be read, an empty
            split.
    """
    origin, files = _open(data, seed, progress, say)
    splits: Lists = {}
    for name in SPLITS:
        file = files[name]
        images: Iterable[CaptionedImage] = file.images
        if name == "train" and data.max_words is not None:
            images = _without_long_captions(images, data.max_words, file.left_out)
        checked = _checked(images, data.on_error, file.skipped)
        splits[name] = list(islice(checked, data.limit))
        if not splits[name]:
            raise DataError(_empty_split(name, file))
    _count_repeated(splits, files)
    for name in SPLITS:
        _describe(files[name], splits[name])
        _say_what_is_left_out(name, files[name].info, say)
        _say_what_is_repeated(name, files[name].info, say)
    return Splits(
        task=task,
        name=origin.name,
        title=origin.title,
        licence=origin.licence,
        licence_note=origin.licence_note,
        scheme="none",
        info={name: files[name].info for name in SPLITS},
        sha256=dataset_sha256({name: images_sha256(splits[name]) for name in SPLITS}),
        unit="images",
        **{name: [record for record, _ in splits[name]] for name in SPLITS},
    )


# === Where the images and captions are ===


def _open(
    data: CaptionDataConfig, seed: int, progress: Progress | None, say: Say
) -> tuple[_Origin, Files]:
    if data.train:
        origin = _Origin(Path(data.train).name, "images and captions of your own")
        return origin, own_caption_files(data, say)
    if data.corpus in DRAWN:
        return _drawn(data, seed)
    corpus = CAPTION_CORPORA[str(data.corpus)]
    files = _found(corpus, progress)
    if any(file.info.origin == "download" for file in files.values()):
        say(f"{corpus.title}. Licence: {corpus.licence}. {corpus.licence_note}")
    origin = _Origin(corpus.name, corpus.title, corpus.licence, corpus.licence_note)
    return origin, files


def _drawn(data: CaptionDataConfig, seed: int) -> tuple[_Origin, Files]:
    """Scenes or circles, drawn from the seed."""
    sizes, make = DRAWN[str(data.corpus)]
    files = {}
    for name in SPLITS:
        number = min(sizes[name], data.limit or sizes[name])
        try:
            # They have all that a CaptionedImage has, and the scene.
            images: list = make(name, seed, number, data.image_size)
        except ValueError as error:
            raise UserError(f"data.image_size={data.image_size}: {error}") from error
        checked = ((i, hashlib.sha256(i.image.read()).digest()) for i in images)
        made = f"{data.corpus}, seed {seed}"
        info = CaptionSplitInfo(made, images_sha256(checked), "made")
        files[name] = CaptionFile(info, images)
    title = f"{data.corpus} drawn from seed {seed}"
    return _Origin(str(data.corpus), title, "none needed"), files


def _found(corpus: CaptionCorpus, progress: Progress | None) -> Files:
    found = corpus.find(progress)
    path = " + ".join(str(fetched.path) for fetched in found)
    sha256 = files_sha256([fetched.sha256 for fetched in found])
    origins = {fetched.origin for fetched in found}
    origin = "download" if "download" in origins else found[0].origin
    splits = corpus.read([fetched.path for fetched in found])
    return {
        name: CaptionFile(CaptionSplitInfo(path, sha256, origin), splits[name])
        for name in SPLITS
    }


# === What is left out ===


def _without_long_captions(
    images: Iterable[CaptionedImage], max_words: int, left_out: Counter[str]
) -> Iterator[CaptionedImage]:
    too_long = f"captions of more than data.max_words={max_words} words"
    for record in images:
        kept = tuple(c for c in record.captions if len(c.split()) <= max_words)
        if len(kept) < len(record.captions):
            left_out[too_long] += len(record.captions) - len(kept)
        if kept:
            yield record._replace(captions=kept)
        else:
            left_out["images that have no other"] += 1


def _checked(
    images: Iterable[CaptionedImage], on_error: str, skipped: Skipped
) -> Iterator[Checked]:
    """Read and check images; stop at, or count and drop, those that cannot be used."""
    for record in images:
        file = record.image
        try:
            data = file.read()
            check_image(data, str(file) if isinstance(file, ImageFile) else record.name)
        except FileNotFoundError:
            problem = _missing(record, hint=on_error == "stop")
        except DataError as error:
            problem = f"{record.where}: {error}"
        else:
            yield record, hashlib.sha256(data).digest()
            continue
        if on_error == "stop":
            skip = " Or set data.on_error=skip to leave such images out."
            raise DataError(problem + skip)
        skipped.add(problem)


def _missing(record: CaptionedImage, hint: bool) -> str:
    path = Path(str(record.image))
    near: list[str] = []
    if hint and path.parent.is_dir():
        names = [other.name for other in path.parent.iterdir()]
        near = get_close_matches(path.name, names, n=1)
    return (
        f"{record.where}: there is no image {record.name!r}: no file {path}."
        f"{f' Did you mean {near[0]!r}?' if near else ''} Correct the name, or set "
        "data.images to the folder that the names start at."
    )


def _empty_split(name: str, file: CaptionFile) -> str:
    title, path = SPLIT_TITLES[name], file.info.path
    if file.skipped.count and file.images:
        return (
            f"The {title} split is empty: no image of {path} can be used. "
            f"data.on_error=skip dropped {file.skipped.count:,}, the first because: "
            f"{file.skipped.reasons[0]}"
        )
    if file.left_out.total():
        return (
            f"The {title} split is empty: all captions of {path} are left out "
            f"({_listed(file.left_out)}). Set the limit higher, or give another file."
        )
    if file.info.by_hash:
        number = "eight" if name == "train" else "one"
        return (
            f"The {title} split is empty: about {number} "
            f"in ten images of {path} make it, by a hash of their names, and there are "
            f"too few. Give more, or a file of its own: data.{name}=..."
        )
    return (
        f"The {title} split is empty: {path} has splits of its own, and none of its "
        f"images is in that one. Give it a file of its own: data.{name}=..."
    )


# === What is known of them ===


def _count_repeated(splits: Lists, files: Files) -> None:
    trained = {image for _, image in splits["train"]}
    for name in ("dev", "test"):
        files[name].info.num_repeated = sum(
            image in trained for _, image in splits[name]
        )


def _describe(file: CaptionFile, images: list[Checked]) -> None:
    info = file.info
    records = [record for record, _ in images]
    words = sorted(len(c.split()) for record in records for c in record.captions)
    info.num_images, info.num_captions = len(records), len(words)
    info.num_tokens, info.longest = sum(words), words[-1]
    info.lengths = {
        f"{percent}%": words[math.ceil(len(words) * percent / 100) - 1]
        for percent in (50, 90, 99)
    }
    numbers = Counter(len(record.captions) for record in records)
    info.captions_per_image = dict(sorted(numbers.items()))
    info.left_out = dict(file.left_out.most_common())
    info.num_skipped = file.skipped.count
    info.skipped_reasons = list(file.skipped.reasons)
    if info.by_hash:
        info.sha256 = images_sha256(images)


def _say_what_is_left_out(name: str, info: CaptionSplitInfo, say: Say) -> None:
    reasons = dict(info.left_out)
    if info.num_skipped:
        reasons["bad captions or images (data.on_error=skip)"] = info.num_skipped
    if reasons:
        say(f"Left out of the {SPLIT_TITLES[name]} split: {_listed(reasons)}.")


def _listed(reasons: dict[str, int]) -> str:
    return "; ".join(f"{count:,} {reason}" for reason, count in reasons.items())


def _say_what_is_repeated(name: str, info: CaptionSplitInfo, say: Say) -> None:
    if info.num_repeated:
        say(
            f"{info.num_repeated:,} of the {info.num_images:,} {SPLIT_TITLES[name]} "
            "images are training images too."
        )
