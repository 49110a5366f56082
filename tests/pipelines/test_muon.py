"""Muon against a singular value decomposition, and which weights it takes."""

import signal

import keras
import numpy as np
import pytest
from toy_training import (
    At,
    ToyTraining,
    assert_equal_weights,
    stop_with,
)

from seqloom.pipelines.errors import UserError
from seqloom.pipelines.interruption import Interrupted
from seqloom.pipelines.muon import Muon
from seqloom.pipelines.optimization import build_optimizer, spare_from_decay

RATE = 0.5


def update(weight, gradient, **options):
    """What one step adds to a weight, and the optimizer."""
    optimizer = Muon(RATE, **options)
    before = weight.numpy().copy()
    optimizer.apply([keras.ops.convert_to_tensor(gradient)], [weight])
    return weight.numpy() - before


def normal(*shape):
    return np.random.default_rng(1).normal(size=shape).astype("float32")


def kernel_of(layer, *shape):
    layer.build(shape)
    return layer.kernel


@pytest.mark.parametrize("inputs, units", [(24, 8), (8, 24)])
def test_a_kernel_turns_by_the_orthogonal_part_of_its_gradient(inputs, units):
    gradient = normal(inputs, units)
    kernel = kernel_of(keras.layers.Dense(units), None, inputs)
    moved = update(kernel, gradient, ns_steps=5)
    left, _, right = np.linalg.svd(gradient, full_matrices=False)
    aligned = left.T @ moved @ right.T  # (8, 8), of -rate 0.2 sqrt(24) I, about
    sizes = -np.diag(aligned) / (RATE * 0.2 * np.sqrt(24))
    # The polynomial of five steps takes singular values to between 0.68 and 1.14.
    assert np.all((sizes > 0.65) & (sizes < 1.2))
    np.testing.assert_allclose(aligned, np.diag(np.diag(aligned)), atol=1e-4)


def test_a_convolution_is_one_matrix_of_its_taps():
    gradient = normal(3, 3, 4, 8)
    convolution = kernel_of(keras.layers.Conv2D(8, 3), None, 9, 9, 4)
    dense = kernel_of(keras.layers.Dense(8), None, 36)
    moved = update(convolution, gradient)
    expected = update(dense, gradient.reshape(36, 8))
    np.testing.assert_allclose(moved.reshape(36, 8), expected, atol=1e-6)


def test_what_is_added_looked_up_or_scores_outputs_is_left_to_adamw():
    gradient = normal(6, 5)
    left = [
        kernel_of(keras.layers.Dense(5, name="tags"), None, 6),
        keras.Variable(np.zeros((6, 5), "float32"), name="table"),
    ]
    for weight in left:
        # Its first step is as long as the rate in every direction.
        moved = update(weight, gradient)
        np.testing.assert_allclose(moved, -RATE * np.sign(gradient), atol=1e-3)


def test_momentum_adds_former_gradients_and_looks_ahead():
    first, second = normal(2, 6, 5)
    kernel = kernel_of(keras.layers.Dense(5), None, 6)
    optimizer = Muon(RATE, momentum=0.75)
    optimizer.apply([keras.ops.convert_to_tensor(first)], [kernel])
    before = kernel.numpy().copy()
    optimizer.apply([keras.ops.convert_to_tensor(second)])
    other = kernel_of(keras.layers.Dense(5), None, 6)
    ahead = second + 0.75 * (0.75 * first + second)
    expected = update(other, ahead, momentum=0.0)
    np.testing.assert_allclose(kernel.numpy() - before, expected, atol=1e-5)


def test_one_weight_decay_holds_for_all_but_spared_weights():
    dense = keras.layers.Dense(5)
    kernel = kernel_of(dense, None, 6)
    table = keras.Variable(np.ones((6, 5), "float32"), name="table")
    weights = [kernel, table, dense.bias]
    dense.bias.assign(np.ones(5))
    before = [weight.numpy().copy() for weight in weights]
    optimizer = build_optimizer("muon", RATE, "constant", 0, 10, weight_decay=0.1)
    spare_from_decay(optimizer, weights)
    optimizer.apply([keras.ops.zeros(w.shape) for w in weights], weights)
    for weight, old, share in zip(weights, before, (0.95, 0.95, 1.0), strict=True):
        np.testing.assert_allclose(weight.numpy(), share * old, rtol=1e-6)


def test_a_second_weight_decay_is_refused():
    with pytest.raises(UserError, match="adam_weight_decay.*does not fit .* muon"):
        build_optimizer(
            "muon", RATE, "constant", 0, 10, 0.1, options={"adam_weight_decay": 0.2}
        )


def test_its_config_makes_it_again():
    muon = Muon(0.25, weight_decay=0.1, momentum=0.5)
    again = Muon.from_config(muon.get_config())
    assert again.get_config() == muon.get_config()
    assert again.weight_decay == again.adam_weight_decay == 0.1


def test_two_replicas_learn_what_one_does(tmp_path):
    one = ToyTraining(tmp_path / "one", optimizer="muon", max_rows=8)
    one.fit()
    two = ToyTraining(tmp_path / "two", optimizer="muon", max_rows=4, replicas=2)
    start = two.weights()
    two.fit()
    for first, second, old in zip(one.weights(), two.weights(), start, strict=True):
        assert np.abs(first - old).max() > 0.01  # it learns
        np.testing.assert_allclose(first, second, atol=1e-4)


def test_a_resumed_training_is_one_that_never_stopped(tmp_path):
    whole = ToyTraining(tmp_path / "whole", optimizer="muon")
    whole.fit()
    first = ToyTraining(tmp_path / "run", optimizer="muon")
    with pytest.raises(Interrupted):
        first.fit([At(11, stop_with(signal.SIGTERM))])
    second = ToyTraining(tmp_path / "run", optimizer="muon")
    second.fit()
    assert_equal_weights(second.weights(), whole.weights())
