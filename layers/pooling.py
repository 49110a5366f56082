"""One vector for a whole sequence."""

import keras
from keras import ops

from seqloom.layers.arguments import check_choice, check_positive
from seqloom.layers.masking import (
    apply_mask,
    full_mask,
    lengths_from_mask,
    masked_argmax,
    masked_max,
    masked_softmax,
)

KINDS = ("attention", "mean", "max", "last")


@keras.saving.register_keras_serializable(package="seqloom")
class Pooling(keras.layers.Layer):
    """Sum a sequence up in one vector, and say how much each step gave to it.

        attention: weights[b] = softmax(v · tanh(W sequence[b, t] + b)) over t
        mean:      weights[b, t] = 1/n for n real steps
        last:      weights[b, t] = 1 at the last real step, else 0
        max:       weights[b, t] = share of the features that are largest at step t
        pooled[b] = sum over t of weights[b, t] sequence[b, t],
                    but for max the largest value of each feature

    Shapes: B batch, T steps, D features, U units.

    Args:
        kind: `"attention"`, `"mean"`, `"max"` or `"last"`. Of a bidirectional
            encoder, "last" takes the last real step, where the backward direction
            has read that one step alone; better pool its outputs in another way, or
            take its final states.
        units: Width U of the scoring network of "attention"; the others have none.
        score_initializer: Of v. With the zeros it begins as "mean", and learns from
            there whom to listen to.

    Call arguments:
        sequence: `(B, T, D)`.
        mask: `(B, T)` bool, True at real steps. Defaults to the mask that `sequence`
            carries; without either, all steps are real.

    Returns:
        pooled `(B, D)` and weights `(B, T)` float32. The weights are exactly 0 at
        masked steps and sum to 1 over the others. A row without a real step gives
        zeros.

    Masking: what stands at masked steps never matters; the outputs carry no mask.

    Reference: Lin et al. 2017, https://arxiv.org/abs/1703.03130, equations 5 and 6
    for one hop; Yang et al. 2016, https://aclanthology.org/N16-1174, equations 5 to 7.
    """

    def __init__(
        self, kind="attention", units=None, score_initializer="zeros", **kwargs
    ):
        super().__init__(**kwargs)
        check_choice(self, "kind", kind, KINDS)
        if kind == "attention":
            check_positive(self, units=units)
        elif units is not None:
            raise ValueError(
                f"Pooling with kind={kind!r} has no units, got units={units!r}. "
                "Leave them out, or choose kind='attention'."
            )
        self.kind = kind
        self.units = units
        self.score_initializer = keras.initializers.get(score_initializer)

    def build(self, sequence_shape):
        if self.kind != "attention":
            return
        self.hidden_dense = keras.layers.Dense(
            self.units, activation="tanh", dtype=self.dtype_policy, name="hidden"
        )
        self.hidden_dense.build(sequence_shape)
        self.score_dense = keras.layers.Dense(
            1,
            use_bias=False,
            kernel_initializer=self.score_initializer,
            dtype=self.dtype_policy,
            name="score",
        )
        self.score_dense.build((None, None, self.units))

    def call(self, sequence, mask=None):
        mask = full_mask(sequence) if mask is None else ops.cast(mask, "bool")
        sequence = apply_mask(sequence, mask)
        weights = self._weights(sequence, mask)  # (B, T)
        if self.kind == "max":
            return masked_max(sequence, mask), weights
        row = ops.cast(weights, sequence.dtype)[:, None]  # (B, 1, T)
        return ops.matmul(row, sequence)[:, 0], weights

    def _weights(self, sequence, mask):
        """How much each step gives: `(B, T)` float32."""
        if self.kind == "attention":
            scores = self.score_dense(self.hidden_dense(sequence))[..., 0]  # (B, T)
            return masked_softmax(scores, mask)
        if self.kind == "max":
            largest = masked_argmax(sequence, mask)  # (B, T, D)
            return ops.mean(ops.cast(largest, "float32"), axis=-1)
        real = ops.cast(mask, "float32")
        if self.kind == "mean":
            steps = ops.maximum(lengths_from_mask(mask), 1)[:, None]  # (B, 1)
            return real / ops.cast(steps, "float32")
        steps = ops.arange(ops.shape(mask)[1], dtype="int32")
        last = ops.max(ops.where(mask, steps, -1), axis=1, keepdims=True, initial=-1)
        return ops.cast(ops.equal(steps, last), "float32")

    def compute_mask(self, sequence, mask=None):
        return None, None  # the steps, and their mask, are gone

    def compute_output_shape(self, sequence_shape):
        batch, steps, features = sequence_shape
        return [(batch, features), (batch, steps)]

    def compute_output_spec(self, sequence, mask=None):
        pooled, weights = self.compute_output_shape(sequence.shape)
        return (
            keras.KerasTensor(pooled, dtype=self.compute_dtype),
            keras.KerasTensor(weights, dtype="float32"),
        )

    def get_config(self):
        return {
            **super().get_config(),
            "kind": self.kind,
            "units": self.units,
            "score_initializer": keras.initializers.serialize(self.score_initializer),
        }
