"""Captioning: an image to a sentence about it (one-to-many)."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from seqloom.layers import DecodingOptions, PretrainedImageEncoder, generate
from seqloom.tasks.caption_figures import scene_parts, scores_by_image
from seqloom.tasks.caption_inside import NUM_WATCHED, CaptionGlimpse, choose_images
from seqloom.tasks.caption_metrics import CaptionScores, row_scores, score_captions
from seqloom.tasks.captioner import (
    build_captioner,
    doubly_stochastic_penalty,
    word_detection_loss,
)
from seqloom.tasks.examples import Examples
from seqloom.tasks.image_reading import decode_images, vary_images
from seqloom.tasks.records import CaptionedImage
from seqloom.tasks.reference_scores import (
    reference_columns,
    reference_scores,
    reference_values,
)
from seqloom.tasks.scene_scores import scene_columns, scene_values
from seqloom.tasks.subwords import BEGIN, END, Subwords
from seqloom.tasks.translator import translation_loss


@dataclass(frozen=True)
class Eye:
    """A pretrained image encoder, and what it sees.

    Args:
        load: Gives the layer, with its weights.
        shape: `(G, K, D)` of its grids.
        grids: Gives `(M, G, K, D)` float16 of so many images, for an encoder that is
            frozen; None where it is trained.
    """

    load: Callable[[], PretrainedImageEncoder]
    shape: tuple[int, int, int]
    grids: Callable[[Sequence[CaptionedImage]], np.ndarray] | None = None


@dataclass(frozen=True)
class CaptionSearch:
    """How a caption is looked for; see `DecodingOptions`.

    Args:
        max_length: Longest caption in pieces.
    """

    beam: int = 3
    length_penalty: float = 0.7
    max_length: int = 40

    def options(self, **changes) -> DecodingOptions:
        return DecodingOptions(**{**dataclasses.asdict(self), **changes})


class CaptioningTask:
    """One-to-many: an image to a caption.

    One example, raw and encoded:

        image.png, "a small red ring left of two blue squares"
        image       pixels (H, W, 3), or the grid (G, K, D) of a pretrained encoder
        target_ids  [2, 5, 31, 12, 40, 9, ...]     the begin, then pieces of the caption
        labels      [5, 31, 12, 40, 9, ..., 3]     what comes after each of them

    Training reads every caption once an epoch, or with captions_at_once every image
    once with some of its captions, which are drawn anew for each epoch. Validation and
    test are scored against all captions of an image, and their loss is that of the
    first.

    Args:
        name: `captioning`.
        tokenizer: `unigram` or `bpe`.
        vocabulary_size: Most pieces there may be.
        lowercase: Learn and write captions in lower case.
        image_size: Pixels of each side of what the model reads.
        vary: Vary images in training; see `vary_images`. Not with a frozen encoder,
            whose grids are computed once.
        max_length: Pieces of a caption that are learned.
        captions_at_once: How many captions of an image are learned at one look at it;
            None: each by itself.
        label_smoothing: Probability that the targets spread over all pieces.
        doubly_stochastic: Weight of `doubly_stochastic_penalty`.
        word_detection: Weight of `word_detection_loss`, of an image for each caption.
        seed: Decides which captions are drawn.
        search: How test images are captioned.
        eye: A pretrained encoder; None trains convolutions from scratch.
        model: Arguments of `build_captioner`.
    """

    spans = False

    def __init__(
        self,
        name: str,
        tokenizer: str = "unigram",
        vocabulary_size: int = 2000,
        lowercase: bool = True,
        image_size: int = 64,
        vary: bool = True,
        max_length: int = 64,
        captions_at_once: int | None = None,
        label_smoothing: float = 0.0,
        doubly_stochastic: float = 0.0,
        word_detection: float = 0.0,
        seed: int = 0,
        search: CaptionSearch | None = None,
        eye: Eye | None = None,
        model: dict | None = None,
    ):
        self.name = name
        self.lowercase = lowercase
        self.image_size = image_size
        self.vary = vary
        self.max_length = max_length
        self.captions_at_once = captions_at_once
        self.label_smoothing = label_smoothing
        self.doubly_stochastic = doubly_stochastic
        self.word_detection = word_detection
        self.seed = seed
        self.search = search or CaptionSearch()
        self.eye = eye
        self.model_arguments = dict(model or {})
        self._fit_arguments: dict[str, Any] = {
            "vocabulary_size": vocabulary_size,
            "kind": tokenizer,
        }
        self._subwords: Subwords | None = None

    # === Vocabulary ===

    @property
    def target(self) -> Subwords:
        """How captions are cut into pieces; there once the vocabulary is."""
        if self._subwords is None:
            raise ValueError(
                f"The task {self.name} has no vocabulary yet. Call fit_vocabulary or "
                "load_vocabulary first."
            )
        return self._subwords

    def fit_vocabulary(self, records: Sequence[CaptionedImage]) -> None:
        captions = [self._written(c) for record in records for c in record.captions]
        self._subwords = Subwords.fit(captions, **self._fit_arguments)

    def save_vocabulary(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.target.save(folder, "target")

    def load_vocabulary(self, folder: Path) -> None:
        self._subwords = Subwords.load(folder, "target")

    def _written(self, caption: str) -> str:
        return caption.lower() if self.lowercase else caption

    # === Data ===

    @property
    def frozen(self) -> bool:
        """Whether the model is fed with the grids of an encoder, not with pixels."""
        return self.eye is not None and self.eye.grids is not None

    def examples(
        self, records: Sequence[CaptionedImage], training: bool = False
    ) -> Examples:
        """Encode the captions, and read the images or their grids."""
        counts = np.array([len(record.captions) for record in records], np.int64)
        written = [self._written(c) for record in records for c in record.captions]
        ids = self.target.encode(tf.constant(written))
        tables = {}
        if self.word_detection:
            tables["common"], tables["rare"] = _words(ids, counts)
        if not training:
            ids = tf.gather(ids, np.cumsum(counts) - counts)  # the first of each
            counts = np.ones_like(counts)
        truncated = int(tf.math.count_nonzero(ids.row_lengths() > self.max_length))
        end = tf.fill([ids.nrows(), 1], END)
        labels = tf.concat([ids[:, : self.max_length], end], axis=1)
        if self.eye is not None and self.eye.grids is not None:
            tables["images"] = self.eye.grids(records)
        else:
            tables["images"] = tf.constant([record.image.read() for record in records])
        if training and self.captions_at_once:
            at_once, seed = self.captions_at_once, self.seed
            return _drawn(labels, counts, tables, truncated, at_once, seed, epoch=0)
        places = np.arange(len(counts)).repeat(counts)  # (N,)
        each = tf.RaggedTensor.from_row_lengths(
            labels, np.ones_like(places)
        )  # (N, (1), (T))
        return _examples(places, each, tables, truncated)

    def batch(self, examples: Examples, rows, training: bool, seed) -> tuple:
        """Cut the batch of the given rows: images, ids `(N, T)`, and labels `(N, T)`.

        With K captions of each image, N is B K; what an image has fewer of is padding.
        For word detection, the pieces of `word_detection_loss` come third.

        Args:
            rows: `(B,)` int64 example indices.
        """
        places = tf.gather(examples.columns["image"], rows)
        labels = tf.gather(examples.columns["labels"], rows).to_tensor()  # (B, K, T)
        labels = tf.reshape(labels, [-1, tf.shape(labels)[2]])  # (N, T)
        begin = tf.fill([tf.shape(labels)[0], 1], BEGIN)
        before = tf.concat([begin, labels[:, :-1]], axis=1)  # (N, T)
        target_ids = tf.where(labels == 0, 0, before)
        image = self._images(examples.tables["images"], places, training, seed)
        features = {"image": image, "target_ids": target_ids}
        if not self.word_detection:
            return features, labels
        words = [
            tf.gather(examples.tables[name], places).to_tensor()
            for name in ("common", "rare")
        ]
        return features, labels, tuple(words)

    def _images(self, images, places, training, seed):
        """Pixels `(B, H, W, 3)`, or grids `(B, G, K, D)`, float32."""
        if self.eye is not None and self.eye.grids is not None:
            # Not as a constant: the grids of many images are gigabytes on the disk.
            grids = tf.numpy_function(lambda rows: images[rows], [places], tf.float16)
            grids.set_shape([None, *self.eye.shape])
            return tf.cast(grids, tf.float32)
        pixels = decode_images(tf.gather(images, places), self.image_size)
        return vary_images(pixels, seed) if training and self.vary else pixels

    # === Model ===

    def build_model(self):
        size = self.target.size
        if self.search.beam > size:
            raise ValueError(
                f"beam={self.search.beam} is larger than the vocabulary of {size} "
                "pieces. Set it to 10 or less."
            )
        shape = (self.image_size, self.image_size, 3)
        encoder = None
        if self.eye is not None:
            if self.frozen:
                shape = self.eye.shape
            else:
                encoder = self.eye.load()
        return build_captioner(
            size,
            shape,
            pixels=not self.frozen,
            image_encoder=encoder,
            # With the end, or as long as may be written.
            max_length=max(self.max_length + 1, self.search.max_length),
            word_detection=self.word_detection > 0,
            **self.model_arguments,
        )

    def loss(self, model, batch, outputs) -> tuple:
        """Summed loss and number of pieces of one batch, both scalar float32."""
        total, weight = translation_loss(
            batch[1], outputs["logits"], self.label_smoothing
        )
        if self.doubly_stochastic:
            uneven = doubly_stochastic_penalty(outputs["attention"], batch[1])
            total += self.doubly_stochastic * uneven
        if self.word_detection:
            missed = word_detection_loss(outputs["words"], *batch[2])
            # Of images. Each counts with every caption it has here, as validation reads
            # an image with one and training perhaps with more.
            captions = tf.shape(batch[1])[0] / tf.shape(outputs["words"])[0]
            total += self.word_detection * tf.cast(captions, total.dtype) * missed
        return total, weight

    def serving_module(self, model):
        """The graph that is exported: image bytes in, captions and scores out."""
        from seqloom.tasks.captioning_serving import CaptioningServing

        return CaptioningServing(model, self)

    # === Evaluation ===

    def predict(self, model, batch, outputs, quick: bool = False) -> tuple:
        """Captions, and how the model likes the first reference.

        Returns:
            token_ids `(B, T)` int32, log-probability `(B,)` of it, then of the
            reference: log-probability, pieces, and pieces that came first, `(B,)`.
        """
        labels = batch[1]
        options = self.search.options(**({"beam": 1} if quick else {}))
        found = generate(model.decoder, model.begin(batch[0]["image"]), options)
        scores = reference_scores(labels, outputs["logits"])
        return found.token_ids[:, 0], found.log_probabilities[:, 0], *scores

    def predictions(self, records: Sequence[CaptionedImage], outputs) -> list[dict]:
        """One JSON-ready row for each record and its `predict` output."""
        ids = tf.ragged.constant([row[0] for row in outputs], tf.int32, ragged_rank=1)
        texts = [text.decode() for text in self.target.decode(ids).numpy()]
        return [
            {
                "image": record.name,
                "references": [self._written(caption) for caption in record.captions],
                "prediction": text,
                **scene_columns(record, text),
                **reference_columns(*scores),
            }
            for record, text, (_, *scores) in zip(records, texts, outputs, strict=True)
        ]

    def evaluate(self, rows: Sequence[dict], quick: bool = False) -> CaptionScores:
        """Scores of captions, of scenes what is right, and of pieces of references."""
        scores = score_captions(rows, quick)
        values = {**scene_values(rows), **scores.values, **reference_values(rows)}
        return dataclasses.replace(scores, values=values)

    def figures(self, rows: Sequence[dict]) -> dict:
        """Figures of a test split, by name."""
        if rows and "correct" in rows[0]:
            return {"scene_parts": scene_parts(scene_values(rows))}
        scores = [row["cider_d"] for row in row_scores(rows)]
        return {"cider_d_by_image": scores_by_image(scores)}

    def tables(self, rows: Sequence[dict]) -> dict[str, list[dict]]:
        """Browsable tables of predictions, by name."""
        return {"predictions": list(rows)}

    def watch(self, model, records: Sequence[CaptionedImage]):
        """Draws a few images with the captions that the model writes by then."""
        glimpse = CaptionGlimpse(model, self, choose_images(records, NUM_WATCHED))
        return lambda: {"captions": glimpse.sheet()}

    def look_inside(
        self, model, records: Sequence[CaptionedImage], rows: Sequence[dict]
    ) -> dict:
        """Captions of some test images, and where each word of a few looked."""
        glimpse = CaptionGlimpse(model, self, choose_images(records))
        return {"contact_sheet": glimpse.sheet(), **glimpse.attention()}


def _words(ids, counts) -> list:
    """Ragged pieces that all captions of an image have, and that only some have.

    Args:
        ids: Ragged pieces of each caption, image by image.
        counts: Number of captions of each image.
    """
    captions = iter(map(set, ids.to_list()))
    common, rare = [], []
    for count in counts:
        pieces = [next(captions) for _ in range(count)]
        common.append(sorted(set.intersection(*pieces)))
        rare.append(sorted(set.union(*pieces) - set(common[-1])))
    return [
        tf.ragged.constant(rows, tf.int32, ragged_rank=1) for rows in (common, rare)
    ]


def _drawn(
    labels, counts, tables, truncated: int, at_once: int, seed: int, epoch: int
) -> Examples:
    """One look at each image, with captions that are drawn anew for each epoch.

    Args:
        labels: Ragged pieces of each caption, image by image.
        counts: `(M,)` captions of each image.
        at_once: Most captions at one look.
    """
    places = np.arange(len(counts))  # (M,)
    image = places.repeat(counts)  # of each caption
    keys = np.random.default_rng([seed, epoch]).random(len(image))
    shuffled = np.lexsort((keys, image))
    first = np.cumsum(counts) - counts  # caption of each image
    drawn = shuffled[np.arange(len(image)) - first[image] < at_once]
    some = tf.RaggedTensor.from_row_lengths(
        tf.gather(labels, drawn), np.minimum(counts, at_once)
    )  # (M, (K), (T))
    again = partial(_drawn, labels, counts, tables, truncated, at_once, seed)
    return _examples(places, some, tables, truncated, again)


def _examples(places, labels, tables, truncated: int, resample=None) -> Examples:
    """One example for each look at an image.

    Args:
        places: `(N,)` image of each look.
        labels: Pieces `(N, (K), (T))` of its captions.
    """
    lengths = labels.row_lengths(axis=2)  # (N, (K))
    most = tf.reduce_max(labels.row_lengths())  # captions of an image
    return Examples(
        columns={"image": tf.constant(places, tf.int64), "labels": labels},
        lengths=(most * tf.reduce_max(lengths, axis=1)).numpy(),
        tables=tables,
        num_truncated=truncated,
        tokens=tf.reduce_sum(lengths, axis=1).numpy(),
        resample=resample,
    )
