"""Token embedding."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from contracts import check_layer

from seqloom.layers import TokenEmbedding

TOKEN_IDS = np.array([[3, 1, 0], [2, 0, 0], [0, 0, 0]], "int32")


def test_looks_rows_up_and_gives_zeros_for_padding():
    layer = TokenEmbedding(4, 5)
    output = layer(TOKEN_IDS).numpy()
    table = layer.get_weights()[0]
    assert np.all(table[0] != 0)
    np.testing.assert_array_equal(output[0, :2], table[[3, 1]])
    assert np.all(output[TOKEN_IDS == 0] == 0)
    np.testing.assert_array_equal(layer(TOKEN_IDS)._keras_mask, TOKEN_IDS != 0)


def test_padding_gets_no_gradient():
    layer = TokenEmbedding(4, 5)
    layer.build((None, None))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(TOKEN_IDS))
    gradient = tape.gradient(total, layer.table.value)
    np.testing.assert_array_equal(tf.convert_to_tensor(gradient)[:, 0], [0, 1, 1, 1])


@pytest.mark.parametrize("units", [4, 64])
def test_vectors_start_with_length_one(units):
    layer = TokenEmbedding(2000, units)
    layer.build((None, None))
    lengths = np.linalg.norm(layer.get_weights()[0], axis=1)
    assert np.mean(lengths**2) == pytest.approx(1.0, abs=0.05)


def test_contract():
    check_layer(TokenEmbedding(4, 5), TOKEN_IDS)
    check_layer(TokenEmbedding(4, 5, initializer="glorot_normal"), TOKEN_IDS)


def test_takes_any_initializer():
    layer = TokenEmbedding(4, 5, initializer=keras.initializers.Constant(2.0))
    assert np.all(layer(TOKEN_IDS)[0, 0] == 2)


def test_errors_say_what_where_and_how():
    with pytest.raises(ValueError, match=r"TokenEmbedding needs an integer units >= 1"):
        TokenEmbedding(4, 0)
    with pytest.raises(ValueError, match=r"got vocabulary_size=2.5"):
        TokenEmbedding(2.5, 4)
