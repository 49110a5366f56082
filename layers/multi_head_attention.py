"""Attention with several heads, each of which looks for something else."""

from functools import reduce
from operator import add

import keras
from keras import ops

from seqloom.layers.arguments import check_choice, check_dropout, check_positive
from seqloom.layers.attention import NORMALIZERS, normalize
from seqloom.layers.masking import apply_mask, causal_mask


@keras.saving.register_keras_serializable(package="seqloom")
class MultiHeadAttention(keras.layers.Layer):
    """Attend with H heads to projections of the values, and join what they find.

        head_h = normalize(Q_h K_h' / sqrt(K)) V_h
        Q_h = query W_h^Q + b_h^Q,  K_h = key W_h^K,  V_h = value W_h^V + b_h^V
        output = [head_1; ...; head_H] W^O + b^O

    Shapes: B batch, T queries, S values, D features, H heads, K units of a head.

    Args:
        num_heads: Number of heads H.
        head_units: Width K of a head's queries, keys and values.
        dropout: Share of the weights that is dropped.
        normalizer: `"softmax"`, or `"sigmoid"`, here with the bias -log n for the n
            values that a query may see, without which its sums grow with n.
        rotary: Turn queries and keys by their position, so that scores depend on the
            distance between them. It needs an even head_units, and is meant for
            attention within one sequence.
        return_weights: Also return the weights of every head.

    Call arguments:
        query: `(B, T, D)`.
        value: `(B, S, D_v)`.
        key: `(B, S, D_k)`, by default the values.
        value_mask: `(B, S)` bool, True at real steps of value and key. Defaults to the
            mask that `value` carries; without either, all steps are real.
        causal: Let query t see the values 0 to t only.

    Returns:
        `(B, T, D)`, as wide as the query. With `return_weights` also the weights
        `(B, H, T, S)` float32, before dropout. Weights of values that may not be
        seen are exactly 0, and where there are no others all are 0.

    Masking: what stands at masked values never matters; the output keeps the mask of
    `query`.

    Scores are normalized in float32, whatever the dtype policy.

    Reference: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.2.2;
    Su et al. 2021, https://arxiv.org/abs/2104.09864, section 3.2.2 (rotary);
    Ramapuram et al. 2024, https://arxiv.org/abs/2409.04431, section 3 (sigmoid).
    """

    def __init__(
        self,
        num_heads,
        head_units,
        dropout=0.0,
        normalizer="softmax",
        rotary=False,
        return_weights=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(self, num_heads=num_heads, head_units=head_units)
        check_dropout(self, dropout)
        check_choice(self, "normalizer", normalizer, NORMALIZERS)
        if rotary and head_units % 2:
            raise ValueError(
                "MultiHeadAttention with rotary=True turns pairs of features, so it "
                f"needs an even head_units, got {head_units}. Try {head_units + 1}."
            )
        self.num_heads = num_heads
        self.head_units = head_units
        self.dropout = dropout
        self.normalizer = normalizer
        self.rotary = rotary
        self.return_weights = return_weights
        self.dropout_layer = keras.layers.Dropout(dropout, dtype=self.dtype_policy)
        self.rotation = rotary_embedding(self.dtype_policy) if rotary else None

    def build(self, query_shape, value_shape, key_shape=None):
        units = self.num_heads * self.head_units
        key_units = (key_shape or value_shape)[-1]
        self.query_dense = self._dense(units, query_shape[-1], "query")
        # A bias of the keys would add the same to all scores of a query, which the
        # softmax cancels: no gradient would ever reach it.
        self.key_dense = self._dense(units, key_units, "key", use_bias=False)
        self.value_dense = self._dense(units, value_shape[-1], "value")
        self.output_dense = self._dense(query_shape[-1], units, "output")

    def _dense(self, units, inputs, name, use_bias=True):
        dense = keras.layers.Dense(
            units, use_bias=use_bias, dtype=self.dtype_policy, name=name
        )
        dense.build((None, inputs))
        return dense

    def call(
        self, query, value, key=None, value_mask=None, causal=False, training=None
    ):
        key = apply_mask(value if key is None else key, value_mask)
        keys, values = self.keys_and_values(key, apply_mask(value, value_mask))
        visible = None if value_mask is None else value_mask[:, None, None]
        if causal:
            before = causal_mask(ops.shape(query)[1], ops.shape(value)[1])  # (T, S)
            visible = before if visible is None else ops.logical_and(visible, before)
        output, weights = self.attend(query, keys, values, visible, training)
        return (output, weights) if self.return_weights else output

    def keys_and_values(self, key, value):
        """Project `(B, S, D)` keys and values, each to `(B, H, S, K)`.

        They depend on no query, so a decoder need not compute them anew at each step.
        """
        keys = self._heads(self.key_dense(key))
        values = self._heads(self.value_dense(value))
        return self._by_head(self._turn(keys)), self._by_head(values)

    def attend(self, query, keys, values, visible=None, training=None):
        """Output `(B, T, D)` and weights `(B, H, T, S)` of `(B, T, D)` query.

        `keys` and `values` are those of `keys_and_values`; `visible` is bool and is
        broadcast to the weights, and without it all is visible.
        """
        queries = self._by_head(self._turn(self._heads(self.query_dense(query))))
        heads, weights = self._look(queries, [(keys, values)], visible, training)
        joined = ops.reshape(
            heads, (*ops.shape(heads)[:2], self.num_heads * self.head_units)
        )  # (B, T, H*K)
        return self.output_dense(joined), weights

    def _look(self, queries, parts, visible=None, training=False):
        """Heads `(B, T, H, K)` and weights `(B, H, T, S)` of `(B, H, T, K)` queries.

        `parts` are keys and values `(B, H, S_i, K)`, which have S steps together.
        """
        queries = queries * self.head_units**-0.5
        scores = [
            ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2))) for keys, _ in parts
        ]  # (B, H, T, S_i)
        scores = scores[0] if len(scores) == 1 else ops.concatenate(scores, axis=-1)
        weights = normalize(scores, visible, self.normalizer, length_bias=True)
        # The dropout layer also casts them to the compute dtype.
        dropped = self.dropout_layer(weights, training=training)
        found, start = [], 0
        for _, values in parts:
            end = start + ops.shape(values)[2]
            found.append(ops.matmul(dropped[..., start:end], values))  # (B, H, T, K)
            start = end
        return ops.transpose(reduce(add, found), (0, 2, 1, 3)), weights

    # === One step of a decoder ===

    def append(self, step, cache):
        """The `StepCache` with keys and values of the `(N, D)` step, its last one."""
        key = self._heads(self.key_dense(step)[:, None])  # (N, 1, H, K)
        key = self._turn(key, cache.steps)
        value = self._heads(self.value_dense(step)[:, None])  # (N, 1, H, K)
        return cache.append(self._by_head(key), self._by_head(value))

    def attend_step(self, query, parts, visible=None, position=0):
        """Output `(N, D)` and weights `(B, H, Q, S)` of `(N, D)` query of one step.

        The same as `attend` with Q = N/B queries in each row, all at one position: row
        n belongs to row n // Q of keys and values, which need no copies for it.

        Args:
            query: `(N, D)`.
            parts: Pairs of keys and values `(B, H, S_i, K)`, S steps together, as
                `StepCache` has them.
            visible: bool, broadcast to the weights.
            position: Of the queries, if they are turned.
        """
        number, rows = ops.shape(query)[0], ops.shape(parts[0][0])[0]
        # -1 would not tell the number of queries where there is no row.
        each = number // ops.maximum(rows, 1)
        queries = self._heads(self.query_dense(query)[:, None])  # (N, 1, H, K)
        queries = self._turn(queries, position)
        sizes = (rows, each, self.num_heads, self.head_units)
        queries = self._by_head(ops.reshape(queries, sizes))  # (B, H, Q, K)
        heads, weights = self._look(queries, parts, visible)
        joined = ops.reshape(
            heads, (number, self.num_heads * self.head_units)
        )  # (N, H*K)
        return self.output_dense(joined), weights

    # === Heads ===

    def _heads(self, projected):
        sizes = ops.shape(projected)[:2]
        return ops.reshape(
            projected, (*sizes, self.num_heads, self.head_units)
        )  # (B, T, H, K)

    def _turn(self, heads, start=0):
        """Turn `(B, T, H, K)` heads by their positions, from `start` on, if rotary."""
        if self.rotation is None:
            return heads
        return self.rotation(heads, start_index=start)

    def _by_head(self, heads):
        return ops.transpose(heads, (0, 2, 1, 3))  # (B, H, T, K)

    # === Keras ===

    def compute_mask(self, query, query_mask=None):
        return [query_mask, None] if self.return_weights else query_mask

    def compute_output_shape(self, query_shape, value_shape, key_shape=None):
        output = tuple(query_shape)
        if not self.return_weights:
            return output
        steps, values = query_shape[1], value_shape[1]
        return [output, (query_shape[0], self.num_heads, steps, values)]

    def compute_output_spec(
        self, query, value, key=None, value_mask=None, causal=False, training=None
    ):
        output = keras.KerasTensor(query.shape, dtype=self.compute_dtype)
        if not self.return_weights:
            return output
        _, weights = self.compute_output_shape(query.shape, value.shape)
        return output, keras.KerasTensor(weights, dtype="float32")

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "head_units": self.head_units,
            "dropout": self.dropout,
            "normalizer": self.normalizer,
            "rotary": self.rotary,
            "return_weights": self.return_weights,
        }


def rotary_embedding(dtype_policy):
    """Turns the steps (axis 1) of `(B, T, H, K)` by their positions."""
    import keras_nlp  # here, as it takes most of a second and few need it

    return keras_nlp.layers.RotaryEmbedding(dtype=dtype_policy, name="rotation")
