import keras
import numpy as np
import pytest
import tensorflow as tf

from seqloom.tasks.attribution import integrated_gradients


@pytest.fixture
def points():
    rng = np.random.default_rng(3)
    return rng.normal(size=(5, 4)), rng.normal(size=(5, 4))


def test_a_linear_score_is_shared_out_exactly(points):
    vectors, baseline = points
    weights = np.random.default_rng(0).normal(size=(5, 4))

    def score(x):
        return tf.einsum("ntd,td->n", x, tf.constant(weights, tf.float32)) + 7

    values, gap = integrated_gradients(score, vectors, baseline, steps=1)
    expected = [sum(weights[t] * (vectors[t] - baseline[t])) for t in range(5)]
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-5)
    assert abs(gap) < 1e-5


def test_a_quadratic_score_is_shared_out_exactly(points):
    vectors, baseline = points
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(20, 20))

    def score(x):
        flat = tf.reshape(x, (-1, 20))  # (N, 20)
        return tf.reduce_sum(flat @ tf.constant(matrix, tf.float32) * flat, axis=-1)

    # The gradient (M + M')x is linear on the way: its integral is that of the middle.
    middle = (vectors + baseline).ravel() / 2
    gradient = ((matrix + matrix.T) @ middle).reshape(5, 4)
    expected = ((vectors - baseline) * gradient).sum(-1)
    for steps in (1, 7):
        values, gap = integrated_gradients(score, vectors, baseline, steps)
        np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-4)
        assert abs(gap) < 1e-4


@pytest.mark.parametrize("batch_size", [1, 3, 25])
def test_points_lie_in_the_middle_of_their_steps(batch_size):
    # F = x³ from 0 to 2: the sum of 3 (2 (k + 1/2) / n)² · 2 / n, not yet 8.
    values, gap = integrated_gradients(
        lambda x: tf.reduce_sum(x**3, axis=(1, 2)), [[2.0]], 0.0, 4, batch_size
    )
    expected = sum(3 * (2 * (k + 0.5) / 4) ** 2 * 2 / 4 for k in range(4))
    assert values == pytest.approx([expected])
    assert gap == pytest.approx(expected - 8, abs=1e-5)
    assert gap < -0.1


def test_a_network_is_shared_out_completely_and_a_dummy_gets_nothing(points):
    vectors, _ = points
    keras.utils.set_random_seed(0)
    encoder = keras.layers.GRU(8, kernel_initializer="random_normal")
    head = keras.layers.Dense(3)

    def score(x):
        used = x * tf.constant([1.0, 1, 0, 1, 1])[:, None]  # step 2 is never read
        return tf.nn.softmax(head(encoder(used * 4)))[:, 1]

    values, gap = integrated_gradients(score, vectors, np.zeros(4), steps=100)
    ends = score(tf.constant(np.stack([vectors, 0 * vectors]), tf.float32)).numpy()
    assert abs(ends[0] - ends[1]) > 0.02
    assert values.sum() == pytest.approx(ends[0] - ends[1], abs=1e-3)
    assert gap == pytest.approx(values.sum() - (ends[0] - ends[1]), abs=1e-6)
    assert values[2] == 0
    assert np.abs(values[[0, 1, 3, 4]]).min() > 0


def test_nothing_changed_is_nothing_to_share_out(points):
    vectors, _ = points
    values, gap = integrated_gradients(
        lambda x: tf.reduce_sum(tf.sin(x), axis=(1, 2)), vectors, vectors
    )
    assert not values.any()
    assert gap == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vectors": np.zeros((2, 3, 4))}, r"one sequence, \(T, D\).*\(2, 3, 4\)"),
        ({"steps": 0}, "needs steps >= 1, got 0"),
        ({"batch_size": 0}, "needs batch_size >= 1, got 0"),
        ({"baseline": np.zeros(3)}, r"baseline of shape \(3,\).*\(5, 4\)"),
        ({"baseline": np.zeros((2, 5, 4))}, r"baseline of shape \(2, 5, 4\)"),
        ({"score_of": lambda x: x[:, :, 0]}, r"shape \(25, 5\) for 25 sequences"),
        ({"score_of": lambda x: tf.zeros(len(x))}, "do not depend on the vectors"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    fits = {
        "score_of": lambda x: tf.reduce_sum(x, axis=(1, 2)),
        "vectors": np.zeros((5, 4)),
        "baseline": np.zeros(4),
    }
    with pytest.raises(ValueError, match=message):
        integrated_gradients(**(fits | arguments))
