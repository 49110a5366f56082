"""What is known of a split of images with captions."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from seqloom.pipelines.splits import SplitInfo
from seqloom.tasks.records import CaptionedImage


@dataclass
class CaptionSplitInfo(SplitInfo):
    """Of images with captions: how many of both, how long captions are, what is out.

    `num_tokens` counts words of all captions, `longest` is the most of them in one.
    `lengths` says how many words half, nine tenths and 99 of a hundred captions have
    at the most, `captions_per_image` how many images (the values) have how many of them
    (the keys). `left_out` counts, reason -> captions or images, what `num_skipped` does
    not. `num_unnamed` counts images in the folders of the others that no file of
    captions names; it stands with training. `num_repeated` counts images of validation
    and test that are, byte for byte, training images too. `by_hash` marks a split that
    is a part of the file of training, by `hash_split` of the images' names, in the
    order of the hashes; its `sha256` is then that of its images and captions.
    """

    num_images: int = 0
    num_captions: int = 0
    captions_per_image: dict[int, int] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    num_unnamed: int = 0
    num_repeated: int = 0
    by_hash: bool = False


def images_sha256(images: Iterable[tuple[CaptionedImage, bytes]]) -> str:
    """One hash of images and captions, wherever they lay.

    Args:
        images: Records, and the SHA-256 of the bytes of their images.
    """
    digest = hashlib.sha256()
    for record, image in images:
        # The lengths keep names and captions apart that hold line ends.
        texts = (record.name, *record.captions)
        digest.update(image + f"{[len(text) for text in texts]}\n".encode())
        digest.update("".join(f"{text}\n" for text in texts).encode())
    return digest.hexdigest()
