"""Masks shared by the layers: bool tensors, True at real steps.

They are made here, in one place, so that every layer means the same by one. All
functions take the last two axes as `(B, T)` unless they say otherwise.
"""

import keras
from keras import ops


def mask_from_ids(ids, padding_id=0):
    """Mask `(..., T)` that is True where integer `ids` `(..., T)` are not padding."""
    return ops.not_equal(ids, padding_id)


def mask_from_lengths(lengths, num_steps):
    """Mask `(B, T)` of sequences with `lengths` `(B,)` out of `num_steps` T."""
    steps = ops.arange(num_steps, dtype="int32")
    return steps[None, :] < ops.cast(lengths, "int32")[:, None]


def lengths_from_mask(mask):
    """Number of real steps `(...)` int32 in every row of `(..., T)` mask."""
    return ops.sum(ops.cast(mask, "int32"), axis=-1)


def full_mask(sequence):
    """Mask `(B, T)` for `(B, T, ...)` sequence without padding: all True."""
    return ops.ones(ops.shape(sequence)[:2], dtype="bool")


def apply_mask(sequence, mask):
    """Set the masked steps of `(B, T, D)` sequence to exact zeros, NaN included.

    `where` and not a product: 0 times inf is NaN, and padding may hold anything.
    """
    if mask is None:
        return sequence
    mask = ops.expand_dims(ops.cast(mask, "bool"), -1)
    return ops.where(mask, sequence, ops.zeros_like(sequence))


def fill_empty_rows(mask):
    """Call the first step real in every row of `(B, T)` mask that has no real step.

    cuDNN aborts on a sequence of length 0, on a GPU only (tensorflow#43103). Give it
    this mask, then set the outputs to zero with the true one.
    """
    empty = ops.logical_not(ops.any(mask, axis=-1, keepdims=True))  # (B, 1)
    first = ops.arange(ops.shape(mask)[-1]) == 0  # (T,)
    return ops.logical_or(mask, ops.logical_and(empty, first))


def masked_max(sequence, mask):
    """Largest value over the real steps of `(B, T, D)`: `(B, D)`, 0 without any."""
    mask = ops.expand_dims(mask, -1)  # (B, T, 1)
    lowest = lowest_value(sequence.dtype)
    # Without `initial` Keras refuses, eagerly, a batch of no rows.
    highest = ops.max(ops.where(mask, sequence, lowest), axis=1, initial=lowest)
    return ops.where(ops.any(mask, axis=1), highest, ops.zeros_like(highest))


def lowest_value(dtype):
    """A finite value of float `dtype` below all that a network computes."""
    return -6e4 if keras.backend.standardize_dtype(dtype) == "float16" else -1e9


def causal_mask(num_queries, num_values):
    """Mask `(T, S)` that is True where the value does not come after the query."""
    queries = ops.arange(num_queries, dtype="int32")
    values = ops.arange(num_values, dtype="int32")
    return values[None, :] <= queries[:, None]


def masked_softmax(scores, mask):
    """Softmax over the real places of `(..., S)` scores, in float32.

    `mask` is broadcast to the scores; None calls all places real. Weights of masked
    places are exactly 0, and a row without a real place is all 0.
    """
    scores = ops.cast(scores, "float32")
    if mask is None:
        return plain_softmax(scores)
    mask = ops.cast(mask, "bool")
    scores = ops.where(mask, scores, lowest_value("float32"))
    return ops.where(mask, plain_softmax(scores), 0.0)


def plain_softmax(scores):
    """Softmax over the last axis, be it of one place: of that, Keras' own warns."""
    if scores.shape[-1] == 1:
        return ops.exp(ops.log_softmax(scores, axis=-1))
    return ops.softmax(scores, axis=-1)


def masked_sigmoid(scores, mask, length_bias=False):
    """Sigmoid of the real places of `(..., S)` scores, in float32, and 0 elsewhere.

    With `length_bias`, log n is taken off the scores, for the n real places of the
    row: so that the weights add up to something near 1, however long the row is.
    """
    scores = ops.cast(scores, "float32")
    mask = ops.ones_like(scores, dtype="bool") if mask is None else mask
    mask = ops.cast(mask, "bool")
    if length_bias:
        places = ops.maximum(lengths_from_mask(mask), 1)[..., None]  # (..., 1)
        scores = scores - ops.log(ops.cast(places, "float32"))
    return ops.where(mask, ops.sigmoid(scores), 0.0)


def masked_argmax(sequence, mask):
    """True in `(B, T, D)` at the real step where a feature is largest, the first one.

    Rows of `(B, T)` mask without a real step have none.
    """
    mask = ops.expand_dims(mask, -1)  # (B, T, 1)
    lowest = lowest_value(sequence.dtype)
    filled = ops.where(mask, sequence, lowest)
    highest = ops.max(filled, axis=1, keepdims=True, initial=lowest)
    largest = ops.logical_and(mask, ops.equal(filled, highest))
    # argmax does not promise the first of equals.
    earlier = ops.cumsum(ops.cast(largest, "int32"), axis=1)
    return ops.logical_and(largest, ops.equal(earlier, 1))
