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
