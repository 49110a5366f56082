"""What every public layer must do, checked in one place."""

import json
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops


def check_layer(layer, *inputs, loss=None, weightless=False, num_maps=0):
    """Check a layer against the contract of a Keras layer.

    Args:
        layer: The layer, without dropout, not built yet.
        inputs: Its inputs as arrays, with a batch axis.
        loss: Function `(layer, *inputs) -> scalar` whose gradient must reach every
            weight. By default the sum of the squares of all outputs.
        weightless: Whether the layer has nothing to train.
        num_maps: How many of its outputs, the last ones, are attention weights: their
            last size is a number of steps and need not be known to Keras.
    """
    check_config(layer)
    outputs = flat(layer(*inputs))
    check_shapes(layer, inputs, outputs, num_maps)
    assert bool(layer.trainable_weights) is not weightless
    check_gradients(layer, inputs, loss or squares)
    check_saving(layer, inputs, outputs)
    check_traced(layer, inputs, outputs)
    for policy in ("mixed_float16", "mixed_bfloat16"):
        check_policy(layer, inputs, outputs, policy)


def check_config(layer):
    config = layer.get_config()
    json.dumps(keras.saving.serialize_keras_object(layer))
    assert type(layer).from_config(config).get_config() == config
    assert type(layer).__doc__


def check_shapes(layer, inputs, outputs, num_maps):
    """The symbolic shape agrees with the real one, known and unknown sizes alike."""
    shapes = layer.compute_output_shape(*[array.shape for array in inputs])
    shapes = [shapes] if isinstance(shapes, tuple) else shapes
    assert [tuple(shape) for shape in shapes] == [tuple(x.shape) for x in outputs]
    symbolic = flat(functional(layer, inputs).outputs)
    for known, real in zip(symbolic, outputs, strict=True):
        assert known.dtype == keras.backend.standardize_dtype(real.dtype)
        assert len(known.shape) == len(real.shape)
        for expected, size in zip(known.shape, real.shape, strict=True):
            assert expected in (None, size)
    features = len(outputs) - num_maps
    for known, real in zip(symbolic[:features], outputs[:features], strict=True):
        assert known.shape[-1] == real.shape[-1]


def check_gradients(layer, inputs, loss):
    with tf.GradientTape() as tape:
        value = loss(layer, *inputs)
    weights = layer.trainable_weights
    gradients = tape.gradient(value, [weight.value for weight in weights])
    for weight, gradient in zip(weights, gradients, strict=True):
        assert gradient is not None, f"no gradient reaches {weight.path}"
        gradient = np.asarray(tf.convert_to_tensor(gradient))
        assert np.all(np.isfinite(gradient)), weight.path
        assert np.any(gradient != 0), f"the gradient of {weight.path} is zero"


def check_saving(layer, inputs, outputs):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        functional(layer, inputs).save(path)
        loaded = keras.models.load_model(path)
    for before, after in zip(outputs, flat(loaded(list(inputs))), strict=True):
        np.testing.assert_array_equal(before, after)


def check_traced(layer, inputs, outputs):
    """One graph, traced with unknown sizes, gives what eager execution gives."""
    specs = [
        tf.TensorSpec([*unknown_sizes(array), *array.shape[-1:]], array.dtype)
        for array in inputs
    ]
    traced = tf.function(lambda *arrays: flat(layer(*arrays)), input_signature=specs)
    for eager, graph in zip(outputs, traced(*inputs), strict=True):
        np.testing.assert_allclose(eager, graph, rtol=1e-5, atol=1e-6)


def check_policy(layer, inputs, outputs, policy):
    """Mixed precision keeps its weights in float32 and comes near to float32."""
    config = {**layer.get_config(), "dtype": policy}
    mixed = type(layer).from_config(config)
    mixed(*inputs)
    mixed.set_weights(layer.get_weights())
    assert {keras.backend.standardize_dtype(w.dtype) for w in mixed.weights} <= {
        "float32",
        "uint32",  # states of random generators
        "int64",
    }
    halved = flat(mixed(*inputs))
    for full, half in zip(outputs, halved, strict=True):
        half = np.asarray(ops.cast(half, "float32"))
        assert np.all(np.isfinite(half))
        np.testing.assert_allclose(half, full, rtol=0.1, atol=0.1)


def functional(layer, inputs):
    """A functional model of the layer alone, with every size but the last unknown."""
    symbolic = [
        keras.Input(
            (*unknown_sizes(array)[1:], array.shape[-1]), dtype=array.dtype.name
        )
        for array in inputs
    ]
    return keras.Model(symbolic, layer(*symbolic))


def unknown_sizes(array):
    return [None] * (array.ndim - 1)


def flat(outputs):
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def squares(layer, *inputs):
    return sum(ops.sum(ops.square(output)) for output in flat(layer(*inputs)))
