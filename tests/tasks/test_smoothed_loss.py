"""The smoothed loss and its gradient against the distribution written out."""

import numpy as np
import pytest
import tensorflow as tf

from seqloom.tasks.smoothed_loss import smoothed_cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_loss_and_gradient_are_those_of_smoothed_targets(smoothing):
    random = np.random.default_rng(0)
    logits = tf.constant(random.normal(size=(6, 5)) * 3, tf.float32)
    labels = tf.constant([0, 4, 2, 2, 1, 3])
    weights = tf.constant(random.normal(size=6), tf.float32)
    targets = (1 - smoothing) * np.eye(5)[labels] + smoothing / 5
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        want = -tf.reduce_sum(targets * tf.nn.log_softmax(logits), axis=-1)
        got = smoothed_cross_entropy(labels, logits, smoothing)
        sums = [tf.reduce_sum(weights * losses) for losses in (want, got)]
    np.testing.assert_allclose(got, want, rtol=1e-5)
    expected, gradient = (tape.gradient(total, logits) for total in sums)
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_label_far_below_all_others_costs_what_it_should(smoothing):
    logits = tf.constant([[200.0, 0.0, -300.0]])  # a share of 0 in float32
    mean = -100 / 3
    [loss] = smoothed_cross_entropy(tf.constant([2]), logits, smoothing)
    want = 200 - (1 - smoothing) * -300 - smoothing * mean
    np.testing.assert_allclose(loss, want, rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_no_position_costs_nothing(smoothing):
    losses = smoothed_cross_entropy(tf.zeros(0, tf.int32), tf.zeros((0, 4)), smoothing)
    assert losses.shape == (0,)


def test_shapes_may_be_unknown():
    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None, None], tf.float32),
        ]
    )
    def traced(labels, logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            losses = smoothed_cross_entropy(labels, logits, 0.1)
        return losses, tape.gradient(losses, logits)

    labels, logits = tf.constant([1, 0]), tf.constant([[1.0, 2.0, 0.5], [0, 0, 0]])
    losses, gradient = traced(labels, logits)
    np.testing.assert_allclose(losses, smoothed_cross_entropy(labels, logits, 0.1))
    np.testing.assert_allclose(tf.reduce_sum(gradient, axis=1), [0, 0], atol=1e-6)
