"""The recurrent encoder against Keras' cells and plain loops."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from contracts import check_layer

from seqloom.layers import RecurrentEncoder, TokenEmbedding

LENGTHS = np.array([5, 2, 0, 1])
MASK = np.arange(5) < LENGTHS[:, None]
CELLS = ["simple", "lstm", "gru"]


def sequences(units=3, seed=0):
    """Steps of standard deviation 1, the padded ones too."""
    shape = (*MASK.shape, units)
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def randomize(layer, seed=1):
    random = np.random.default_rng(seed)
    layer.set_weights([random.normal(size=w.shape) * 0.7 for w in layer.weights])
    return layer


def encoder(units=3, inputs=3, **arguments):
    layer = RecurrentEncoder(units, **arguments)
    layer.build((None, None, inputs))
    return randomize(layer)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def simple_step(x, h, c, kernel, recurrent, bias):
    h = np.tanh(x @ kernel + h @ recurrent + bias)
    return h, c


def lstm_step(x, h, c, kernel, recurrent, bias):
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_step(x, h, c, kernel, recurrent, bias):
    zx, rx, gx = np.split(x @ kernel + bias[0], 3)
    zh, rh, gh = np.split(h @ recurrent + bias[1], 3)
    z, r = sigmoid(zx + zh), sigmoid(rx + rh)
    return z * h + (1 - z) * np.tanh(gx + r * gh), c


STEPS = {"simple": simple_step, "lstm": lstm_step, "gru": gru_step}


def loop(cell, rows, weights):
    """Outputs and last (h, c) of one direction over one sequence."""
    h = c = np.zeros(weights[1].shape[0])
    outputs = np.zeros((len(rows), len(h)))
    for step, x in enumerate(rows):
        outputs[step], c = h, c = STEPS[cell](x, h, c, *weights)
    return outputs, h, c


@pytest.mark.parametrize("cell", CELLS)
def test_agrees_with_a_loop(cell):
    layer = encoder(units=4, cell=cell, return_state=True)
    x = sequences()
    outputs, *states = (np.array(output) for output in layer(x, mask=MASK))
    weights = [np.float64(weight) for weight in layer.weights]
    for row, length in enumerate(LENGTHS):
        ahead, *ahead_state = loop(cell, x[row, :length], weights[:3])
        back, *back_state = loop(cell, x[row, :length][::-1], weights[3:])
        expected = np.concatenate([ahead, back[::-1]], axis=-1)
        np.testing.assert_allclose(outputs[row, :length], expected, atol=1e-5)
        assert np.all(outputs[row, length:] == 0)
        kept = 2 if cell == "lstm" else 1
        finals = ahead_state[:kept] + back_state[:kept]
        for state, final in zip(states, finals, strict=True):
            np.testing.assert_allclose(state[row], final, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [True, False])
def test_stack_agrees_with_keras_layers(cell, bidirectional):
    layer = encoder(4, num_layers=2, cell=cell, bidirectional=bidirectional)
    builtin = {
        "simple": keras.layers.SimpleRNN,
        "lstm": keras.layers.LSTM,
        "gru": keras.layers.GRU,
    }[cell]
    stack = keras.Sequential([keras.layers.Masking()])
    for _ in range(2):
        one = builtin(4, return_sequences=True)
        stack.add(keras.layers.Bidirectional(one) if bidirectional else one)
    stack.build((None, None, 3))
    stack.set_weights(layer.get_weights())
    x = np.where(MASK[..., None], sequences(), 0)
    expected = np.where(MASK[..., None], stack(x), 0)
    np.testing.assert_allclose(layer(x, mask=MASK), expected, atol=1e-5)


def test_residual_adds_the_input_where_the_widths_match():
    plain, residual = (
        encoder(2, inputs=4, num_layers=2, residual=choice) for choice in (False, True)
    )
    one = encoder(2, inputs=4)
    two = encoder(2, inputs=4)
    one.set_weights(plain.get_weights()[:6])
    two.set_weights(plain.get_weights()[6:])
    x = sequences(4)
    middle = np.array(one(x)) + x
    np.testing.assert_allclose(residual(x), two(middle) + middle, atol=1e-5)
    narrow = sequences(3)
    layers = [
        encoder(2, inputs=3, residual=choice, bidirectional=False)
        for choice in (False, True)
    ]
    np.testing.assert_array_equal(*(layer(narrow) for layer in layers))


def test_dropout_is_shared_over_the_steps():
    x = np.ones((50, 6, 40), "float32")
    seen = []
    layer = RecurrentEncoder(1, num_layers=1, dropout=0.5)
    layer.build(x.shape)
    recurrent = layer.layers[0]
    layer.layers[0] = lambda inputs, **_: seen.append(inputs) or recurrent(inputs)
    layer(x, training=True)
    dropped = seen[0].numpy()
    assert set(np.unique(dropped)) == {0.0, 2.0}
    np.testing.assert_array_equal(dropped, dropped[:, :1].repeat(6, axis=1))
    assert not np.array_equal(dropped[0], dropped[1])  # each row has its own
    assert 0.4 < np.mean(dropped == 0) < 0.6
    layer(x, training=False)
    np.testing.assert_array_equal(seen[1], x)


def test_dropout_comes_anew_with_every_call_and_layer():
    layer = encoder(3, num_layers=2, dropout=0.5)
    x = sequences()
    assert not np.allclose(layer(x, training=True), layer(x, training=True))
    np.testing.assert_array_equal(layer(x), layer(x, training=False))


@pytest.mark.parametrize("cell", CELLS)
def test_padding_does_not_matter(cell):
    layer = encoder(3, num_layers=2, cell=cell, residual=True, return_state=True)
    x = sequences(3)
    spoiled = np.where(MASK[..., None], x, 99.0).astype("float32")
    padded = layer(x, mask=MASK)
    for clean, other in zip(padded, layer(spoiled, mask=MASK), strict=True):
        np.testing.assert_array_equal(clean, other)
    for row, length in enumerate(LENGTHS):
        if length:
            trimmed = layer(x[row : row + 1, :length])
            outputs = padded[0][row, :length]
            np.testing.assert_allclose(outputs, trimmed[0][0], atol=1e-5)
            for state, alone in zip(padded[1:], trimmed[1:], strict=True):
                np.testing.assert_allclose(state[row], alone[0], atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_row_without_a_real_step_is_zeros_with_finite_gradients(cell):
    layer = encoder(3, num_layers=2, cell=cell, residual=True, return_state=True)
    x = tf.Variable(sequences(3))
    with tf.GradientTape() as tape:
        outputs = layer(x, mask=MASK)
        total = sum(tf.reduce_sum(output**2) for output in outputs)
    empty = list(LENGTHS).index(0)
    assert all(np.all(output[empty] == 0) for output in outputs)
    gradient = tape.gradient(total, x).numpy()
    assert np.all(np.isfinite(gradient))
    assert np.all(gradient[~MASK] == 0)


def test_implicit_mask_equals_explicit_and_goes_on():
    embedding = TokenEmbedding(9, 3, initializer=keras.initializers.RandomNormal(0, 1))
    layer = encoder(3, num_layers=2, return_state=True)
    token_ids = np.where(MASK, 1 + np.arange(5), 0)
    vectors = embedding(token_ids)
    implicit = layer(vectors)
    explicit = layer(np.array(vectors), mask=MASK)
    for one, other in zip(implicit, explicit, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(implicit[0]._keras_mask, MASK)
    lost = layer(np.array(vectors))  # else the test would see nothing
    assert np.max(np.abs(lost[0] - implicit[0])) > 0.1


@pytest.mark.parametrize(
    "arguments",
    [
        {"cell": "simple"},
        {"cell": "lstm", "num_layers": 2, "residual": True},
        {"cell": "gru", "bidirectional": False, "return_state": True},
    ],
)
def test_contract(arguments):
    check_layer(RecurrentEncoder(2, **arguments), sequences())


def test_no_row_reaches_the_recurrent_layers_empty():
    """cuDNN would abort, on a GPU only: so look at the mask that is handed on."""
    layer = encoder(3, num_layers=2)
    masks = []
    for number, inner in enumerate(list(layer.layers)):
        layer.layers[number] = lambda x, mask, inner=inner, **_: (
            masks.append(np.array(mask)) or inner(x, mask=mask)
        )
    layer(sequences(), mask=MASK)
    assert len(masks) == 2
    for mask in masks:
        np.testing.assert_array_equal(mask.sum(axis=1), np.maximum(LENGTHS, 1))
        assert np.all(mask[:, 0])


def test_use_cudnn_reaches_every_layer():
    layer = RecurrentEncoder(2, num_layers=2)
    assert layer.use_cudnn == "auto"
    layer.use_cudnn = False
    directions = [(x.forward_layer, x.backward_layer) for x in layer.layers]
    assert {one.use_cudnn for pair in directions for one in pair} == {False}
    simple = RecurrentEncoder(2, cell="simple")
    simple.use_cudnn = False
    assert simple.use_cudnn is False


def test_fit_on_one_device():
    keras.utils.set_random_seed(0)
    token_ids = np.random.default_rng(0).integers(1, 8, size=(32, 6))
    token_ids[::2, 4:] = 0
    tags = token_ids % 3
    model = keras.Sequential(
        [TokenEmbedding(8, 8), RecurrentEncoder(8), keras.layers.Dense(3)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    model.optimizer.learning_rate = 0.03
    history = model.fit(token_ids, tags, epochs=15, verbose=0).history["loss"]
    assert history[-1] < 0.3 * history[0]
    trimmed = model.evaluate(token_ids[::2, :4], tags[::2, :4], verbose=0)
    padded = model.evaluate(token_ids[::2], tags[::2], verbose=0)
    assert padded == pytest.approx(trimmed, abs=1e-6)


def test_errors_say_what_where_and_how():
    with pytest.raises(ValueError, match=r"RecurrentEncoder needs .* units >= 1, got"):
        RecurrentEncoder(0)
    with pytest.raises(ValueError, match=r"num_layers=0"):
        RecurrentEncoder(3, num_layers=0)
    with pytest.raises(ValueError, match=r"cell='rnn'. Choose one of simple, lstm, gr"):
        RecurrentEncoder(3, cell="rnn")
    with pytest.raises(ValueError, match=r"0 <= dropout < 1, got dropout=1.0"):
        RecurrentEncoder(3, dropout=1.0)
