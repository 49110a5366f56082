"""The position-wise feed-forward network of a Transformer."""

import keras

from seqloom.layers.arguments import check_choice, check_positive

ACTIVATIONS = ("relu", "gelu")


@keras.saving.register_keras_serializable(package="seqloom")
class FeedForward(keras.layers.Layer):
    """Take every step on its own through a wider layer and back.

        output[b, t] = activation(sequence[b, t] W_1 + b_1) W_2 + b_2

    Shapes: B batch, T steps, D features, U units.

    Args:
        units: Width U of the layer between.
        activation: `"relu"` or `"gelu"`.

    Call arguments:
        sequence: `(B, T, D)`.

    Returns:
        `(B, T, D)`.

    Masking: keeps the mask; no step sees another.

    Reference: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, equation 2.
    """

    def __init__(self, units, activation="relu", **kwargs):
        super().__init__(**kwargs)
        check_positive(self, units=units)
        check_choice(self, "activation", activation, ACTIVATIONS)
        self.units = units
        self.activation = activation

    def build(self, sequence_shape):
        features = sequence_shape[-1]
        self.inner = keras.layers.Dense(
            self.units,
            activation=self.activation,
            dtype=self.dtype_policy,
            name="inner",
        )
        self.outer = keras.layers.Dense(features, dtype=self.dtype_policy, name="outer")
        self.inner.build((None, features))
        self.outer.build((None, self.units))

    def call(self, sequence):
        return self.outer(self.inner(sequence))

    def compute_mask(self, sequence, mask=None):
        return mask

    def compute_output_shape(self, sequence_shape):
        return tuple(sequence_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "activation": self.activation,
        }
