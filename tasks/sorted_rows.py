"""Ragged rows through a model, the longest first, in pieces with little padding."""

from collections.abc import Callable, Sequence

import tensorflow as tf

# Padded tokens that go through the model at once, measured to be the fastest: fewer
# leave cores idle, more no longer fit into the caches.
CHUNK_TOKENS = 2048


def map_sorted(
    rows: tf.RaggedTensor,
    function: Callable,
    specs: Sequence[tuple[tf.DType, list | None, bool]],
    beside: Sequence = (),
    tokens=None,
    max_rows=None,
) -> list:
    """Apply a function to groups of rows of like length; results keep the rows' order.

    Args:
        rows: Ragged `(B, (T))` without an empty row.
        function: (ragged rows of a group, their lengths, what stands beside them) to a
            list of tensors, each with an entry for every row, or for every token of
            all rows.
        specs: dtype and shape of such an entry, and whether it is one of tokens. With
            None for the shape it is a ragged tensor `(b, (n))` of rows of any width.
        beside: More tensors with an entry for every row, ragged or not.
        tokens: Of a group, padding included, at most; by default `CHUNK_TOKENS`. A
            longer row is a group of its own.
        max_rows: Of a group, at most; by default as many as fit.

    Returns:
        The tensors of all rows: `(B, ...)`, or `(N, ...)` for all N tokens, or ragged.
    """
    order = tf.argsort(rows.row_lengths(), direction="DESCENDING", stable=True)
    back = tf.argsort(order)
    ordered = tf.gather(rows, order)
    beside = [tf.gather(part, order) for part in beside]
    results = map_groups(ordered, function, specs, beside, tokens, max_rows)
    return [
        tf.gather(ordered.with_values(result), back).values
        if of_tokens
        else tf.gather(result, back)
        for result, (_, _, of_tokens) in zip(results, specs, strict=True)
    ]


def map_groups(
    rows, function, specs, beside=(), tokens=None, max_rows=None
) -> list[tf.Tensor | tf.RaggedTensor]:
    """The same for rows that are sorted, the longest first.

    Groups that are no longer in order are right, too, but hold more tokens.
    """
    lengths = rows.row_lengths()
    number = rows.nrows()
    tokens = tf.cast(CHUNK_TOKENS if tokens is None else tokens, tf.int64)
    max_rows = tf.cast(number if max_rows is None else max_rows, tf.int64)

    def go_on(start, *_):
        return start < number

    def one_group(start, group, *arrays):
        fitting = tf.minimum(tf.maximum(tokens // lengths[start], 1), max_rows)
        end = tf.minimum(start + fitting, number)
        results = function(
            rows[start:end], lengths[start:end], *(part[start:end] for part in beside)
        )
        flat = [part for result in results for part in _parts(result)]
        written = [a.write(group, r) for a, r in zip(arrays, flat, strict=True)]
        return end, group + 1, *written

    start = tf.zeros([], tf.int64)
    arrays = [array for spec in specs for array in _arrays(*spec)]
    _, _, *arrays = tf.while_loop(go_on, one_group, (start, 0, *arrays))
    joined = iter([array.concat() for array in arrays])
    return [
        next(joined)
        if shape is not None
        else tf.RaggedTensor.from_row_lengths(
            next(joined), next(joined), validate=False
        )
        for _, shape, _ in specs
    ]


def _parts(result) -> list:
    if isinstance(result, tf.RaggedTensor):
        return [result.values, result.row_lengths()]
    return [result]


def _arrays(dtype, shape, _) -> list[tf.TensorArray]:
    entries = [(dtype, shape)] if shape is not None else [(dtype, []), (tf.int64, [])]
    return [
        tf.TensorArray(kind, 0, True, infer_shape=False, element_shape=[None, *rest])
        for kind, rest in entries
    ]
