"""Tagging: one tag for every token (NER, part of speech)."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from seqloom.tasks.examples import Examples
from seqloom.tasks.pretrained import MAX_PIECES, Pretrained
from seqloom.tasks.records import DataError, TaggedSentence
from seqloom.tasks.tagger import build_tagger, tagging_loss
from seqloom.tasks.tagging_figures import (
    confusion_counts,
    confusion_matrix,
    known_and_unknown_words,
    type_scores,
)
from seqloom.tasks.tagging_metrics import TaggingScores, score_tags, worst_errors
from seqloom.tasks.tagging_serving import TaggingServing
from seqloom.tasks.word_features import WordFeatures


class TaggingTask:
    """Synchronous many-to-many: a sequence of words to a sequence of tags.

    One example, raw and encoded:

        Rhea   met  Ada    in  Paris          words
        B-PER  O    B-PER  O   B-LOC          tags
        812    95   1      7   530            word_ids (1 = unknown)
        1      4    1      4   0              tag_ids (tags sorted by name)

    Args:
        name: `ner` or `pos`.
        spans: Whether the tags are IOB2 spans; `load_vocabulary` sets it too.
        constrained: Let a CRF give valid IOB2 sequences only, where tags are spans.
        min_frequency: Words seen less often in training are unknown.
        lowercase: Whether word ids ignore case; characters and shapes never do.
        max_characters: Letters of a word that the model reads.
        word_dropout: Strength of rare-word replacement in training; 0 switches it off.
        preset: Loads a pretrained encoder to build on; see `Pretrained`.
        model: Arguments of `build_tagger`.
    """

    def __init__(
        self,
        name: str,
        spans: bool = False,
        constrained: bool = True,
        min_frequency: int = 1,
        lowercase: bool = True,
        max_characters: int = 20,
        word_dropout: float = 0.25,
        preset: Callable[[], Pretrained] | None = None,
        model: dict | None = None,
    ):
        self.name = name
        self.spans = spans
        self.constrained = constrained
        self.word_dropout = word_dropout
        self.model_arguments = dict(model or {})
        self.tags: list[str] = []
        self.training_words: set[str] = set()
        self.pretrained: Pretrained | None = None
        self._preset = preset
        self._features: WordFeatures | None = None
        self._lowercase = lowercase
        self._max_characters = max_characters
        self._min_frequency = min_frequency

    # === Vocabulary ===

    @property
    def features(self) -> WordFeatures:
        """What words are turned into; there once the vocabulary is."""
        if self._features is None:
            raise ValueError(
                f"The task {self.name} has no vocabulary yet. Call fit_vocabulary or "
                "load_vocabulary first."
            )
        return self._features

    def fit_vocabulary(self, records: Sequence[TaggedSentence]) -> None:
        self._features = WordFeatures.fit(
            _tokens(records), self._min_frequency, self._lowercase, self._max_characters
        )
        if self._preset is not None:
            self.pretrained = self._preset()
        self.training_words = set(_tokens(records))
        self.tags = sorted({tag for record in records for tag in record.tags})
        if self.spans:
            # A span type may begin with I- nowhere in a small training text.
            self.tags = sorted(
                {*self.tags, *("I" + tag[1:] for tag in self.tags if tag != "O"), "O"}
                | {"B" + tag[1:] for tag in self.tags if tag != "O"}
            )

    def save_vocabulary(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.features.save(folder)
        if self.pretrained is not None:
            self.pretrained.save(folder / "preset")
        content = {
            "tags": self.tags,
            "spans": self.spans,
            "training_words": sorted(self.training_words),
        }
        text = json.dumps(content, ensure_ascii=False)
        (folder / "tagging.json").write_text(text, encoding="utf-8")

    def load_vocabulary(self, folder: Path) -> None:
        self._features = WordFeatures.load(
            folder, self._lowercase, self._max_characters
        )
        if self._preset is not None:
            self.pretrained = Pretrained.load(folder / "preset")
        content = json.loads((folder / "tagging.json").read_text(encoding="utf-8"))
        self.tags = content["tags"]
        self.spans = content["spans"]
        self.training_words = set(content["training_words"])

    # === Data ===

    def examples(
        self, records: Sequence[TaggedSentence], training: bool = False
    ) -> Examples:
        """Encode sentences: row ids into a table of words, and tag ids."""
        lengths = np.array([len(record.tokens) for record in records], np.int64)
        words, word_rows = np.unique(
            np.array(_tokens(records), object),
            return_inverse=True,
        )
        known = {tag: index for index, tag in enumerate(self.tags)}
        tag_ids = [
            known[tag] if tag in known else self._unknown_tag(tag, record)
            for record in records
            for tag in record.tags
        ]
        ragged = tf.RaggedTensor.from_row_lengths
        columns = {
            "word_rows": ragged(tf.constant(word_rows + 1, tf.int32), lengths),
            "tag_ids": ragged(tf.constant(tag_ids, tf.int32), lengths),
        }
        tables = self._word_table(tf.constant(words.tolist()))
        if "piece_ids" in tables:  # what costs time is the number of pieces
            pieces = tf.math.count_nonzero(tables["piece_ids"], axis=1)
            lengths = tf.gather(pieces, columns["word_rows"])
            lengths = tf.reduce_sum(lengths, axis=1).numpy()  # (N,)
        return Examples(columns, lengths, tables)

    def batch(self, examples: Examples, rows, training: bool, seed) -> tuple:
        """Cut the batch of the given rows: features dict and tag ids `(B, T)`.

        Args:
            rows: `(B,)` int64 example indices.
            training: Whether rare words are replaced by the unknown one.
            seed: `(2,)` int32; the same seed gives the same batch.
        """
        columns = {
            name: tf.gather(column, rows).to_tensor()  # (B, T)
            for name, column in examples.columns.items()
        }
        features = gather_features(examples.tables, columns["word_rows"])
        if training and self.word_dropout:
            features["word_ids"] = self.features.replace_rare(
                features["word_ids"], self.word_dropout, seed
            )
        return features, columns["tag_ids"]

    def preprocess(self, words) -> dict:
        """Features `(B, T, ...)` of a ragged `(B, (T))` string tensor, in the graph."""
        unique, rows = tf.unique(words.flat_values)
        table = self._word_table(unique)
        return gather_features(table, words.with_flat_values(rows + 1).to_tensor())

    def _word_table(self, words) -> dict:
        """Features of `(W,)` words with a row of zeros, for padding, in front."""
        features = self.features(words)
        if self.pretrained is not None:
            # Ids go up by one: 0 is padding here, but a piece in some vocabularies.
            pieces = self.pretrained.pieces(words) + 1
            features["piece_ids"] = pieces.to_tensor(shape=[None, MAX_PIECES])
        return {
            name: tf.pad(value, [[1, 0]] + [[0, 0]] * (value.shape.rank - 1))
            for name, value in features.items()
        }

    def _unknown_tag(self, tag: str, record: TaggedSentence):
        raise DataError(
            f"Unknown tag {tag!r} in the sentence at {record.where or 'unknown place'}:"
            f" training has only {', '.join(self.tags)}. Correct the tag, or add "
            "training sentences that hold it."
        )

    # === Model ===

    def build_model(self):
        sizes = {view: len(getattr(self.features, view)) for view in WordFeatures.VIEWS}
        constrained = self.constrained and self.spans
        pretrained = self.pretrained.encoder() if self.pretrained else None
        return build_tagger(
            sizes,
            self.tags,
            pretrained,
            constrained=constrained,
            **self.model_arguments,
        )

    def loss(self, model, batch, outputs) -> tuple:
        """Summed loss and number of tokens of one batch, both scalar float32."""
        features, tag_ids = batch
        return tagging_loss(model, features["word_ids"] != 0, tag_ids, outputs)

    def decode(self, model, emissions, mask) -> tuple:
        """Best tag ids and their probabilities, both `(B, T)`."""
        if model.crf is None:
            probabilities = tf.nn.softmax(emissions)
            tag_ids = tf.argmax(emissions, axis=-1, output_type=tf.int32)
        else:
            probabilities = model.crf.marginals(emissions, mask)
            tag_ids, _ = model.crf.decode(emissions, mask)
        scores = tf.gather(probabilities, tag_ids, batch_dims=2)
        return tag_ids, scores

    def serving_module(self, model) -> TaggingServing:
        """The graph that is exported: raw strings in, tags and spans out."""
        tokenizers = [self.pretrained.tokenizer] if self.pretrained else []
        return TaggingServing(
            model,
            self.preprocess,
            self.decode,
            self.tags,
            spans=self.spans,
            resources=[*self.features.tables, *tokenizers],
        )

    # === Evaluation ===

    def predict(self, model, batch, outputs, quick: bool = False) -> tuple:
        """What is predicted for a batch, as tensors with B rows each."""
        return self.decode(model, outputs, batch[0]["word_ids"] != 0)

    def predictions(self, records: Sequence[TaggedSentence], outputs) -> list[dict]:
        """One JSON-ready row for each record and its `predict` output."""
        rows = []
        for record, (tag_ids, scores) in zip(records, outputs, strict=True):
            length = len(record.tokens)
            rows.append(
                {
                    "tokens": list(record.tokens),
                    "reference": list(record.tags),
                    "prediction": [self.tags[index] for index in tag_ids[:length]],
                    "scores": [round(float(score), 6) for score in scores[:length]],
                }
            )
        return rows

    def evaluate(self, rows: Sequence[dict], quick: bool = False) -> TaggingScores:
        """Score predictions. `quick` counts spans here instead of in seqeval."""
        return score_tags(
            [row["reference"] for row in rows],
            [row["prediction"] for row in rows],
            spans=self.spans,
            tokens=[row["tokens"] for row in rows],
            vocabulary=self.training_words,
            library=not quick,
        )

    def figures(self, rows: Sequence[dict]) -> dict:
        """Matplotlib figures of predictions, by name."""
        values, per_type = self.evaluate(rows, quick=True)
        references = [row["reference"] for row in rows]
        predictions = [row["prediction"] for row in rows]
        metric = "f1" if self.spans else "accuracy"
        known = {
            part: values[name]
            for part, name in (
                ("all", metric),
                ("known", f"{metric}_known"),
                ("unknown", f"{metric}_unknown"),
            )
            if name in values
        }
        support = {name: int(row["support"]) for name, row in per_type.items()}
        total = sum(support.values())
        unknown = round(values.get("unknown_share", 0.0) * total)
        numbers = {"all": total, "known": total - unknown, "unknown": unknown}
        unit = "entities" if self.spans else "tokens"
        return {
            "confusion": confusion_matrix(
                *confusion_counts(references, predictions, self.spans)
            ),
            "types": type_scores(
                support, {name: row["f1"] for name, row in per_type.items()}, unit
            ),
            "known_and_unknown": known_and_unknown_words(known, numbers, metric),
        }

    def tables(self, rows: Sequence[dict]) -> dict[str, list[dict]]:
        """Browsable tables of predictions, by name."""
        references, predictions, tokens, scores = (
            [row[key] for row in rows]
            for key in ("reference", "prediction", "tokens", "scores")
        )
        return {
            "predictions": [
                {key: " ".join(map(str, value)) for key, value in row.items()}
                for row in rows
            ],
            "worst_errors": worst_errors(tokens, references, predictions, scores),
        }

    def watch(self, model, records) -> None:
        """Nothing to see before the end."""

    def look_inside(self, model, records: Sequence, rows: Sequence[dict]) -> dict:
        """Nothing: taggers have no attention to show."""
        return {}


def _tokens(records: Sequence[TaggedSentence]) -> list[str]:
    return [token for record in records for token in record.tokens]


def gather_features(table: dict, rows) -> dict:
    """Look up `(B, T)` rows; characters are cut to the longest word in the batch."""
    features = {name: tf.gather(values, rows) for name, values in table.items()}
    used = tf.reduce_any(features["char_ids"] != 0, axis=[0, 1])
    length = tf.maximum(tf.reduce_sum(tf.cast(used, tf.int32)), 1)
    features["char_ids"] = features["char_ids"][:, :, :length]
    if "piece_ids" in features:
        features |= join_pieces(features["piece_ids"])
    return features


def join_pieces(piece_ids) -> dict:
    """The pieces of all words of a sentence in a row, and where each word begins.

        [[[7, 8, 0], [9, 0, 0]]]  ->  piece_ids [[7, 8, 9]], first_pieces [[1, 3]]

    Args:
        piece_ids: `(B, T, P)` int32, 0 where a word has no more pieces.

    Returns:
        piece_ids `(B, S)`; first_pieces `(B, T)`, positions that count from 1, 0 at
        padding.
    """
    number = tf.math.count_nonzero(piece_ids, axis=2, dtype=tf.int32)  # (B, T)
    first = tf.cumsum(number, axis=1, exclusive=True) + 1
    lengths = tf.reduce_sum(number, axis=1)
    flat = tf.boolean_mask(piece_ids, piece_ids != 0)
    joined = tf.RaggedTensor.from_row_lengths(flat, lengths, validate=False)
    return {
        "piece_ids": joined.to_tensor(),  # (B, S)
        "first_pieces": tf.where(number > 0, first, 0),
    }
