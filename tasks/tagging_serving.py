"""The exported tagger: strings in, tags, scores and entities out, all in one graph."""

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from functools import partial

import tensorflow as tf

from seqloom.tasks.sorted_rows import map_sorted
from seqloom.tasks.spans import split_tag
from seqloom.tasks.tokenization import tokenize


class TaggingServing(tf.Module):
    """A tagger as a module to save, with two signatures.

        serving_default(texts)           raw text, tokenized in the graph
        tokens(words, row_lengths)       tokens of all rows, one after the other

        serving_default(["Rhea met Ada.", ""]) gives, for spans=True:
            tokens                ["Rhea", "met", "Ada", "."]     N tokens of all rows
            starts, ends          [0, 5, 9, 12], [4, 8, 12, 13]   bytes in their text
            tags                  ["B-PER", "O", "B-PER", "O"]
            scores                [0.98, 0.99, 0.97, 1.0]         of the chosen tags
            row_lengths           [4, 0]                          tokens a row
            entity_texts          ["Rhea", "Ada"]                 E entities of all rows
            entity_types          ["PER", "PER"]
            entity_starts, _ends  [0, 9], [4, 12]
            entity_scores         [0.98, 0.97]        smallest score of its tokens
            entity_row_lengths    [2, 0]              entities a row

    Both give the same outputs: flat tensors, since a signature cannot give ragged
    ones. In `tokens`, starts and ends count tokens of the row instead of bytes, and an
    entity's text is its tokens with spaces between. Texts come out as valid UTF-8.

    Rows may be of any length and number, none included: rows without tokens do not go
    to the model, and the others go sorted by length, in pieces with little padding.

    Args:
        model: Features to emissions `(B, T, K)`, a Keras model.
        preprocess: Ragged string `(B, (T))` to the model's features.
        decode: (model, emissions, mask) to tag ids and scores, both `(B, T)`.
        tags: Names of the K tags, by id.
        spans: Whether the tags are IOB2, so that there are entities.
        resources: Lookup tables that `preprocess` uses; they are saved too.
        use_cudnn: Let recurrent layers use cuDNN. A graph traced with it on a GPU
            does not load on a CPU (keras#18504).
    """

    def __init__(
        self,
        model,
        preprocess: Callable,
        decode: Callable,
        tags: Sequence[str],
        spans: bool,
        resources: Sequence = (),
        use_cudnn: bool = False,
    ):
        super().__init__(name="tagging")
        # Weights alone: tracking the model would save its optimizer with it.
        self._weights = [variable.value for variable in model.variables]
        self._resources = list(resources)
        self._preprocess = preprocess
        self._predict = partial(self._decode_features, model, decode, use_cudnn)
        self._tags = tuple(tags)
        self._spans = spans

    @property
    def answers(self):
        """The signature that says all there is of raw texts."""
        return self.serving_default

    # === Signatures ===

    # No autograph: nothing here branches on a tensor in Python.
    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, name="texts")],
        autograph=False,
    )
    def serving_default(self, texts):
        tokens, starts, ends = tokenize(texts)
        outputs, entities = self._label(tokens.values, tokens.row_lengths())
        outputs |= {"starts": starts.values, "ends": ends.values}
        if self._spans:
            begin = tf.gather(starts.values, entities["first"])
            end = tf.gather(ends.values, entities["last"])
            rows = tf.gather(tokens.value_rowids(), entities["first"])
            raw = tf.strings.substr(tf.gather(texts, rows), begin, end - begin)
            outputs |= {
                "entity_texts": tf.strings.unicode_transcode(raw, "UTF-8", "UTF-8"),
                "entity_starts": begin,
                "entity_ends": end,
            }
        return outputs

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="words"),
            tf.TensorSpec([None], tf.int64, name="row_lengths"),
        ],
        autograph=False,
    )
    def tokens(self, words, row_lengths):
        check = tf.debugging.assert_equal(
            tf.reduce_sum(row_lengths),
            tf.size(words, tf.int64),
            "row_lengths must add up to the number of words: one length for each row, "
            "the words of all rows one after the other.",
        )
        with tf.control_dependencies([check]):
            words = tf.strings.unicode_transcode(words, "UTF-8", "UTF-8")
        outputs, entities = self._label(words, row_lengths)
        first_of_row = tf.repeat(tf.cumsum(row_lengths, exclusive=True), row_lengths)
        starts = tf.range(tf.size(words, tf.int64)) - first_of_row
        outputs |= {"starts": starts, "ends": starts + 1}
        if self._spans:
            outputs |= {
                "entity_texts": tf.strings.unsorted_segment_join(
                    tf.boolean_mask(words, entities["inside"]),
                    entities["segments"],
                    tf.size(entities["first"]),
                    " ",
                ),
                "entity_starts": tf.gather(starts, entities["first"]),
                "entity_ends": tf.gather(starts, entities["last"]) + 1,
            }
        return outputs

    # === Steps ===

    def _label(self, words, row_lengths):
        """Outputs of both signatures, and where the entities lie, from flat words."""
        ids, scores = self._tag(words, row_lengths)
        outputs = {
            "tokens": words,
            "tags": tf.gather(tf.constant(self._tags), ids),
            "scores": scores,
            "row_lengths": row_lengths,
        }
        if not self._spans:
            return outputs, None
        rows = tf.repeat(tf.range(tf.size(row_lengths)), row_lengths)
        entities = find_entities(ids, rows, self._tags)
        outputs |= {
            "entity_types": entities["types"],
            "entity_scores": tf.math.segment_min(
                tf.boolean_mask(scores, entities["inside"]), entities["segments"]
            ),
            "entity_row_lengths": tf.math.bincount(
                tf.gather(rows, entities["first"]),
                minlength=tf.size(row_lengths),
                maxlength=tf.size(row_lengths),
                dtype=tf.int64,
            ),
        }
        return outputs, entities

    # A function of its own, so that both signatures share one copy of the model.
    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string),
            tf.TensorSpec([None], tf.int64),
        ],
        autograph=False,
    )
    def _tag(self, words, row_lengths):
        """Tag ids and scores `(N,)` of flat words."""
        number = tf.size(words)
        lengths = tf.boolean_mask(row_lengths, row_lengths > 0)
        # A word too many when there are none: no layer has to bear an empty batch.
        words = tf.cond(number > 0, lambda: words, lambda: tf.constant([""]))
        lengths = tf.cond(number > 0, lambda: lengths, lambda: tf.ones([1], tf.int64))
        rows = tf.RaggedTensor.from_row_lengths(words, lengths, validate=False)
        specs: list[tuple] = [(tf.int32, [], True), (tf.float32, [], True)]
        ids, scores = map_sorted(
            rows,
            lambda part, sizes: self._predict(self._preprocess(part), sizes),
            specs,
        )
        return ids[:number], scores[:number]

    @staticmethod
    def _decode_features(model, decode, use_cudnn, features, lengths):
        """Tag ids and scores `(N,)` of the real tokens of one piece."""
        mask = tf.sequence_mask(lengths)  # (B, T)
        with cudnn(model, use_cudnn):
            emissions = model(features, training=False)  # (B, T, K)
            ids, scores = decode(model, emissions, mask)
        return tf.boolean_mask(ids, mask), tf.boolean_mask(scores, mask)


