"""Where in the sequence a step stands, added to what it holds."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from seqloom.layers.arguments import check_positive
from seqloom.layers.embedding import unit_length


@keras.saving.register_keras_serializable(package="seqloom")
class SinusoidalPosition(keras.layers.Layer):
    """Add waves of many lengths to the steps of a sequence, of any length.

        output[b, t, 2i]     = sequence[b, t, 2i]     + sin(p / 10000^(2i / D))
        output[b, t, 2i + 1] = sequence[b, t, 2i + 1] + cos(p / 10000^(2i / D))

    at the position p = start + t.

    A wave's features have a variance of 1/2: let the sequence's be as large, or the
    positions drown it. Vectors of unit length need the factor sqrt(D) before.

    Shapes: B batch, T steps, D features.

    Call arguments:
        sequence: `(B, T, D)`.
        start: Position of the first step, for a sequence that comes in parts. An
            integer, or `()` integers in a graph.

    Returns:
        `(B, T, D)`.

    Masking: keeps the mask. Masked steps get a position, too.

    Reference: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, sections 3.4
    (the factor) and 3.5.
    """

    def call(self, sequence, start=0):
        _, steps, features = ops.shape(sequence)
        waves = sinusoids(steps, features, start)  # (T, D)
        return sequence + ops.cast(waves, sequence.dtype)

    def compute_mask(self, sequence, mask=None):
        return mask

    def compute_output_shape(self, sequence_shape):
        return tuple(sequence_shape)


def sinusoids(num_steps, features, start=0):
    """Waves `(T, D)` float32: 16 bits cannot tell distant positions apart."""
    column = np.arange(features)
    rates = 10000.0 ** (-2 * (column // 2) / features)
    steps = ops.arange(num_steps, dtype="float32") + ops.cast(start, "float32")
    angles = steps[:, None] * rates.astype("float32")  # (T, D)
    return ops.where(column % 2 == 0, ops.sin(angles), ops.cos(angles))


@keras.saving.register_keras_serializable(package="seqloom")
class LearnedPosition(keras.layers.Layer):
    """Add a learned vector to each step, one for every position.

        output[b, t] = sequence[b, t] + table[start + t]

    Shapes: B batch, T steps, D features, M max_length.

    Args:
        max_length: Number of positions M.
        initializer: Of the table `(M, D)`. By default its vectors have length 1 on
            average, as those of `TokenEmbedding`.

    Call arguments:
        sequence: `(B, T, D)`, start + T <= M.
        start: Position of the first step, for a sequence that comes in parts. An
            integer, or `()` integers in a graph.

    Returns:
        `(B, T, D)`.

    Raises:
        ValueError: the sequence is longer than max_length. Where a graph learns the
            length only when it runs, `tf.errors.InvalidArgumentError`.

    Masking: keeps the mask. Masked steps get a position, too, and count as steps.

    Reference: Gehring et al. 2017, https://arxiv.org/abs/1705.03122, section 3.1.
    """

    def __init__(self, max_length, initializer=None, **kwargs):
        super().__init__(**kwargs)
        check_positive(self, max_length=max_length)
        self.max_length = max_length
        self.initializer = keras.initializers.get(initializer or unit_length())

    def build(self, sequence_shape):
        self.table = self.add_weight(
            shape=(self.max_length, sequence_shape[-1]),
            initializer=self.initializer,
            name="table",
        )

    def call(self, sequence, start=0):
        end = start + ops.shape(sequence)[1]
        # First the check, or the sum's own error of two shapes may come before it.
        with tf.control_dependencies(self._check_length(end)):
            vectors = ops.convert_to_tensor(self.table)[start:end]  # (T, D)
            return sequence + vectors

    def _check_length(self, steps):
        """Check the number of steps: int, None for unknown, or a tensor in a graph.

        Returns what a graph has to run before it uses the table, a list.
        """
        advice = (
            "Cut the sequences, raise max_length and train again, or choose "
            "sinusoidal or rotary positions, which have no longest length."
        )
        if isinstance(steps, int):
            if steps > self.max_length:
                raise ValueError(
                    f"LearnedPosition has max_length={self.max_length} positions, got "
                    f"a sequence of {steps} steps. {advice}"
                )
        elif steps is not None:
            check = tf.debugging.assert_less_equal(
                steps,
                self.max_length,
                f"LearnedPosition has max_length={self.max_length} positions, got a "
                f"longer sequence. {advice}",
            )
            return [check]
        return []

    def compute_mask(self, sequence, mask=None):
        return mask

    def compute_output_shape(self, sequence_shape):
        self._check_length(sequence_shape[1])  # a functional model calls no `call`
        return tuple(sequence_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "max_length": self.max_length,
            "initializer": keras.initializers.serialize(self.initializer),
        }
