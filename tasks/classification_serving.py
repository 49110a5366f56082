"""The exported classifier: raw texts in, labels and probabilities out, in one graph."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from seqloom.tasks.sorted_rows import map_sorted
from seqloom.tasks.tagging_serving import cudnn


class ClassificationServing(tf.Module):
    """A classifier as a module to save, with two signatures.

        serving_default(["A fine film.", ""]) gives
            labels          ["positive", "neutral"]
            scores          [0.93, 0.41]           probability of that label
            probabilities   [[...], [...]]         of all labels
            label_names     ["negative", "neutral", "positive"]
            truncated       [False, False]         whether pieces were left unread

        attention(texts) gives these, and
            words           ["A", "fine", "film", "."]       read, of all texts
            starts, ends    [0, 2, 7, 11], [1, 6, 11, 12]    bytes in their text
            weights         [0.1, 0.6, 0.2, 0.1]             what was attended to
            row_lengths     [4, 0]                           words a text

    Texts may be of any length and number, none included. A text without words gets
    what the model answers without having read anything.

    Args:
        model: Piece ids `(B, S)` to logits and weights, a Keras model.
        encode: Texts to ragged pieces and their words; see `text_pieces.encode`.
        labels: Names of the K labels, by id.
        resources: What `encode` uses; it is saved too.
        use_cudnn: Let recurrent layers use cuDNN. A graph traced with it on a GPU
            does not load on a CPU (keras#18504).
    """

    def __init__(
        self,
        model,
        encode: Callable,
        labels: Sequence[str],
        resources: Sequence = (),
        use_cudnn: bool = False,
    ):
        super().__init__(name="classification")
        # Weights alone: tracking the model would save its optimizer with it.
        self._weights = [variable.value for variable in model.variables]
        self._resources = list(resources)
        self._encode = encode
        self._labels = tuple(labels)
        # In a function of a class without tracking, for the same reason.
        self._apply = _Apply(model, use_cudnn)

    @property
    def answers(self):
        """The signature that says all there is."""
        return self.attention

    # === Signatures ===

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, name="texts")],
        autograph=False,
    )
    def serving_default(self, texts):
        encoded = self._encode(texts)
        return self._classify(encoded)[0]

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, name="texts")],
        autograph=False,
    )
    def attention(self, texts):
        encoded = self._encode(texts)
        outputs, weights = self._classify(encoded)
        numbers = encoded["words"].flat_values  # of the word of each piece
        own = numbers >= 0
        numbers, weights = tf.boolean_mask(numbers, own), tf.boolean_mask(weights, own)
        num_words = tf.size(encoded["starts"].values)
        read = (
            tf.math.unsorted_segment_max(tf.ones_like(numbers), numbers, num_words) > 0
        )
        weights = tf.math.unsorted_segment_sum(weights, numbers, num_words)
        starts, ends = (
            tf.ragged.boolean_mask(flat, flat.with_values(read))
            for flat in (encoded["starts"], encoded["ends"])
        )
        raw = tf.strings.substr(
            tf.gather(texts, starts.value_rowids()),
            starts.values,
            ends.values - starts.values,
        )
        outputs |= {
            "words": tf.strings.unicode_transcode(raw, "UTF-8", "UTF-8"),
            "starts": starts.values,
            "ends": ends.values,
            "weights": tf.boolean_mask(weights, read),
            "row_lengths": starts.row_lengths(),
        }
        return outputs

    # === Steps ===

    def _classify(self, encoded):
        """Outputs of both signatures, and the weights of all pieces."""
        logits, weights = self._predict(
            encoded["ids"].values, encoded["ids"].row_lengths()
        )
        probabilities = tf.nn.softmax(logits)
        chosen = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        return {
            "labels": tf.gather(tf.constant(self._labels), chosen),
            "scores": tf.gather(probabilities, chosen, batch_dims=1),
            "probabilities": probabilities,
            "label_names": tf.constant(self._labels),
            "truncated": encoded["truncated"],
        }, weights

    # A function of its own, so that both signatures share one copy of the model.
    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None], tf.int64),
        ],
        autograph=False,
    )
    def _predict(self, ids, lengths):
        """Logits `(B, K)` of texts and weights `(N,)` of their N pieces."""
        number, pieces = tf.size(lengths), tf.size(ids)
        # A text too many when there are none: no layer has to bear an empty batch.
        ids = tf.cond(number > 0, lambda: ids, lambda: tf.ones([1], tf.int32))
        lengths = tf.cond(number > 0, lambda: lengths, lambda: tf.ones([1], tf.int64))
        rows = tf.RaggedTensor.from_row_lengths(ids, lengths, validate=False)
        specs = [
            (tf.float32, [len(self._labels)], False),
            (tf.float32, [], True),
        ]
        logits, weights = map_sorted(rows, self._apply, specs)
        return logits[:number], weights[:pieces]


class _Apply:
    def __init__(self, model, use_cudnn: bool):
        self.model = model
        self.use_cudnn = use_cudnn

    def __call__(self, rows, lengths):
        with cudnn(self.model, self.use_cudnn):
            outputs = self.model({"piece_ids": rows.to_tensor()}, training=False)
        mask = tf.sequence_mask(lengths)  # (B, S)
        return [outputs["logits"], tf.boolean_mask(outputs["weights"], mask)]
