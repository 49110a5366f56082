"""Files of captions of one's own: read, split, and brought together with images."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seqloom.pipelines.caption_lines import ImageCaptions
from seqloom.pipelines.caption_readers import read_captions
from seqloom.pipelines.caption_splits import CaptionSplitInfo
from seqloom.pipelines.config_captions import CaptionDataConfig
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.hash_split import digest, split_of
from seqloom.pipelines.image_files import ImageFile
from seqloom.pipelines.readers import Skipped
from seqloom.pipelines.sources import own_file
from seqloom.pipelines.splits import SPLIT_TITLES, SPLITS
from seqloom.tasks.records import CaptionedImage

Say = Callable[[str], None]

_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass
class CaptionFile:
    """Where the images of a split come from, and they, their bytes not yet read."""

    info: CaptionSplitInfo
    images: Sequence[CaptionedImage] = ()
    skipped: Skipped = field(default_factory=lambda: Skipped(unit="caption or image"))
    left_out: Counter[str] = field(default_factory=Counter)


def own_caption_files(data: CaptionDataConfig, say: Say) -> dict[str, CaptionFile]:
    """The three splits that `data.train`, `data.dev` and `data.test` make.

    What has no file is taken out of training: the part of that name where the file has
    splits of its own, else by `hash_split` of the images' names.

    Raises:
        UserError: A missing file or folder.
        DataError: A bad caption.
    """
    paths = {name: getattr(data, name) for name in SPLITS if getattr(data, name)}
    files: dict[str, CaptionFile] = {}
    read: dict[str, list[ImageCaptions]] = {}
    for name, path in paths.items():
        found = own_file(f"data.{name}", path)
        files[name] = CaptionFile(CaptionSplitInfo(path, found.sha256, found.origin))
        skipped = files[name].skipped
        read[name] = read_captions(path, data.format, data.on_error, skipped)
    folders = {name: _folder(data, path) for name, path in paths.items()}
    files["train"].info.num_unnamed = _count_unnamed(read, folders, say)
    by_hash = not any(image.split for image in read["train"])
    parts = _parts(read, by_hash)
    for name in (name for name in SPLITS if name not in paths):
        train = files["train"].info
        info = CaptionSplitInfo(train.path, train.sha256, train.origin)
        files[name], folders[name] = CaptionFile(info), folders["train"]
    if by_hash and len(paths) < len(SPLITS):
        for name in SPLITS:
            files[name].info.by_hash = name == "train" or name not in paths
        _say_what_is_taken(parts, paths, say)
    for name in SPLITS:
        files[name].images = [_record(image, folders[name]) for image in parts[name]]
    return files


def _folder(data: CaptionDataConfig, path: str) -> Path:
    """Where the names of images start."""
    folder = Path(data.images) if data.images else Path(path).parent
    if folder.is_dir():
        return folder
    raise UserError(
        f"data.images={folder}: no such folder. Give the folder that the names of the "
        "images start at; a relative path starts at the folder the command runs in, "
        f"{Path.cwd()}."
    )


def _record(image: ImageCaptions, folder: Path) -> CaptionedImage:
    file = ImageFile(str(folder / image.name))
    return CaptionedImage(file, image.captions, image.name, image.where)


def _parts(
    read: dict[str, list[ImageCaptions]], by_hash: bool
) -> dict[str, list[ImageCaptions]]:
    """The images of every split."""
    parts = {
        name: [image for image in images if image.split in ("", name)]
        for name, images in read.items()
    }
    missing = [name for name in SPLITS if name not in read]
    if not missing:
        return parts
    if not by_hash:
        for name in missing:
            parts[name] = [image for image in read["train"] if image.split == name]
        return parts
    parts |= {name: [] for name in ("train", *missing)}
    # In this order data.limit is a fair sample of a sorted file.
    for image in sorted(read["train"], key=lambda image: digest(image.name)):
        name = split_of(image.name)
        parts[name if name in missing else "train"].append(image)
    return parts


def _say_what_is_taken(
    parts: dict[str, list[ImageCaptions]], paths: dict[str, str], say: Say
) -> None:
    missing = [name for name in SPLITS if name not in paths]
    taken = " and ".join(
        f"{SPLIT_TITLES[name]} ({len(parts[name]):,})" for name in missing
    )
    total = sum(len(parts[name]) for name in ("train", *missing))
    say(
        f"No file for {taken}: taken out of the {total:,} images of {paths['train']} "
        "by a hash of their names, always the same ones."
    )


def _count_unnamed(
    read: dict[str, list[ImageCaptions]], folders: dict[str, Path], say: Say
) -> int:
    """How many images lie beside the others, and no file names them.

    Only the folders that hold named images are looked through, not those inside.
    """
    named = {folders[name] / image.name for name in read for image in read[name]}
    beside = {
        path
        for folder in {path.parent for path in named}
        if folder.is_dir()
        for path in folder.iterdir()
        if path.suffix.lower() in _SUFFIXES
    }
    unnamed = beside - named
    if unnamed:
        say(
            f"{len(unnamed):,} images beside the others are named in no file of "
            f"captions and left aside, such as {min(unnamed)}."
        )
    return len(unnamed)
