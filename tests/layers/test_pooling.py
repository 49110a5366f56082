"""Pooling over time."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from contracts import check_layer

from seqloom.layers import Pooling, TokenEmbedding

LENGTHS = np.array([4, 2, 0, 1])
MASK = np.arange(4) < LENGTHS[:, None]
KINDS = ["attention", "mean", "max", "last"]


def sequences(seed=0):
    """Steps of standard deviation 1, the padded ones too."""
    return np.random.default_rng(seed).normal(size=(4, 4, 3)).astype("float32")


def pooling(kind, **arguments):
    """A built layer with weights of standard deviation 1."""
    layer = Pooling(kind, units=5 if kind == "attention" else None, **arguments)
    layer.build((None, None, 3))
    random = np.random.default_rng(9)
    layer.set_weights([random.normal(size=w.shape) for w in layer.weights])
    return layer


def pooled_rows(kind, rows, parameters):
    """Vector and weights of one sequence, without padding."""
    n = len(rows)
    if kind == "attention":
        kernel, bias, vector = parameters
        scores = np.exp([np.tanh(x @ kernel + bias) @ vector[:, 0] for x in rows])
        weights = scores / scores.sum()
        return sum(w * x for w, x in zip(weights, rows)), weights
    if kind == "max":
        weights = np.zeros(n)
        for feature in rows.T:
            weights[list(feature).index(max(feature))] += 1 / rows.shape[1]
        return np.array([max(feature) for feature in rows.T]), weights
    if kind == "mean":
        return rows.mean(axis=0), np.full(n, 1 / n)
    return rows[-1], np.array([0] * (n - 1) + [1])


@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_a_loop(kind):
    layer = pooling(kind)
    x = sequences()
    x[0, 2] = x[0, 1]  # equals, of which the first counts
    for mask, lengths in ((MASK, LENGTHS), (None, [4] * 4)):
        pooled, weights = layer(x, mask=mask)
        assert weights.dtype == "float32"
        for row, length in enumerate(lengths):
            assert np.all(weights[row, length:] == 0)
            if length:
                expected = pooled_rows(kind, x[row, :length], layer.get_weights())
                np.testing.assert_allclose(pooled[row], expected[0], atol=1e-5)
                np.testing.assert_allclose(
                    weights[row, :length], expected[1], atol=1e-6
                )


def test_the_first_of_equals_counts():
    x = np.array([[[1.0, 5], [7, 5], [7, 5], [0, 0]]], "float32")
    np.testing.assert_array_equal(Pooling("max")(x)[1], [[0.5, 0.5, 0, 0]])


def test_last_is_the_last_real_step_wherever_the_padding_is():
    x, mask = sequences()[:1], np.array([[False, True, True, False]])
    pooled, weights = Pooling("last")(x, mask=mask)
    np.testing.assert_array_equal(pooled, x[:, 2])
    np.testing.assert_array_equal(weights, [[0, 0, 1, 0]])


def test_attention_begins_as_the_mean():
    x = sequences()
    attention = Pooling("attention", units=5)(x, mask=MASK)
    for one, other in zip(attention, Pooling("mean")(x, mask=MASK), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_attention_learns_whom_to_listen_to():
    """The class is in one step of eight, the only one whose first feature is 3."""
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    x = random.normal(size=(256, 8, 3)).astype("float32")
    x[:, :, 0] = 0
    places, rows = random.integers(0, 8, size=256), np.arange(256)
    x[rows, places, 0] = 3
    labels = (x[rows, places, 1] > 0).astype("float32")
    inputs = keras.Input((None, 3))
    pooled, weights = Pooling("attention", units=8)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(pooled))
    model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy")
    model.fit(x, labels, epochs=20, verbose=0)
    weights = keras.Model(inputs, weights)(x).numpy()
    assert weights[rows, places].mean() > 0.4  # it began with 1/8


# === Masks ===


@pytest.mark.parametrize("kind", KINDS)
def test_padding_does_not_matter(kind):
    layer = pooling(kind)
    x = sequences()
    padded = layer(x, mask=MASK)
    for filling in (99.0, np.nan):
        spoiled = np.where(MASK[..., None], x, filling).astype("float32")
        for clean, other in zip(padded, layer(spoiled, mask=MASK), strict=True):
            np.testing.assert_array_equal(clean, other)
    for row, length in enumerate(LENGTHS):
        if length:
            pooled, weights = layer(x[[row], :length])
            np.testing.assert_allclose(padded[0][row], pooled[0], atol=1e-5)
            np.testing.assert_allclose(padded[1][row, :length], weights[0], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_row_without_a_real_step_is_zeros_with_finite_gradients(kind):
    layer = pooling(kind)
    x = tf.Variable(sequences())
    with tf.GradientTape() as tape:
        pooled, weights = layer(x, mask=MASK)
        total = tf.reduce_sum(pooled**2)
    empty = list(LENGTHS).index(0)
    assert np.all(pooled[empty] == 0)
    assert np.all(weights[empty] == 0)
    np.testing.assert_allclose(np.sum(weights, axis=1), LENGTHS > 0, atol=1e-6)
    gradient = tf.convert_to_tensor(tape.gradient(total, x)).numpy()
    assert np.all(np.isfinite(gradient))
    assert np.all(gradient[~MASK] == 0)


@pytest.mark.parametrize("kind", KINDS)
def test_implicit_mask_equals_explicit_and_ends_here(kind):
    embedding = TokenEmbedding(9, 3, initializer=keras.initializers.RandomNormal(0, 1))
    layer = pooling(kind)
    vectors = embedding(np.where(MASK, 1 + np.arange(4), 0))
    implicit = layer(vectors)
    explicit = layer(np.array(vectors), mask=MASK)
    for one, other in zip(implicit, explicit, strict=True):
        np.testing.assert_array_equal(one, other)
        assert getattr(one, "_keras_mask", None) is None
    lost = layer(np.array(vectors))  # else the test would see nothing
    assert np.max(np.abs(lost[0] - implicit[0])) > 0.1


# === The contract ===


@pytest.mark.parametrize("kind", ["mean", "max", "last"])
def test_contract(kind):
    check_layer(Pooling(kind), sequences(), weightless=True, num_maps=1)


def test_contract_of_attention():
    """With a score vector of zeros no gradient would reach what is before it."""
    layer = Pooling("attention", units=4, score_initializer="glorot_uniform")
    check_layer(layer, sequences(), num_maps=1)


def test_errors_say_what_where_and_how():
    with pytest.raises(ValueError, match=r"kind='sum'. Choose one of attention, mean"):
        Pooling("sum")
    with pytest.raises(ValueError, match=r"Pooling needs an integer units >= 1, got"):
        Pooling("attention")
    with pytest.raises(ValueError, match=r"kind='mean' has no units, got units=5"):
        Pooling("mean", units=5)
