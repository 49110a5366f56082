"""Vectors for token ids."""

import keras
from keras import ops

from seqloom.layers.arguments import check_positive
from seqloom.layers.masking import apply_mask, mask_from_ids


@keras.saving.register_keras_serializable(package="seqloom")
class TokenEmbedding(keras.layers.Layer):
    """Look up a learned vector for every token id, and zeros for padding.

        output[b, t] = table[token_ids[b, t]] if token_ids[b, t] != 0 else 0

    Shapes: B batch, T steps, V vocabulary, U units.

    Args:
        vocabulary_size: Number of ids V, with the padding id 0 among them.
        units: Width U of a vector.
        initializer: Of the table `(V, U)`. The default draws uniformly with variance
            1/U, i.e. within ±sqrt(3 / U), so that a vector has length 1 on average
            whatever its width; Keras' own ±0.05 is too small to learn from fast.

    Call arguments:
        token_ids: `(B, T)`, or any other shape, of integers in `[0, V)`.

    Returns:
        `(B, T, U)` in the compute dtype; rows of padding are exactly 0.

    Masking: makes the mask `token_ids != 0`.

    Reference: for the initializer, Lample et al. 2016,
    https://arxiv.org/abs/1603.01360, section 4.1 (after Glorot and Bengio 2010).
    """

    def __init__(self, vocabulary_size, units, initializer=None, **kwargs):
        super().__init__(**kwargs)
        check_positive(self, vocabulary_size=vocabulary_size, units=units)
        self.vocabulary_size = vocabulary_size
        self.units = units
        self.initializer = keras.initializers.get(initializer or unit_length())

    def build(self, token_ids_shape):
        self.table = self.add_weight(
            shape=(self.vocabulary_size, self.units),
            initializer=self.initializer,
            name="table",
        )

    def call(self, token_ids):
        token_ids = ops.cast(token_ids, "int32")
        vectors = ops.take(self.table, token_ids, axis=0)  # (B, T, U)
        return apply_mask(vectors, mask_from_ids(token_ids))

    def compute_mask(self, token_ids, mask=None):
        return mask_from_ids(token_ids)

    def compute_output_shape(self, token_ids_shape):
        return (*token_ids_shape, self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "units": self.units,
            "initializer": keras.initializers.serialize(self.initializer),
        }


def unit_length():
    """Initializer of a `(V, U)` table whose rows have length 1 on average."""
    return keras.initializers.VarianceScaling(
        scale=1.0, mode="fan_out", distribution="uniform"
    )
