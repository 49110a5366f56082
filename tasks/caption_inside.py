"""What a captioner writes of some images, and where it looked at each word."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from seqloom.layers import generate
from seqloom.tasks.caption_attention import attention_by_word, words_of
from seqloom.tasks.caption_sheet import MOST_PICTURES, CaptionedPicture, contact_sheet
from seqloom.tasks.captioner import Captioner
from seqloom.tasks.records import CaptionedImage
from seqloom.tasks.scene_check import check
from seqloom.tasks.synthetic_scenes import SceneImage

NUM_WATCHED = 6
NUM_LARGE = 3  # pictures that are drawn once for each word
LARGEST = 320  # pixels of a side of what is drawn


def choose_images(
    records: Sequence[CaptionedImage], number: int = MOST_PICTURES
) -> list[CaptionedImage]:
    """Some of the records, from all parts of the split, always the same."""
    places = np.linspace(0, len(records) - 1, min(number, len(records)))
    return [records[round(place)] for place in places]


class CaptionGlimpse:
    """Captions a few images greedily and draws them, and where the decoder looked.

    Args:
        model: The captioner.
        task: Its task, with the vocabulary.
        records: The images, one or more.
    """

    def __init__(self, model: Captioner, task, records: Sequence[CaptionedImage]):
        self.model = model
        self.task = task
        self.records = list(records)
        self.shown = [small_image(record.image.read()) for record in self.records]
        rows = tf.range(len(self.records), dtype=tf.int64)
        features = task.batch(task.examples(self.records), rows, False, [0, 0])[0]
        self.images = features["image"]  # (B, H, W, 3), or grids (B, G, K, D)
        self._generate = tf.function(self._caption)

    def sheet(self) -> Figure:
        """All images with their captions, and with small panels of some words."""
        return contact_sheet(self._pictures())

    def attention(self) -> dict[str, Figure]:
        """Some images, once for each word; nothing if the decoder has no attention."""
        pictures = [one for one in self._pictures() if one.weights is not None]
        places = np.linspace(0, len(pictures) - 1, min(NUM_LARGE, len(pictures)))
        chosen = [pictures[round(place)] for place in places]
        return {
            f"attention_{number}": attention_by_word(
                one.image, one.words, one.weights, one.caption
            )
            for number, one in enumerate(chosen, start=1)
        }

    def _caption(self, images):
        options = self.task.search.options(beam=1)
        state = self.model.begin(images)
        return generate(self.model.decoder, state, options, collect_attention=True)

    def _pictures(self) -> list[CaptionedPicture]:
        found = self._generate(self.images)
        captions = self.task.target.decode(found.token_ids[:, 0]).numpy()
        attends = np.any(found.attention)
        return [
            CaptionedPicture(
                shown,
                caption.decode(),
                record.captions,
                **_verdict(caption.decode(), record),
                **(self._looks(found, row) if attends else {}),
            )
            for row, (shown, caption, record) in enumerate(
                zip(self.shown, captions, self.records, strict=True)
            )
        ]

    def _looks(self, found, row: int) -> dict[str, Any]:
        length = int(found.lengths[row, 0])
        pieces = self.task.target.pieces(found.token_ids[row, 0, :length].numpy())
        weights = found.attention[row, 0, :length].numpy()
        grids = weights.reshape(length, *self.model.grid_shape)  # (T, G, K)
        words, means = words_of(pieces, grids)
        return {"words": words, "weights": means}


def _verdict(caption: str, record: CaptionedImage | SceneImage) -> dict[str, Any]:
    """What is wrong with a caption, where that can be known."""
    if not isinstance(record, SceneImage):
        return {}
    found = check(caption, record.scene)
    said = "correct" if found.correct else "not correct"
    if found.wrong:
        said = f"wrong: {', '.join(found.wrong)}"
    if found.unread:
        said += f"; not understood: {' '.join(found.unread)}"
    if record.held_out:
        said += " (held-out pair)"
    return {"verdict": said, "right": found.correct}


def small_image(data: bytes, largest: int = LARGEST) -> np.ndarray:
    """Decode the bytes of an image, and make it small enough to be drawn.

    Args:
        data: A JPEG or PNG file.
        largest: Pixels that its longer side has at most.

    Returns:
        `(H, W, 3)` uint8.
    """
    image = tf.io.decode_image(data, 3, expand_animations=False)
    by = largest / max(image.shape[:2])
    if by < 1:
        size = [max(1, round(side * by)) for side in image.shape[:2]]
        image = tf.image.resize(image, size, method="area")
    return np.asarray(image).round().astype(np.uint8)
