"""The Transformer encoder: positions, and a stack of its layers."""

import keras
from keras import ops

from seqloom.layers.arguments import check_choice, check_dropout, check_positive
from seqloom.layers.masking import apply_mask
from seqloom.layers.position import LearnedPosition, SinusoidalPosition
from seqloom.layers.transformer_layer import TransformerEncoderLayer, layer_norm

POSITIONS = ("sinusoidal", "learned", "rotary", "none")


@keras.saving.register_keras_serializable(package="seqloom")
class TransformerEncoder(keras.layers.Layer):
    """Read a sequence with a stack of Transformer layers.

        x[0] = dropout(sequence + position)
        x[n] = TransformerEncoderLayer_n(x[n-1])
        output = norm(x[L]) if norm == "pre" else x[L]

    Shapes: B batch, T steps, D features, L layers, H heads.

    Args:
        num_layers: Number of layers L.
        num_heads, feed_forward_units, dropout, activation, norm, normalizer: As in
            `TransformerEncoderLayer`. Dropout also acts on the sums with positions.
        position: `"sinusoidal"`, `"learned"`, `"rotary"` (within the attention) or
            `"none"`: then the order of the steps does not matter. For sinusoidal
            positions see `SinusoidalPosition` about the scale of the sequence.
        max_length: Number of learned positions, the longest sequence there can be.
            The other positions have none.
        return_weights: Also return the attention weights.

    Call arguments:
        sequence: `(B, T, D)`.
        mask: `(B, T)` bool, True at real steps. Defaults to the mask that `sequence`
            carries; without either, all steps are real.

    Returns:
        `(B, T, D)`, exactly 0 at masked steps. With `return_weights` also the weights
        `(B, L, H, T, T)` float32, of every layer and head.

    Raises:
        ValueError: a sequence is longer than max_length, as in `LearnedPosition`.

    Masking: what stands at masked steps never matters, and the output keeps the mask.

    Reference: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.1;
    Xiong et al. 2020, https://arxiv.org/abs/2002.04745, table 1 (pre, final norm).
    """

    def __init__(
        self,
        num_layers,
        num_heads,
        feed_forward_units,
        dropout=0.0,
        activation="relu",
        norm="pre",
        position="sinusoidal",
        max_length=None,
        normalizer="softmax",
        return_weights=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(self, num_layers=num_layers)
        check_dropout(self, dropout)
        self.max_length = max_length
        self.return_weights = return_weights
        self.position = position
        self.position_layer = position_layer(self, position, max_length)
        self.dropout_layer = keras.layers.Dropout(dropout, dtype=self.dtype_policy)
        self.layers = [
            TransformerEncoderLayer(
                num_heads,
                feed_forward_units,
                dropout=dropout,
                activation=activation,
                norm=norm,
                rotary=position == "rotary",
                normalizer=normalizer,
                return_weights=True,
                dtype=self.dtype_policy,
                name=f"layer_{number}",
            )
            for number in range(num_layers)
        ]
        self.final_norm = (
            layer_norm(self.dtype_policy, "final_norm") if norm == "pre" else None
        )

    def build(self, sequence_shape):
        if self.position_layer is not None:
            self.position_layer.build(sequence_shape)
        for layer in self.layers:
            layer.build(sequence_shape)
        if self.final_norm is not None:
            self.final_norm.build(sequence_shape)

    def call(self, sequence, mask=None, training=None):
        x, weights = self._read(sequence, mask, training)
        if not self.return_weights:
            return x
        return x, ops.stack(weights, axis=1)  # (B, L, H, T, T)

    def attention_weights(self, sequence, mask=None):
        """The weights `(B, L, H, T, T)` float32 of every layer and head."""
        return ops.stack(self._read(sequence, mask, False)[1], axis=1)

    def _read(self, sequence, mask, training):
        x = sequence if self.position_layer is None else self.position_layer(sequence)
        x = self.dropout_layer(x, training=training)
        collected = []
        for layer in self.layers:
            x, weights = layer(x, mask=mask, training=training)
            collected.append(weights)
        if self.final_norm is not None:
            x = apply_mask(self.final_norm(x), mask)
        return x, collected

    def compute_mask(self, sequence, mask=None):
        return [mask, None] if self.return_weights else mask

    def compute_output_shape(self, sequence_shape):
        output = tuple(sequence_shape)
        if self.position == "learned":  # a functional model calls no `call`
            output = self.position_layer.compute_output_shape(output)
        if not self.return_weights:
            return output
        batch, steps, _ = output
        heads = self.layers[0].num_heads
        return [output, (batch, len(self.layers), heads, steps, steps)]

    def compute_output_spec(self, sequence, mask=None, training=None):
        shapes = self.compute_output_shape(sequence.shape)
        if not self.return_weights:
            return keras.KerasTensor(shapes, dtype=self.compute_dtype)
        output, weights = shapes
        return (
            keras.KerasTensor(output, dtype=self.compute_dtype),
            keras.KerasTensor(weights, dtype="float32"),
        )

    def get_config(self):
        layer = self.layers[0].get_config()
        shared = (
            "num_heads",
            "feed_forward_units",
            "dropout",
            "activation",
            "norm",
            "normalizer",
        )
        return {
            **super().get_config(),
            "num_layers": len(self.layers),
            **{name: layer[name] for name in shared},
            "position": self.position,
            "max_length": self.max_length,
            "return_weights": self.return_weights,
        }


def position_layer(stack, position, max_length):
    """The layer that adds positions to the input of a stack; None if nothing does."""
    check_choice(stack, "position", position, POSITIONS)
    name = type(stack).__name__
    if position == "learned":
        if max_length is None:
            raise ValueError(
                f"{name} with position='learned' needs max_length, the longest "
                "sequence there can be. Set it, for example to 256, or choose "
                "sinusoidal or rotary positions, which need none."
            )
        return LearnedPosition(max_length, dtype=stack.dtype_policy, name="position")
    if max_length is not None:
        raise ValueError(
            f"{name} with position={position!r} has no max_length, got "
            f"max_length={max_length!r}. Leave it out, or choose position='learned'."
        )
    if position == "sinusoidal":
        return SinusoidalPosition(dtype=stack.dtype_policy, name="position")
    return None
