"""One layer of the Transformer decoder: what was written, what was read, a network."""

import keras
from keras import ops

from seqloom.layers.arguments import check_choice, check_dropout, check_positive
from seqloom.layers.attention import NORMALIZERS
from seqloom.layers.feed_forward import FeedForward
from seqloom.layers.masking import apply_mask
from seqloom.layers.multi_head_attention import MultiHeadAttention
from seqloom.layers.transformer_layer import NORMS, check_heads, layer_norm


@keras.saving.register_keras_serializable(package="seqloom")
class TransformerDecoderLayer(keras.layers.Layer):
    """Let every step look back, then at the memory, then take it through a network.

        pre:  y = x + SelfAttention(norm(x)),  z = y + CrossAttention(norm(y), memory),
              output = z + FeedForward(norm(z))
        post: y = norm(x + SelfAttention(x)),  z = norm(y + CrossAttention(y, memory)),
              output = norm(z + FeedForward(z))

    Shapes: B batch, T target steps, S source steps, D features, M features of the
    memory, H heads, K units of a head, N hypotheses (see `DecoderState`).

    Args:
        num_heads, feed_forward_units, dropout, activation, norm, normalizer: As in
            `TransformerEncoderLayer`.
        rotary: As in `MultiHeadAttention`; of the self-attention alone.

    Call arguments:
        sequence: `(B, T, D)`, padded on the right.
        memory: `(B, S, M)`, what an encoder read; or `(R, S, M)`, each row of it read
            by B / R sequences, one after the other.
        sequence_mask: `(B, T)` bool, True at real steps. Defaults to the mask that
            `sequence` carries; without either, all steps are real.
        memory_mask: `(B, S)` bool, the same for `memory`.

    Returns:
        `(B, T, D)`, exactly 0 at masked steps, and the weights, float32, of the
        self-attention `(B, H, T, T)` and of the cross-attention `(B, H, T, S)`. Those
        on masked steps are exactly 0, also where all are; those of masked steps mean
        nothing.

    Masking: what stands at masked steps never matters, and the output keeps the mask
    of `sequence`. No step sees a later one.

    `read` and `step` give the same, step by step.

    Reference: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.1;
    Xiong et al. 2020, https://arxiv.org/abs/2002.04745, table 1 (pre).
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
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(self, num_heads=num_heads)
        check_dropout(self, dropout)
        check_choice(self, "norm", norm, NORMS)
        check_choice(self, "normalizer", normalizer, NORMALIZERS)
        policy = self.dtype_policy
        self.num_heads = num_heads
        self.dropout = dropout
        self.norm = norm
        self.rotary = rotary
        self.normalizer = normalizer
        self.feed_forward = FeedForward(
            feed_forward_units, activation, dtype=policy, name="feed_forward"
        )
        parts = ("self_attention", "cross_attention", "feed_forward")
        self.norms = [layer_norm(policy, f"{part}_norm") for part in parts]
        self.dropout_layers = [
            keras.layers.Dropout(dropout, dtype=policy) for _ in parts
        ]

    def build(self, sequence_shape, memory_shape):
        features = sequence_shape[-1]
        check_heads(self, features)
        self.self_attention = self._attention(features, "self_attention", self.rotary)
        self.cross_attention = self._attention(features, "cross_attention", False)
        self.self_attention.build(sequence_shape, sequence_shape)
        self.cross_attention.build(sequence_shape, memory_shape)
        for layer in (self.feed_forward, *self.norms):
            layer.build(sequence_shape)

    def _attention(self, features, name, rotary):
        return MultiHeadAttention(
            self.num_heads,
            features // self.num_heads,
            dropout=self.dropout,
            normalizer=self.normalizer,
            rotary=rotary,
            return_weights=True,
            dtype=self.dtype_policy,
            name=name,
        )

    # === All steps at once ===

    def call(
        self, sequence, memory, sequence_mask=None, memory_mask=None, training=None
    ):
        keys, values = self.read(memory, memory_mask)
        visible = None if memory_mask is None else memory_mask[:, None, None]

        def look_back(inputs):
            return self.self_attention(
                inputs, inputs, value_mask=sequence_mask, causal=True, training=training
            )

        def look_over(inputs):
            return self._look_over(inputs, keys, values, visible, training)

        x = apply_mask(sequence, sequence_mask)
        x, *weights = self._transform(x, look_back, look_over, training)
        return apply_mask(x, sequence_mask), *weights

    def _look_over(self, inputs, keys, values, visible, training):
        """All sequences that read one memory ask it at once: `(B, T, D)`."""
        rows, heads, steps, _ = ops.shape(keys)
        batch, targets, features = ops.shape(inputs)
        # -1 would not tell the number of sequences where there is no row.
        each = batch // ops.maximum(rows, 1)
        queries = ops.reshape(inputs, (rows, each * targets, features))  # (R, KT, D)
        found, weights = self.cross_attention.attend(
            queries, keys, values, visible, training
        )
        weights = ops.reshape(weights, (rows, heads, each, targets, steps))
        weights = ops.transpose(weights, (0, 2, 1, 3, 4))  # (R, K, H, T, S)
        return (
            ops.reshape(found, (batch, targets, features)),
            ops.reshape(weights, (batch, heads, targets, steps)),  # (B, H, T, S)
        )

    def _transform(self, x, look_back, look_over, training=False):
        """The output for `x`, and what the two functions that attend give besides it.

        Each takes `(..., D)` and gives as much and something more.
        """
        x, own = self._add(0, x, look_back, training)
        x, cross = self._add(1, x, look_over, training)
        x, _ = self._add(2, x, lambda x: (self.feed_forward(x), None), training)
        return x, own, cross

    def _add(self, number, x, function, training):
        norm = self.norms[number]
        added, more = function(norm(x) if self.norm == "pre" else x)
        x = x + self.dropout_layers[number](added, training=training)
        return (x if self.norm == "pre" else norm(x)), more

    # === One step ===

    def read(self, memory, memory_mask=None):
        """Keys and values `(B, H, S, K)` of the memory: the same at every step."""
        memory = apply_mask(memory, memory_mask)
        return self.cross_attention.keys_and_values(memory, memory)

    def step(self, inputs, written, read, visible=None):
        """Take one more step after those that were written.

        Args:
            inputs: `(N, D)`.
            written: `StepCache` of the t steps before.
            read: What `read` gave, for each source.
            visible: `(B, 1, 1, S)` bool, the real steps of the sources.

        Returns:
            `(N, D)`, the `StepCache` of t + 1 steps, and the weights of the
            cross-attention `(B, H, N/B, S)`.
        """

        def look_back(inputs):
            cache = self.self_attention.append(inputs, written)
            found, _ = self.self_attention.attend_step(
                inputs, cache.parts, position=written.steps
            )
            return found, cache

        def look_over(inputs):
            return self.cross_attention.attend_step(inputs, [read], visible)

        return self._transform(inputs, look_back, look_over)

    # === Keras ===

    def compute_mask(self, sequence, mask=None):
        return mask, None, None

    def compute_output_shape(self, sequence_shape, memory_shape):
        batch, steps, _ = sequence_shape
        own = (batch, self.num_heads, steps, steps)
        return [tuple(sequence_shape), own, (*own[:3], memory_shape[1])]

    def compute_output_spec(
        self, sequence, memory, sequence_mask=None, memory_mask=None, training=None
    ):
        output, *weights = self.compute_output_shape(sequence.shape, memory.shape)
        return (
            keras.KerasTensor(output, dtype=self.compute_dtype),
            *(keras.KerasTensor(shape, dtype="float32") for shape in weights),
        )

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
        }
