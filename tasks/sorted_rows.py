"""Ragged rows through a model, the longest first, in pieces with little padding."""

from collections.abc import Callable, Sequence

import tensorflow as tf

# Padded tokens that go through the model at once, measured to be the fastest: fewer
# leave cores idle, more no longer fit into the caches.
CHUNK_TOKENS = 2048


def map_sorted(
    rows: tf.RaggedTensor,
    function: Callable,
    specs: Sequence[tuple[tf.DType, list, bool]],
) -> list:
    """Apply a function to groups of rows of like length; results keep the rows' order.

    Args:
        rows: Ragged `(B, (T))` without an empty row.
        function: (ragged rows of a group, their lengths) to a list of tensors, each
            with an entry for every row, or for every token of all rows.
        specs: dtype and shape of such an entry, and whether it is one of tokens.

    Returns:
        The tensors of all rows: `(B, ...)`, or `(N, ...)` for all N tokens.
    """
    order = tf.argsort(rows.row_lengths(), direction="DESCENDING", stable=True)
    back = tf.argsort(order)
    ordered = tf.gather(rows, order)
    results = _map_groups(ordered, function, specs)
    return [
        tf.gather(ordered.with_values(result), back).values
        if of_tokens
        else tf.gather(result, back)
        for result, (_, _, of_tokens) in zip(results, specs, strict=True)
    ]


def _map_groups(rows, function, specs):
    lengths = rows.row_lengths()
    number = rows.nrows()

    def go_on(start, *_):
        return start < number

    def one_group(start, group, *arrays):
        end = start + tf.maximum(CHUNK_TOKENS // lengths[start], 1)
        end = tf.minimum(end, number)
        results = function(rows[start:end], lengths[start:end])
        written = [a.write(group, r) for a, r in zip(arrays, results, strict=True)]
        return end, group + 1, *written

    empty = [
        tf.TensorArray(dtype, 0, True, infer_shape=False, element_shape=[None, *shape])
        for dtype, shape, _ in specs
    ]
    start = tf.zeros([], tf.int64)
    _, _, *arrays = tf.while_loop(go_on, one_group, (start, 0, *empty))
    return [array.concat() for array in arrays]
