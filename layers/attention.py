"""Attention with one head: what should be looked at, and how much."""

import keras
from keras import ops

from seqloom.layers.arguments import check_choice, check_positive
from seqloom.layers.masking import apply_mask, masked_sigmoid, masked_softmax

SCORES = ("dot", "scaled_dot", "general", "additive")
NORMALIZERS = ("softmax", "sigmoid")


@keras.saving.register_keras_serializable(package="seqloom")
class Attention(keras.layers.Layer):
    """Give every query a mean of the values, weighted by how well the keys match.

        score[b, t, s] = q · k                              dot
                         q · k / sqrt(D_k)                  scaled_dot
                         q · (W k)                          general
                         v · tanh(W_q q + W_k k)            additive
        weights[b, t] = softmax(score[b, t])  or  sigmoid(score[b, t] - log n)
        context[b, t] = sum over s of weights[b, t, s] value[b, s]

    for q = query[b, t] and k = key[b, s]. There is no log n without `length_bias`.

    Shapes: B batch, T queries, S values, D features, U units.

    Args:
        score: `"dot"`, `"scaled_dot"`, `"general"` or `"additive"`. The first two need
            queries as wide as the keys.
        normalizer: `"softmax"`: the weights of a query sum to 1. `"sigmoid"`: each
            value is weighted on its own, without regard to the others.
        units: Width U of the additive score; the other scores have none.
        length_bias: Take log n off the scores of the sigmoid, n being the number of
            real values of the row, so that their weights start near 1/n in all.

    Call arguments:
        query: `(B, T, D_q)`.
        value: `(B, S, D_v)`.
        key: `(B, S, D_k)`, by default the values.
        value_mask: `(B, S)` bool, True at real steps of value and key. Defaults to the
            mask that `value` carries; without either, all steps are real.

    Returns:
        context `(B, T, D_v)` and weights `(B, T, S)` float32, always. Weights of
        masked values are exactly 0, and a row without a real value is all 0.

    Masking: what stands at masked values never matters; the context keeps the mask
    of `query`.

    Scores are normalized in float32, whatever the dtype policy.

    Reference: Luong et al. 2015, https://arxiv.org/abs/1508.04025, section 3.1 (dot,
    general); Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, equation 1
    (scaled_dot); Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473, A.1.2
    (additive); Ramapuram et al. 2024, https://arxiv.org/abs/2409.04431, section 3
    (sigmoid).
    """

    def __init__(
        self,
        score="scaled_dot",
        normalizer="softmax",
        units=None,
        length_bias=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_choice(self, "score", score, SCORES)
        check_choice(self, "normalizer", normalizer, NORMALIZERS)
        self.score = score
        self.normalizer = normalizer
        self.units = units
        self.length_bias = length_bias
        self._check_arguments()

    def _check_arguments(self):
        if self.score == "additive":
            check_positive(self, units=self.units)
        elif self.units is not None:
            raise ValueError(
                f"Attention with score={self.score!r} has no units, got "
                f"units={self.units!r}. Leave them out, or choose score='additive'."
            )
        if self.length_bias and self.normalizer != "sigmoid":
            raise ValueError(
                "length_bias=True changes nothing in Attention with "
                f"normalizer={self.normalizer!r}, which cancels what is added to all "
                "scores. Leave it out, or choose normalizer='sigmoid'."
            )

    def build(self, query_shape, value_shape, key_shape=None):
        query_units = query_shape[-1]
        key_units = (key_shape or value_shape)[-1]
        if self.score == "additive":
            self.query_dense = self._dense(self.units, query_units, "query")
            self.key_dense = self._dense(self.units, key_units, "key")
            self.score_dense = self._dense(1, self.units, "score")
        elif self.score == "general":
            self.key_dense = self._dense(query_units, key_units, "key")
        elif query_units != key_units:
            raise ValueError(
                f"Attention with score={self.score!r} needs queries as wide as the "
                f"keys, got {query_units} and {key_units} features. Put a "
                f"Dense({key_units}) before the query, or choose score='general' or "
                "score='additive'."
            )

    def _dense(self, units, inputs, name):
        dense = keras.layers.Dense(
            units, use_bias=False, dtype=self.dtype_policy, name=name
        )
        dense.build((None, inputs))
        return dense

    def call(self, query, value, key=None, value_mask=None):
        key = apply_mask(value if key is None else key, value_mask)
        value = apply_mask(value, value_mask)
        visible = None if value_mask is None else value_mask[:, None]  # (B, 1, S)
        return self.attend(query, self.keys(key), value, visible)

    def keys(self, key):
        """What the scores take of `(B, S, D_k)` key: `(B, S, ...)`.

        It depends on no query, so a decoder need not compute it anew at each step.
        """
        return self.key_dense(key) if self.score in ("general", "additive") else key

    def attend(self, query, keys, value, visible=None):
        """Context `(B, T, D_v)` and weights `(B, T, S)` of `(B, T, D_q)` query.

        `keys` is what the method of that name gave; `visible` is bool and is broadcast
        to the weights, and without it all is visible.
        """
        weights = normalize(
            self.scores(query, keys), visible, self.normalizer, self.length_bias
        )
        context = ops.matmul(ops.cast(weights, value.dtype), value)  # (B, T, D_v)
        return context, weights

    def scores(self, query, keys):
        """Scores `(B, T, S)` float32, before they are normalized."""
        if self.score == "additive":
            queries = ops.expand_dims(self.query_dense(query), 2)  # (B, T, 1, U)
            keys = ops.expand_dims(keys, 1)  # (B, 1, S, U)
            scores = self.score_dense(ops.tanh(queries + keys))[..., 0]  # (B, T, S)
            return ops.cast(scores, "float32")
        # In float16 a product over many features can pass its largest number, 65504.
        query, keys = ops.cast(query, "float32"), ops.cast(keys, "float32")
        if self.score == "scaled_dot":
            query = query / query.shape[-1] ** 0.5
        return ops.matmul(query, ops.transpose(keys, (0, 2, 1)))  # (B, T, S)

    def compute_mask(self, query, query_mask=None):
        return query_mask, None

    def compute_output_shape(self, query_shape, value_shape, key_shape=None):
        context = (*query_shape[:-1], value_shape[-1])
        weights = (*query_shape[:-1], value_shape[1])
        return [context, weights]

    def compute_output_spec(self, query, value, key=None, value_mask=None):
        context, weights = self.compute_output_shape(query.shape, value.shape)
        return (
            keras.KerasTensor(context, dtype=self.compute_dtype),
            keras.KerasTensor(weights, dtype="float32"),
        )

    def get_config(self):
        return {
            **super().get_config(),
            "score": self.score,
            "normalizer": self.normalizer,
            "units": self.units,
            "length_bias": self.length_bias,
        }


def normalize(scores, mask, normalizer, length_bias):
    """Weights in float32 from `(..., S)` scores, by one of `NORMALIZERS`."""
    if normalizer == "softmax":
        return masked_softmax(scores, mask)
    return masked_sigmoid(scores, mask, length_bias)