def find_entities(ids, rows, tags: Sequence[str]) -> dict:
    """Where the spans of IOB2 tags lie, counted as by `spans.spans`.

    Args:
        ids: `(N,)` int tag ids of the tokens of all rows.
        rows: `(N,)` int row of each token, ascending.
        tags: Names of the tags, by id.

    Returns:
        first, last: `(E,)` int64 token positions of the E spans.
        types: `(E,)` strings.
        inside: `(N,)` bool, whether a token is part of a span.
        segments: int64, the number of the span of each token inside one.
    """
    parts = [split_tag(tag) for tag in tags]
    kinds = sorted({kind for prefix, kind in parts if prefix != "O"}) or [""]
    kind_ids = [-1 if p == "O" else kinds.index(kind) for p, kind in parts]
    kind = tf.gather(tf.constant(kind_ids, tf.int32), ids)  # (N,), -1 outside
    begins = tf.gather(tf.constant([prefix == "B" for prefix, _ in parts]), ids)
    differs = (kind[1:] != kind[:-1]) | (rows[1:] != rows[:-1])  # from the one before
    edge = tf.ones_like(begins[:1])
    inside = kind >= 0
    starts = inside & (begins | tf.concat([edge, differs], 0))
    stops = inside & tf.concat([differs | starts[1:], edge], 0)
    first = tf.where(starts)[:, 0]
    return {
        "first": first,
        "last": tf.where(stops)[:, 0],
        "types": tf.gather(tf.constant(kinds), tf.gather(kind, first)),
        "inside": inside,
        "segments": tf.boolean_mask(tf.cumsum(tf.cast(starts, tf.int64)), inside) - 1,
    }


@contextmanager
def cudnn(model, allowed: bool):
    """Allow or forbid cuDNN to the recurrent layers of a model, while it is traced."""
    layers = [
        layer
        for layer in model._flatten_layers()
        if allowed is False and hasattr(layer, "use_cudnn")
    ]
    before = [layer.use_cudnn for layer in layers]
    try:
        for layer in layers:
            layer.use_cudnn = False
        yield
    finally:
        for layer, value in zip(layers, before, strict=True):
            layer.use_cudnn = value
