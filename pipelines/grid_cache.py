"""Features of images by a frozen backbone: computed once, then read from the disk."""

import datetime
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import tensorflow as tf

from seqloom.pipelines.encoding_bar import Done, encoding_bar
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.grid_file import DamagedGrids, GridFile
from seqloom.pipelines.image_presets import ImagePreset
from seqloom.pipelines.presets import Say
from seqloom.pipelines.sources import cache_dir
from seqloom.tasks.image_reading import decode_image, decode_images
from seqloom.tasks.records import CaptionedImage, DataError

BATCH_SIZE = 32
FEW = 32  # images that may be copied into memory
FORMAT = 1  # to be raised when the same images are to give other features
LARGEST = float(np.finfo(np.float16).max)


class GridCache:
    """What a frozen backbone sees in images, kept in a cache.

        cache.grids(records)    (M, G, K, D) float16, mapped into memory

    The backbone, the bytes of the images, their order and their size are the key; the
    captions are not.

    Args:
        preset: The backbone. It computes in float32, whatever the training does.
        image_size: Pixels of each side that images are brought to.
        folder: Where features are kept; `grids` of the cache of `sources` by default.
        progress: Given the number of images, gives what is told how many are done.
        say: Told what was done, in a line.

    Raises:
        UserError: The backbone cannot read images of this size.
    """

    def __init__(
        self,
        preset: ImagePreset,
        image_size: int,
        folder: Path | None = None,
        progress: Callable[[int], AbstractContextManager[Done]] = encoding_bar,
        say: Say = print,
    ):
        self.preset = preset
        self.image_size = image_size
        self.folder = folder or cache_dir() / "grids"
        self.progress = progress
        self.say = say
        self.shape = preset.grid_shape(image_size)
        # Where the features of an image stand, by its hash.
        self._seen: dict[bytes, np.ndarray] = {}

    def grids(self, records: Sequence[CaptionedImage]) -> np.ndarray:
        """The features of images, from the disk or else computed.

        A few of the images that were asked for before are taken from there.

        Raises:
            UserError: The weights cannot be read, a feature is no float16, or there is
                no room on the disk.
            DataError: An image cannot be decoded.
        """
        if not records:
            return np.zeros((0, *self.shape), np.float16)  # nothing can be mapped
        images = [hashlib.sha256(record.image.read()).digest() for record in records]
        if len(images) <= FEW and all(image in self._seen for image in images):
            return np.stack([self._seen[image] for image in images])
        found = self._found(records, self._key(images))
        self._seen.update(zip(images, found, strict=True))
        return found

    def _found(self, records: Sequence[CaptionedImage], key: str) -> np.ndarray:
        """The features of exactly these images."""
        file = GridFile(self.folder, key)
        try:
            found = file.read()
        except DamagedGrids as error:
            self.say(
                f"Images    {file.array_path} is damaged ({error}): its features are "
                "computed anew."
            )
            found = None
        if found is None:
            return self._write(file, records)
        self.say(
            f"Images    {len(records):,} features of {self.preset.name} read from the "
            "cache"
        )
        return found

    def _key(self, images: Sequence[bytes]) -> str:
        facts = f"{FORMAT} {self.preset.sha256} {self.image_size}\n"
        return hashlib.sha256(facts.encode() + b"".join(images)).hexdigest()

    def _write(self, file: GridFile, records: Sequence[CaptionedImage]) -> np.ndarray:
        facts = {
            "format": FORMAT,
            "preset": self.preset.name,
            "preset_sha256": self.preset.sha256,
            "image_size": self.image_size,
            "created": datetime.datetime.now(datetime.UTC).isoformat("T", "seconds"),
        }
        start, number = time.perf_counter(), len(records)
        with self.progress(number) as done:
            batches = self._encoded(records, done)
            grids = file.write((number, *self.shape), batches, facts)
        seconds = time.perf_counter() - start
        self.say(
            f"Images    {number:,} encoded by {self.preset.name} in {seconds:,.0f} s "
            f"({number / seconds:,.0f} images/s), kept in {self.folder}"
        )
        return grids

    def _encoded(
        self, records: Sequence[CaptionedImage], done: Done
    ) -> Iterator[np.ndarray]:
        """`(B, G, K, D)` float16, batch by batch."""
        encoder = self.preset.encoder(frozen=True, dtype="float32")
        sides = [None, self.image_size, self.image_size, 3]
        encode = tf.function(
            lambda images: encoder(images, training=False),
            input_signature=[tf.TensorSpec(sides, tf.float32)],
            autograph=False,
            jit_compile=False,  # many times slower on CPU
        )
        batches = iter(_pixels(records, self.image_size))
        for first in range(0, len(records), BATCH_SIZE):
            some = records[first : first + BATCH_SIZE]
            try:
                images = next(batches)
            except tf.errors.InvalidArgumentError:
                _name_undecodable(some, self.image_size)
                raise
            yield self._halved(encode(images).numpy(), some)
            done(first + len(some))

    def _halved(
        self, features: np.ndarray, records: Sequence[CaptionedImage]
    ) -> np.ndarray:
        with np.errstate(over="ignore"):
            halved = features.astype(np.float16)
        for record, grid, rounded in zip(records, features, halved, strict=True):
            if np.isfinite(rounded).all():
                continue
            raise UserError(
                f"model.preset={self.preset.name} gives the image {record.name!r} "
                f"({record.where}) a feature of {np.abs(grid).max():,.0f}, and those "
                "of a frozen backbone are kept as float16, which ends at "
                f"{LARGEST:,.0f}. Check that its weights and image_converter.json "
                "belong together, train it along (model.frozen=false), or take another."
            )
        return halved


def _pixels(records: Sequence[CaptionedImage], size: int) -> tf.data.Dataset:
    """Batches `(B, size, size, 3)`, read and decoded while others are encoded."""

    def read(rows):
        # As objects: numpy's own strings lose the zeros at their end.
        return np.array([records[row].image.read() for row in rows], object)

    def decode(rows):
        data = tf.numpy_function(read, [rows], tf.string)
        data.set_shape([None])
        return decode_images(data, size)

    rows = tf.data.Dataset.range(len(records)).batch(BATCH_SIZE)
    return rows.map(decode, tf.data.AUTOTUNE, deterministic=True).prefetch(2)


def _name_undecodable(records: Sequence[CaptionedImage], size: int) -> None:
    """Say which image cannot be decoded, which a batch does not know."""
    for record in records:
        try:
            decode_image(tf.constant(record.image.read()), size)
        except tf.errors.InvalidArgumentError as error:
            raise DataError(
                f"{record.where}: the image {record.name!r} cannot be decoded "
                f"({' '.join(str(error.message).split())[:200]}). Replace it, or take "
                "its captions out."
            ) from error
