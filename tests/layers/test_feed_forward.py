"""The position-wise feed-forward network."""

import numpy as np
import pytest
from contracts import check_layer

from seqloom.layers import FeedForward, TokenEmbedding

X = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")


def test_agrees_with_numpy():
    layer = FeedForward(5)
    layer.build(X.shape)
    random = np.random.default_rng(1)
    layer.set_weights([random.normal(size=w.shape) for w in layer.weights])
    w_1, b_1, w_2, b_2 = layer.get_weights()
    expected = np.maximum(X @ w_1 + b_1, 0) @ w_2 + b_2
    np.testing.assert_allclose(layer(X), expected, atol=1e-5)


def test_keeps_the_mask():
    token_ids = np.array([[3, 1, 0], [2, 0, 0]])
    output = FeedForward(5)(TokenEmbedding(4, 6)(token_ids))
    np.testing.assert_array_equal(output._keras_mask, token_ids != 0)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_contract(activation):
    check_layer(FeedForward(5, activation), X)


def test_errors_say_what_where_and_how():
    with pytest.raises(ValueError, match=r"activation='tanh'. Choose one of relu, gel"):
        FeedForward(6, "tanh")
    with pytest.raises(ValueError, match=r"FeedForward needs an integer units >= 1"):
        FeedForward(0)
