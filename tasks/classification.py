"""Classification: one label for a whole text (sentiment)."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from seqloom.tasks import text_pieces
from seqloom.tasks.classification_figures import label_scores, reliability_diagram
from seqloom.tasks.classification_metrics import (
    ClassificationScores,
    calibration,
    confident_mistakes,
    confusion_counts,
    score_labels,
)
from seqloom.tasks.classification_serving import ClassificationServing
from seqloom.tasks.classifier import build_classifier, classification_loss
from seqloom.tasks.confusion import confusion_matrix
from seqloom.tasks.examples import Examples
from seqloom.tasks.explanation import choose_examples, explain
from seqloom.tasks.highlights import highlights_html
from seqloom.tasks.highlights_figure import highlights_figure
from seqloom.tasks.pretrained import Pretrained
from seqloom.tasks.records import DataError, LabelledText
from seqloom.tasks.text_pieces import TOKENIZERS, PresetTokens, Tokens
from seqloom.tasks.vocabulary import replace_rare

TEXTS_AT_ONCE = 4096


class ClassificationTask:
    """Many-to-one: a text to a label.

    One example, raw and encoded:

        "a fine film", "positive"
        [7, 213, 22], 2               piece_ids (0 is padding), label_id (by name)

    Args:
        name: `sentiment`.
        tokenizer: What texts are cut into: `words`, `wordpiece` or `sentencepiece`.
        vocabulary_size: Most pieces there may be.
        min_frequency: Words seen less often in training are unknown.
        lowercase: Whether case is ignored.
        max_length: Pieces of a text that are read.
        word_dropout: Strength of rare-word replacement in training; 0 switches it off.
        class_weights: `none`, or `balanced`: the labels weigh the same in the loss,
            however many texts they have.
        label_smoothing: Probability that the targets spread over all labels.
        preset: Loads a pretrained encoder to build on; see `Pretrained`.
        model: Arguments of `build_classifier`.
    """

    spans = False

    def __init__(
        self,
        name: str,
        tokenizer: str = "words",
        vocabulary_size: int = 8000,
        min_frequency: int = 1,
        lowercase: bool = True,
        max_length: int = 512,
        word_dropout: float = 0.0,
        class_weights: str = "none",
        label_smoothing: float = 0.0,
        preset: Callable[[], Pretrained] | None = None,
        model: dict | None = None,
    ):
        self.name = name
        self.labels: list[str] = []
        self.word_dropout = word_dropout
        self.balanced = class_weights == "balanced"
        self.label_smoothing = label_smoothing
        self.max_length = max_length
        self.model_arguments = dict(model or {})
        self._kind: Any = TOKENIZERS[tokenizer]
        self._fit_arguments = (vocabulary_size, lowercase, min_frequency)
        self._lowercase = lowercase
        self._preset = preset
        self._tokens: Tokens | None = None
        self._weights: list[float] | None = None

    # === Vocabulary ===

    @property
    def tokens(self) -> Tokens:
        """How texts are cut; there once the vocabulary is."""
        if self._tokens is None:
            raise ValueError(
                f"The task {self.name} has no vocabulary yet. Call fit_vocabulary or "
                "load_vocabulary first."
            )
        return self._tokens

    def fit_vocabulary(self, records: Sequence[LabelledText]) -> None:
        counts = Counter(record.label for record in records)
        self.labels = sorted(counts)
        if self.balanced:
            self._weights = [
                len(records) / (len(counts) * counts[label]) for label in self.labels
            ]
        if self._preset is not None:
            self._tokens = PresetTokens(self._preset())
        else:
            texts = [record.text for record in records]
            self._tokens = self._kind.fit(texts, *self._fit_arguments)

    def save_vocabulary(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.tokens.save(folder)
        content = {"labels": self.labels, "class_weights": self._weights}
        text = json.dumps(content, ensure_ascii=False)
        (folder / "classification.json").write_text(text, encoding="utf-8")

    def load_vocabulary(self, folder: Path) -> None:
        kind: Any = PresetTokens if self._preset is not None else self._kind
        self._tokens = kind.load(folder, self._lowercase)
        text = (folder / "classification.json").read_text(encoding="utf-8")
        content = json.loads(text)
        self.labels = content["labels"]
        self._weights = content["class_weights"]

    # === Data ===

    def encode(self, texts) -> dict:
        """Pieces and words of `(B,)` texts; see `text_pieces.encode`."""
        return text_pieces.encode(self.tokens, texts, self.max_length)

    def examples(
        self, records: Sequence[LabelledText], training: bool = False
    ) -> Examples:
        known = {label: index for index, label in enumerate(self.labels)}
        label_ids = [
            known[record.label] if record.label in known else self._unknown(record)
            for record in records
        ]
        encode = tf.function(
            self.encode, input_signature=[tf.TensorSpec([None], tf.string)]
        )
        parts, truncated = [], 0
        for first in range(0, len(records), TEXTS_AT_ONCE):
            texts = [record.text for record in records[first : first + TEXTS_AT_ONCE]]
            encoded = encode(tf.constant(texts))
            parts.append(encoded["ids"])
            truncated += int(tf.math.count_nonzero(encoded["truncated"]))
        ids = tf.concat(parts, axis=0)  # (N, (S))
        return Examples(
            columns={"piece_ids": ids, "label_ids": tf.constant(label_ids, tf.int32)},
            lengths=ids.row_lengths().numpy(),
            tables={},
            num_truncated=truncated,
        )

    def batch(self, examples: Examples, rows, training: bool, seed) -> tuple:
        """Cut the batch of the given rows: piece ids `(B, S)` and label ids `(B,)`.

        Args:
            rows: `(B,)` int64 example indices.
            training: Whether rare words are replaced by the unknown one.
            seed: `(2,)` int32; the same seed gives the same batch.
        """
        piece_ids = tf.gather(examples.columns["piece_ids"], rows).to_tensor()
        if training and self.word_dropout and self.tokens.counts is not None:
            piece_ids = replace_rare(
                piece_ids, self.tokens.counts, self.word_dropout, seed
            )
        label_ids = tf.gather(examples.columns["label_ids"], rows)
        return {"piece_ids": piece_ids}, label_ids

    def _unknown(self, record: LabelledText):
        raise DataError(
            f"Unknown label {record.label!r} of the text at "
            f"{record.where or 'unknown place'}: training has only "
            f"{', '.join(self.labels)}. Correct the label, or add training texts that "
            "have it."
        )

    # === Model ===

    def build_model(self):
        pretrained = None
        if isinstance(self.tokens, PresetTokens):
            pretrained = self.tokens.pretrained.encoder()
            # A text goes through in one piece.
            self.max_length = min(self.max_length, pretrained.window - 2)
        return build_classifier(
            self.tokens.size,
            len(self.labels),
            pretrained,
            max_length=self.max_length,
            **self.model_arguments,
        )

    def loss(self, model, batch, outputs) -> tuple:
        """Summed loss and the weight of the texts of one batch, both scalar float32."""
        return classification_loss(
            batch[1], outputs["logits"], self.label_smoothing, self._weights
        )

    def serving_module(self, model) -> ClassificationServing:
        """The graph that is exported: raw texts in, labels and probabilities out."""
        return ClassificationServing(
            model, self.encode, self.labels, resources=self.tokens.resources
        )

    # === Evaluation ===

    def predict(self, model, batch, outputs, quick: bool = False) -> tuple:
        """Probabilities of all labels, `(B, K)`."""
        return (tf.nn.softmax(outputs["logits"]),)

    def predictions(self, records: Sequence[LabelledText], outputs) -> list[dict]:
        """One JSON-ready row for each record and its `predict` output."""
        rows = []
        for record, (probabilities,) in zip(records, outputs, strict=True):
            best = int(np.argmax(probabilities))
            rows.append(
                {
                    "text": record.text,
                    "reference": record.label,
                    "prediction": self.labels[best],
                    "score": round(float(probabilities[best]), 6),
                    "probabilities": {
                        label: round(float(share), 6)
                        for label, share in zip(self.labels, probabilities, strict=True)
                    },
                }
            )
        return rows

    def evaluate(
        self, rows: Sequence[dict], quick: bool = False
    ) -> ClassificationScores:
        return score_labels(rows, self.labels)

    def figures(self, rows: Sequence[dict]) -> dict:
        """Figures of a test split, by name."""
        error, bins = calibration(rows)
        per_type = self.evaluate(rows).per_type
        return {
            "confusion": confusion_matrix(
                self.labels, confusion_counts(rows, self.labels), unit="texts"
            ),
            "labels": label_scores(per_type),
            "reliability": reliability_diagram(bins, error),
        }

    def tables(self, rows: Sequence[dict]) -> dict[str, list[dict]]:
        """Browsable tables of predictions, by name."""
        return {
            "predictions": [
                {**row, "probabilities": json.dumps(row["probabilities"])}
                for row in rows
            ],
            "confident_mistakes": confident_mistakes(rows),
        }

    def watch(self, model, records) -> None:
        """Nothing to see before the end."""

    def look_inside(self, model, records: Sequence, rows: Sequence[dict]) -> dict:
        """What the model attended to in some texts: a figure and an HTML page."""
        texts = [
            explain(
                model,
                self.encode,
                row,
                self.labels.index(row["prediction"]),
                heading,
            )
            for heading, row in choose_examples(rows)
        ]
        return {
            "highlights": highlights_figure(texts),
            "attention": highlights_html(texts),
        }
