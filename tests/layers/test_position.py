"""Positions."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from contracts import check_layer

from seqloom.layers import LearnedPosition, SinusoidalPosition, TokenEmbedding

X = np.random.default_rng(0).normal(size=(2, 5, 6)).astype("float32")
ADVICE = r"Cut the sequences, raise max_length and train again, or choose sinusoidal"


@pytest.mark.parametrize("steps, features", [(5, 6), (700, 8), (3, 5), (2, 1)])
def test_sinusoids_agree_with_a_loop(steps, features):
    expected = np.ones((steps, features))
    for t, d in np.ndindex(steps, features):
        angle = t / 10000 ** ((d - d % 2) / features)
        expected[t, d] += math.cos(angle) if d % 2 else math.sin(angle)
    output = SinusoidalPosition()(np.ones((1, steps, features), "float32"))
    np.testing.assert_allclose(output[0], expected, atol=1e-4)


def test_distant_sinusoids_are_told_apart_in_16_bits():
    """bfloat16 itself cannot tell step 1000 from step 1001."""
    zeros = np.zeros((1, 1002, 64), "float32")
    half = SinusoidalPosition(dtype="mixed_bfloat16")(zeros)
    full = SinusoidalPosition()(zeros)
    np.testing.assert_allclose(tf.cast(half, "float32"), full, atol=0.01)


def test_learned_vectors_are_added():
    layer = LearnedPosition(7)
    output = layer(X)
    [table] = layer.get_weights()
    assert table.shape == (7, 6)
    np.testing.assert_allclose(output, X + table[:5], atol=1e-6)


@pytest.mark.parametrize("layer", [SinusoidalPosition(), LearnedPosition(5)])
def test_a_sequence_may_come_in_parts(layer):
    whole = layer(X)
    parts = [layer(X[:, :2]), layer(X[:, 2:4], start=2), layer(X[:, 4:], start=4)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-6)
    traced = tf.function(lambda x, start: layer(x, start=start))
    for start in (0, 3):
        part = traced(X[:, start : start + 2], tf.constant(start))
        np.testing.assert_allclose(part, whole[:, start : start + 2], atol=1e-6)


@pytest.mark.parametrize("layer", [SinusoidalPosition(), LearnedPosition(5)])
def test_keeps_the_mask(layer):
    token_ids = np.array([[3, 1, 0], [2, 0, 0]])
    output = layer(TokenEmbedding(4, 6)(token_ids))
    np.testing.assert_array_equal(output._keras_mask, token_ids != 0)


def test_contract():
    check_layer(SinusoidalPosition(), X, weightless=True)
    check_layer(LearnedPosition(5), X)
    check_layer(LearnedPosition(8, initializer="glorot_normal"), X)


def test_too_long_a_sequence_is_an_error_that_says_what_to_do():
    layer = LearnedPosition(4)
    message = rf"max_length=4 positions, got a sequence of 5 steps. {ADVICE}"
    with pytest.raises(ValueError, match=message):
        layer(X)
    with pytest.raises(ValueError, match=message):
        layer(X[:, 4:], start=4)
    with pytest.raises(ValueError, match=message):
        layer(keras.Input((5, 6)))
    layer(keras.Input((None, 6)))


def test_too_long_a_sequence_is_an_error_in_a_graph_of_any_length():
    layer = LearnedPosition(4)
    specs = [tf.TensorSpec([None, None, 6])]
    traced = tf.function(lambda x: layer(x), input_signature=specs)
    np.testing.assert_array_equal(traced(X[:, :4]), layer(X[:, :4]))
    with pytest.raises(tf.errors.InvalidArgumentError, match=ADVICE):
        traced(X)
    later = tf.function(lambda x, start: layer(x, start=start))
    with pytest.raises(tf.errors.InvalidArgumentError, match=ADVICE):
        later(X[:, :1], tf.constant(4))  # else nothing would be added
    one = LearnedPosition(1)  # whose table would be broadcast to any length
    traced = tf.function(lambda x: one(x), input_signature=specs)
    with pytest.raises(tf.errors.InvalidArgumentError, match=ADVICE):
        traced(X)


def test_a_graph_checks_the_length_before_it_adds():
    layer = LearnedPosition(4)
    specs = [tf.TensorSpec([None, None, 6])]
    traced = tf.function(lambda x: layer(x), input_signature=specs)
    graph = traced.get_concrete_function().graph
    sums = [o for o in graph.get_operations() if o.type == "AddV2"]
    waiting, before = [s for s in sums if s.outputs[0].shape.rank == 3], set()
    assert len(waiting) == 1
    while waiting:
        operation = waiting.pop()
        if operation.name not in before:
            before.add(operation.name)
            waiting += [i.op for i in operation.inputs] + operation.control_inputs
    assert any("assert" in name for name in before), before


def test_errors_say_what_where_and_how():
    with pytest.raises(ValueError, match=r"LearnedPosition needs .* max_length >= 1"):
        LearnedPosition(0)
