"""Masks: True is real."""

import numpy as np
import pytest
import tensorflow as tf

from seqloom.layers.masking import (
    apply_mask,
    fill_empty_rows,
    lengths_from_mask,
    mask_from_ids,
    mask_from_lengths,
    masked_max,
)

MASK = np.array([[True, True, False], [True, False, False], [False, False, False]])


def test_masks_from_ids_and_lengths():
    np.testing.assert_array_equal(
        mask_from_ids([[7, 2, 0], [1, 0, 0], [0, 0, 0]]), MASK
    )
    np.testing.assert_array_equal(mask_from_lengths(np.array([2, 1, 0]), 3), MASK)
    np.testing.assert_array_equal(lengths_from_mask(MASK), [2, 1, 0])


def test_apply_mask_removes_whatever_padding_holds():
    sequence = np.where(MASK[..., None], 1.0, np.nan).astype("float32")
    np.testing.assert_array_equal(apply_mask(sequence, MASK)[..., 0], MASK)
    assert apply_mask(sequence, None) is sequence


def test_fill_empty_rows_touches_nothing_else():
    expected = MASK.copy()
    expected[2, 0] = True
    np.testing.assert_array_equal(fill_empty_rows(MASK), expected)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_masked_max_ignores_padding(dtype):
    sequence = tf.constant([[[-5.0], [-3], [9]], [[-7], [9], [9]], [[9], [9], [9]]])
    highest = masked_max(tf.cast(sequence, dtype), MASK)
    assert highest.dtype == dtype
    np.testing.assert_array_equal(tf.cast(highest[:, 0], "float32"), [-3, -7, 0])
