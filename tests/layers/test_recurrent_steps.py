import keras
import numpy as np
import pytest
import tensorflow as tf

from seqloom.layers import recurrent_steps

NAMES = ("SimpleRNN", "LSTM", "GRU")
MASK = tf.sequence_mask([5, 2, 1, 4])


def pair(name):
    """Keras' layer and ours with the same weights, biases not zero."""
    arguments = {"return_sequences": True, "return_state": True, "name": "layer"}
    theirs = getattr(keras.layers, name)(3, **arguments)
    ours = getattr(recurrent_steps, name)(3, **arguments)
    for layer in (theirs, ours):
        layer.build((None, None, 2))
    random = np.random.default_rng(0)
    values = [random.normal(size=weight.shape) for weight in theirs.weights]
    theirs.set_weights(values)
    ours.set_weights(values)
    return theirs, ours


def outputs_and_gradients(layer, sequence):
    with tf.GradientTape() as tape:
        tape.watch(sequence)
        outputs = layer(sequence, mask=MASK)
        objective = sum(tf.reduce_sum(part**2) for part in outputs)
    return outputs, tape.gradient(objective, [sequence, *layer.trainable_variables])


@pytest.mark.parametrize("name", NAMES)
def test_outputs_states_and_gradients_are_those_of_keras(name):
    sequence = tf.random.stateless_normal([4, 5, 2], [1, 2])
    theirs, ours = (outputs_and_gradients(layer, sequence) for layer in pair(name))
    for expected, found in zip(theirs, ours, strict=True):
        assert len(expected) == len(found)
        for one, two in zip(expected, found, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_named_as_in_keras(name):
    theirs, ours = pair(name)
    assert [w.path for w in theirs.weights] == [w.path for w in ours.weights]


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_comes_back_from_its_config(name):
    _, ours = pair(name)
    config = keras.saving.serialize_keras_object(ours)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(ours)
    assert type(again.cell) is type(ours.cell)
