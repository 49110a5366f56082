"""Translation: a sentence to another one, of any length (asynchronous many-to-many)."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from seqloom.layers import generate
from seqloom.tasks.disk_rows import Chunk, DiskRows
from seqloom.tasks.examples import Examples, gather
from seqloom.tasks.records import SentencePair
from seqloom.tasks.reference_scores import (
    reference_columns,
    reference_scores,
    reference_values,
)
from seqloom.tasks.subwords import Subwords
from seqloom.tasks.translation_figures import bleu_by_length
from seqloom.tasks.translation_inside import Glimpse, choose_sources
from seqloom.tasks.translation_metrics import TranslationScores, score_translations
from seqloom.tasks.translation_search import Search, within_positions
from seqloom.tasks.translator import build_translator, translation_loss

BEGIN, END = 2, 3
TEXTS_AT_ONCE = 4096


class TranslationTask:
    """Asynchronous many-to-many: a sentence to its translation.

    One example, raw and encoded:

        "A red ball.", "Ein roter Ball."
        source_ids  [9, 71, 212, 5, 3]           pieces of the source, then the end
        target_ids  [2, 14, 133, 8, 212, 5]      the begin, then pieces of the target
        labels      [14, 133, 8, 212, 5, 3]      what comes after each of them

    Args:
        name: `translation`.
        tokenizer: `unigram` or `bpe`.
        vocabulary_size: Most pieces there may be, on each side or on both together.
        joint: Whether both sides share their pieces, and their embedding.
        sampling: Strength of subword regularization in training; 0 switches it off.
        seed: Of the sampling.
        max_length: Pieces of a sentence that are read.
        label_smoothing: Probability that the targets spread over all pieces.
        search: How test sentences are translated.
        model: Arguments of `build_translator`.
    """

    spans = False

    def __init__(
        self,
        name: str,
        tokenizer: str = "unigram",
        vocabulary_size: int = 8000,
        joint: bool = True,
        sampling: float = 0.0,
        seed: int = 0,
        max_length: int = 256,
        label_smoothing: float = 0.1,
        search: Search | None = None,
        model: dict | None = None,
    ):
        self.name = name
        self.joint = joint
        self.sampling = sampling
        self.seed = seed
        self.max_length = max_length
        self.label_smoothing = label_smoothing
        self.search = search or Search()
        self.model_arguments = dict(model or {})
        self._fit_arguments: dict[str, Any] = {
            "vocabulary_size": vocabulary_size,
            "kind": tokenizer,
        }
        self._subwords: tuple[Subwords, Subwords] | None = None

    # === Vocabulary ===

    @property
    def source(self) -> Subwords:
        """How sources are cut into pieces; there once the vocabulary is."""
        return self._sides()[0]

    @property
    def target(self) -> Subwords:
        """How targets are."""
        return self._sides()[1]

    def _sides(self) -> tuple[Subwords, Subwords]:
        if self._subwords is None:
            raise ValueError(
                f"The task {self.name} has no vocabulary yet. Call fit_vocabulary or "
                "load_vocabulary first."
            )
        return self._subwords

    def fit_vocabulary(self, records: Sequence[SentencePair]) -> None:
        sources, targets = _texts(records)
        if self.joint:
            both = Subwords.fit(chain(sources, targets), **self._fit_arguments)
            self._subwords = (both, both)
        else:
            self._subwords = (
                Subwords.fit(sources, **self._fit_arguments),
                Subwords.fit(targets, **self._fit_arguments),
            )

    def save_vocabulary(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.source.save(folder, "source")
        if not self.joint:
            self.target.save(folder, "target")

    def load_vocabulary(self, folder: Path) -> None:
        source = Subwords.load(folder, "source")
        target = source if self.joint else Subwords.load(folder, "target")
        self._subwords = (source, target)

    # === Data ===

    def encode_source(self, texts) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """Ids `(B, (S))` of `(B,)` texts, the end last, and which are cut off."""
        return _encode(self.source, texts, self.max_length)

    def encode_target(self, texts) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """As `encode_source`: the labels `(B, (T))`."""
        return _encode(self.target, texts, self.max_length)

    def examples(
        self, records: Sequence[SentencePair], training: bool = False
    ) -> Examples:
        """Encode records; in training with `sampling`, anew for every epoch.

        Records that are no list may be too many for memory: their pieces are kept on
        disk, too.
        """
        on_disk = not isinstance(records, list)
        sources, targets = _texts(records)
        source, cut_sources = _encode_all(self.encode_source, sources, on_disk)
        target, cut_targets = _encode_all(self.encode_target, targets, on_disk)
        truncated = int(np.count_nonzero(cut_sources | cut_targets))
        resample = partial(self._resampled, records, truncated)
        sampled = training and self.sampling > 0
        return _examples(source, target, truncated, resample if sampled else None)

    def _resampled(self, records, truncated: int, epoch: int) -> Examples:
        on_disk = not isinstance(records, list)
        sides = zip((self.source, self.target), _texts(records), strict=True)
        source, target = (
            _column(self._sampled(subwords, texts, [self.seed, epoch, side]), on_disk)
            for side, (subwords, texts) in enumerate(sides)
        )
        return _examples(source, target, truncated)

    def _sampled(self, subwords: Subwords, texts, seed) -> Iterator[Chunk]:
        """Labels or source ids of some texts at a time, cut at random."""
        first = 0
        for some in _some_at_once(texts):
            rows = subwords.sample(some, seed, self.sampling, first)
            rows = [[*row[: self.max_length], END] for row in rows]
            lengths = np.array([len(row) for row in rows], np.int64)
            flat = np.fromiter((i for row in rows for i in row), np.int32)
            yield flat, lengths
            first += len(some)

    def batch(self, examples: Examples, rows, training: bool, seed) -> tuple:
        """Cut the batch of the given rows: ids `(B, S)`, `(B, T)`, and labels `(B, T)`.

        Args:
            rows: `(B,)` int64 example indices.
        """
        source_ids = gather(examples.columns["source_ids"], rows).to_tensor()
        labels = gather(examples.columns["labels"], rows)
        begin = tf.fill([labels.nrows(), 1], BEGIN)
        target_ids = tf.concat([begin, labels[:, :-1]], axis=1).to_tensor()  # (B, T)
        return {
            "source_ids": source_ids,
            "target_ids": target_ids,
        }, labels.to_tensor()

    # === Model ===

    def build_model(self):
        if self.search.beam > self.target.size:
            raise ValueError(
                f"beam={self.search.beam} is larger than the vocabulary of "
                f"{self.target.size} pieces. Set it to 10 or less."
            )
        return build_translator(
            self.source.size,
            None if self.joint else self.target.size,
            max_length=self.max_length + 1,  # with the end
            **self.model_arguments,
        )

    def loss(self, model, batch, outputs) -> tuple:
        """Summed loss and number of target pieces of one batch, both scalar float32."""
        smoothing = self.label_smoothing
        return translation_loss(batch[1], outputs["logits"], smoothing)

    def serving_module(self, model):
        """The graph that is exported: raw texts in, translations and scores out."""
        from seqloom.tasks.translation_serving import TranslationServing

        return TranslationServing(model, self)

    # === Evaluation ===

    def predict(self, model, batch, outputs, quick: bool = False) -> tuple:
        """Translations, and how the model likes the references.

        Returns:
            token_ids `(B, T)` int32, log-probability `(B,)` of it, then of the
            reference: log-probability, pieces, and pieces that came first, `(B,)`.
        """
        source_ids, labels = batch[0]["source_ids"], batch[1]
        lengths = tf.math.count_nonzero(source_ids, axis=1)
        changes = {"beam": 1} if quick else {}
        options = within_positions(
            self.search.options(lengths, **changes), model.decoder
        )
        found = generate(
            model.decoder, model.begin(source_ids), options, source_mask=source_ids != 0
        )
        scores = reference_scores(labels, outputs["logits"])
        return found.token_ids[:, 0], found.log_probabilities[:, 0], *scores

    def predictions(self, records: Sequence[SentencePair], outputs) -> list[dict]:
        """One JSON-ready row for each record and its `predict` output."""
        ids = tf.ragged.constant([row[0] for row in outputs], tf.int32, ragged_rank=1)
        texts = [text.decode() for text in self.target.decode(ids).numpy()]
        return [
            {
                "source": record.source,
                "reference": record.target,
                "prediction": text,
                **reference_columns(*scores),
            }
            for record, text, (_, *scores) in zip(records, texts, outputs, strict=True)
        ]

    def evaluate(self, rows: Sequence[dict], quick: bool = False) -> TranslationScores:
        """BLEU and chrF, and perplexity and accuracy of pieces under the references."""
        scores = score_translations(rows, quick)
        values = {**scores.values, **reference_values(rows)}
        return dataclasses.replace(scores, values=values)

    def figures(self, rows: Sequence[dict]) -> dict:
        """Figures of a test split, by name."""
        return {"bleu_by_length": bleu_by_length(self.evaluate(rows).per_type)}

    def tables(self, rows: Sequence[dict]) -> dict[str, list[dict]]:
        """Browsable tables of predictions, by name."""
        return {"predictions": list(rows)}

    def watch(self, model, records: Sequence[SentencePair]):
        """Draws the alignments of a few sentences, as the model sees them by then."""
        sources = choose_sources([record.source for record in records])
        glimpse = Glimpse(model, self, sources)

        def draw() -> dict:
            figure = glimpse.alignments()
            return {} if figure is None else {"alignments": figure}

        return draw

    def look_inside(self, model, records: Sequence, rows: Sequence[dict]) -> dict:
        """Alignments of some test sentences, and of a Transformer all heads in one."""
        sources = choose_sources([row["source"] for row in rows])
        glimpse = Glimpse(model, self, sources)
        alignments = glimpse.alignments()
        drawn = {} if alignments is None else {"alignments": alignments}
        return {**drawn, **glimpse.heads()}


def _encode(subwords: Subwords, texts, max_length: int):
    ids = subwords.encode(texts)  # (B, (S))
    truncated = ids.row_lengths() > max_length
    end = tf.fill([ids.nrows(), 1], END)
    return tf.concat([ids[:, :max_length], end], axis=1), truncated


def _texts(records: Sequence[SentencePair]) -> tuple[Iterator[str], Iterator[str]]:
    sources = (record.source for record in records)
    return sources, (record.target for record in records)


def _encode_all(
    encode, texts: Iterable[str], on_disk: bool
) -> tuple[tf.RaggedTensor | DiskRows, np.ndarray]:
    encode = tf.function(encode, input_signature=[tf.TensorSpec([None], tf.string)])
    cut = []

    def chunks() -> Iterator[Chunk]:
        for some in _some_at_once(texts):
            ids, truncated = encode(tf.constant(some))
            cut.append(truncated.numpy())
            yield ids.flat_values.numpy(), ids.row_lengths().numpy()

    return _column(chunks(), on_disk), np.concatenate(cut)


def _some_at_once(texts: Iterable[str]) -> Iterator[list[str]]:
    texts = iter(texts)
    return iter(lambda: list(islice(texts, TEXTS_AT_ONCE)), [])


def _column(chunks: Iterator[Chunk], on_disk: bool) -> tf.RaggedTensor | DiskRows:
    """Ids `(N, (T))` int32."""
    if on_disk:
        return DiskRows(chunks, np.int32)
    values, lengths = map(np.concatenate, zip(*chunks, strict=True))
    return tf.RaggedTensor.from_row_lengths(values, lengths)


def _examples(source, labels, truncated: int, resample=None) -> Examples:
    lengths = [np.asarray(ids.row_lengths()) for ids in (source, labels)]
    return Examples(
        columns={"source_ids": source, "labels": labels},
        lengths=np.stack(lengths, axis=1),  # (N, 2)
        tables={},
        num_truncated=truncated,
        resample=resample,
    )
