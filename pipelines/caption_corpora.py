"""The corpora of images with captions that seqloom finds.

Flickr8k comes as two zips, and of the public ones no sha256 is known here, only the MD5
that other projects check. So nothing is downloaded: what is named below are copies of
known bytes that a mirror may hold, and the message says how the public zips are used
as files of one's own. The copies are

- `Flickr8k_Dataset_160.zip`: the pictures in 160 x 160 pixels, height and width
  squeezed alike, in the folder of the public zip;
- `Flickr8k_text.zip`: the public captions and lists of the splits without the other
  files of the public zip, and with captions of a hundred birds that have no picture.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seqloom.pipelines.archives import open_member
from seqloom.pipelines.downloads import Progress
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.image_files import ImageFile
from seqloom.pipelines.sources import Fetched, Source, fetch
from seqloom.pipelines.text_tables import shown
from seqloom.tasks.records import CaptionedImage, DataError

Read = Callable[[Sequence[Path]], dict[str, list[CaptionedImage]]]


@dataclass(frozen=True)
class CaptionCorpus:
    """A corpus of images with captions.

    Attributes:
        licence: Short name of the licence.
        licence_note: What a user has to know before using the corpus or a model
            trained on it.
        sources: The files it lies in.
        read: Makes the three splits of the files.
        remedy: What to do where a mirror does not have them.
    """

    name: str
    title: str
    licence: str
    licence_note: str
    homepage: str
    sources: tuple[Source, ...]
    read: Read
    remedy: str

    def find(self, progress: Progress | None = None) -> list[Fetched]:
        """The files, checked.

        Raises:
            UserError: One is not there, or has other bytes, and the ways out.
        """
        return [_found(source, self, progress) for source in self.sources]


def _found(source: Source, corpus: CaptionCorpus, progress: Progress | None) -> Fetched:
    mirror = os.environ.get("SEQLOOM_MIRROR")
    is_there = mirror and Path(mirror, source.name).is_file()
    if not source.addresses and not is_there:
        raise UserError(
            f"data.corpus={corpus.name}: {source.name} is not there. SEQLOOM_MIRROR is "
            f"{mirror or 'not set'}: let it name a folder that holds {source.name!r} "
            f"(sha256 {source.sha256}). {corpus.remedy}"
        )
    try:
        return fetch(source, progress)
    except UserError as error:
        raise UserError(f"{error} {corpus.remedy}") from error


# === Flickr8k ===

_FLICKR8K_TOKENS = "Flickr8k.token.txt"
_FLICKR8K_LISTS = {
    "train": "Flickr_8k.trainImages.txt",
    "dev": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
_FLICKR8K_FOLDER = "Flicker8k_Dataset"  # spelled so in the public zip, too
_FLICKR8K_ADDRESS = "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k"
_FLICKR8K_MD5 = {
    "Flickr8k_Dataset.zip": "f18a1e2920de5bd84dae7cf08ec78978",
    "Flickr8k_text.zip": "bf6c1abcb8e4a833b7f922104de18627",
}


def read_flickr8k(paths: Sequence[Path]) -> dict[str, list[CaptionedImage]]:
    """Read Flickr8k in the layout of its public zips.

        1000268201_693b08cb0e.jpg#0     A girl going into a wooden building .

    Only images of a split's list are taken, in its order. The captions of others are
    passed over: 91 images are in no list, and 2258277193_586949ec62.jpg.1 has captions
    and no picture.

    Args:
        paths: The zips of the texts and of the pictures.

    Raises:
        UserError: A damaged zip, or a file that is not in it.
        DataError: An image of a list without captions, or a line of another form.
    """
    texts, pictures = paths
    lists = {name: _list(texts, member) for name, member in _FLICKR8K_LISTS.items()}
    captions: dict[str, list[tuple[str, str]]] = {
        image: [] for images in lists.values() for image in images
    }
    for where, line in _lines(texts, _FLICKR8K_TOKENS):
        numbered, _, caption = line.partition("\t")
        image = numbered.partition("#")[0]
        if image not in captions:
            continue
        if not caption.strip() or "\t" in caption:
            raise DataError(
                f"{where}: {shown(line)}: no image and caption parted by a tab. The "
                "file is damaged or of another kind: replace it."
            )
        captions[image].append((caption.strip(), where))
    for name, images in lists.items():
        for image in images:
            if not captions[image]:
                raise DataError(
                    f"{texts}!{_FLICKR8K_LISTS[name]}: {image!r} has no caption in "
                    f"{_FLICKR8K_TOKENS}. The zip is damaged or incomplete: replace it."
                )
    return {
        name: [
            CaptionedImage(
                ImageFile(str(pictures), f"{_FLICKR8K_FOLDER}/{image}"),
                tuple(caption for caption, _ in captions[image]),
                image,
                captions[image][0][1],
            )
            for image in images
        ]
        for name, images in lists.items()
    }


def _list(path: Path, member: str) -> list[str]:
    return [line.strip() for _, line in _lines(path, member) if line.strip()]


def _lines(path: Path, member: str) -> list[tuple[str, str]]:
    with open_member(path, member) as file:
        return [
            (f"{path}!{member}:{number}", raw.decode("utf-8", "replace").rstrip("\r\n"))
            for number, raw in enumerate(file, start=1)
        ]


CAPTION_CORPORA: Mapping[str, CaptionCorpus] = {
    "flickr8k": CaptionCorpus(
        name="flickr8k",
        title="Flickr8k: photographs, five captions each, official splits",
        licence="non-commercial research",
        licence_note=(
            "The photographs belong to people on Flickr: for research and education "
            "only, and not to be passed on. Cite Hodosh, Young and Hockenmaier 2013 "
            "where you publish results."
        ),
        homepage="https://hockenmaier.cs.illinois.edu/8k-pictures.html",
        sources=(
            Source(
                "flickr8k/Flickr8k_text.zip",
                "3da45c510b91e157a9f10c9373d6afdf112041d0fe6640652d84cfa91f830782",
            ),
            Source(
                "flickr8k/Flickr8k_Dataset_160.zip",
                "6864ed9606f6cf3fe9b89ac8f8766770b23273f1eb4546a34145aebf55e2e475",
            ),
        ),
        read=read_flickr8k,
        remedy=(
            "No sha256 of the public zips is known, so they are not downloaded for "
            f"you. Get {' and '.join(_FLICKR8K_MD5)} from {_FLICKR8K_ADDRESS}/ (MD5 "
            f"{' and '.join(_FLICKR8K_MD5.values())}), unzip them, and give them as "
            'files of your own: SET="data.train=Flickr8k.token.txt '
            f'data.images={_FLICKR8K_FOLDER} data.on_error=skip"; or, for the official '
            "splits, Karpathy's dataset_flickr8k.json as data.train."
        ),
    ),
}
