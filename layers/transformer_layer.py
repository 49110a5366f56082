"""One layer of the Transformer encoder: self-attention and a feed-forward network."""

import keras

from seqloom.layers.arguments import check_choice, check_dropout, check_positive
from seqloom.layers.feed_forward import FeedForward
from seqloom.layers.masking import apply_mask
from seqloom.layers.multi_head_attention import MultiHeadAttention

NORMS = ("pre", "post")
EPSILON = 1e-5  # Keras' own 1e-3 is no longer small beside a small variance


@keras.saving.register_keras_serializable(package="seqloom")
class TransformerEncoderLayer(keras.layers.Layer):
    """Let every step look at all others, then take each through a small network.

        pre:  y = x + SelfAttention(norm(x)),   output = y + FeedForward(norm(y))
        post: y = norm(x + SelfAttention(x)),   output = norm(y + FeedForward(y))

    Shapes: B batch, T steps, D features, H heads.

    Args:
        num_heads: Number of heads H, each D/H wide: H must divide D.
        feed_forward_units: Width of the feed-forward network.
        dropout: Share that is dropped of the weights, and of the features that either
            part adds.
        activation: Of the feed-forward network, `"relu"` or `"gelu"`.
        norm: `"pre"`, which trains without a warm-up and leaves the output not
            normalized, or `"post"`, as in the first paper.
        rotary: As in `MultiHeadAttention`.
        normalizer: As in `MultiHeadAttention`.
        return_weights: Also return the attention weights.

    Call arguments:
        sequence: `(B, T, D)`.
        mask: `(B, T)` bool, True at real steps. Defaults to the mask that `sequence`
            carries; without either, all steps are real.

    Returns:
        `(B, T, D)`, exactly 0 at masked steps. With `return_weights` also the weights
        `(B, H, T, T)` float32 of each step (third axis) on each (fourth). Those on
        masked steps are exactly 0; those of masked steps mean nothing.

    Masking: what stands at masked steps never matters, and the output keeps the mask.

    Reference: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, sections 3.1 to
    3.3 and 5.4; Xiong et al. 2020, https://arxiv.org/abs/2002.04745, table 1 (pre).
    """

    def __init__(
        self,
        num_heads,
        feed_forward_units,
        dropout=0.0,
        activation="relu",
        norm="pre",
        rotary=False,
        normalizer="softmax",
        return_weights=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(self, num_heads=num_heads)
        check_dropout(self, dropout)
        check_choice(self, "norm", norm, NORMS)
        self.num_heads = num_heads
        self.dropout = dropout
        self.norm = norm
        self.rotary = rotary
        self.normalizer = normalizer
        self.return_weights = return_weights
        self.feed_forward = FeedForward(
            feed_forward_units,
            activation,
            dtype=self.dtype_policy,
            name="feed_forward",
        )
        self.attention_norm = layer_norm(self.dtype_policy, "attention_norm")
        self.feed_forward_norm = layer_norm(self.dtype_policy, "feed_forward_norm")
        self.dropout_layers = [
            keras.layers.Dropout(dropout, dtype=self.dtype_policy) for _ in range(2)
        ]

    def build(self, sequence_shape):
        features = sequence_shape[-1]
        check_heads(self, features)
        self.attention = MultiHeadAttention(
            self.num_heads,
            features // self.num_heads,
            dropout=self.dropout,
            normalizer=self.normalizer,
            rotary=self.rotary,
            return_weights=True,
            dtype=self.dtype_policy,
            name="attention",
        )
        self.attention.build(sequence_shape, sequence_shape)
        for layer in (
            self.attention_norm,
            self.feed_forward,
            self.feed_forward_norm,
        ):
            layer.build(sequence_shape)

    def call(self, sequence, mask=None, training=None):
        x = apply_mask(sequence, mask)
        inputs = self.attention_norm(x) if self.norm == "pre" else x
        attended, weights = self.attention(
            inputs, inputs, value_mask=mask, training=training
        )
        x = x + self.dropout_layers[0](attended, training=training)
        x = x if self.norm == "pre" else self.attention_norm(x)
        inputs = self.feed_forward_norm(x) if self.norm == "pre" else x
        x = x + self.dropout_layers[1](self.feed_forward(inputs), training=training)
        x = x if self.norm == "pre" else self.feed_forward_norm(x)
        output = apply_mask(x, mask)
        return (output, weights) if self.return_weights else output

    def compute_mask(self, sequence, mask=None):
        return [mask, None] if self.return_weights else mask

    def compute_output_shape(self, sequence_shape):
        output = tuple(sequence_shape)
        if not self.return_weights:
            return output
        batch, steps, _ = sequence_shape
        return [output, (batch, self.num_heads, steps, steps)]

    def compute_output_spec(self, sequence, mask=None, training=None):
        output = keras.KerasTensor(sequence.shape, dtype=self.compute_dtype)
        if not self.return_weights:
            return output
        _, weights = self.compute_output_shape(sequence.shape)
        return output, keras.KerasTensor(weights, dtype="float32")

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "feed_forward_units": self.feed_forward.units,
            "dropout": self.dropout,
            "activation": self.feed_forward.activation,
            "norm": self.norm,
            "rotary": self.rotary,
            "normalizer": self.normalizer,
            "return_weights": self.return_weights,
        }


def layer_norm(dtype_policy, name):
    return keras.layers.LayerNormalization(
        epsilon=EPSILON, dtype=dtype_policy, name=name
    )


def check_heads(layer, features, what="sequence"):
    """Raise ValueError unless the heads of a layer can share the features of `what`."""
    # Rotary positions turn pairs of a head's features.
    multiple = layer.num_heads * (2 if layer.rotary else 1)
    if features % multiple:
        raise ValueError(
            f"{type(layer).__name__} with num_heads={layer.num_heads} and "
            f"rotary={layer.rotary} needs features in a multiple of {multiple}, got "
            f"{features}. Make the {what} {-features % multiple + features} "
            "wide, or choose another number of heads."
        )
