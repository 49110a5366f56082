"""The recurrent decoder against plain loops, and against itself step by step."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from contracts import check_layer

from seqloom.layers import RecurrentBridge, RecurrentDecoder, TokenEmbedding

CELLS = ["simple", "lstm", "gru"]
ATTENTIONS = ["none", "first_layer", "input_feeding"]
LENGTHS = np.array([4, 2, 1])
MASK = np.arange(4) < LENGTHS[:, None]
TARGETS = np.array([[2, 5, 4, 6], [2, 4, 0, 0], [2, 6, 6, 0]], "int32")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


MEMORY = normal(3, 4, 5)


def decoder(memory_units=5, units=3, **arguments):
    """A decoder over 7 tokens with weights that matter."""
    layer = RecurrentDecoder(7, units, **arguments)
    layer(TARGETS, MEMORY[..., :memory_units])
    random = np.random.default_rng(1)
    layer.set_weights([random.normal(size=w.shape) * 0.7 for w in layer.weights])
    return layer


def states(layer, rows=3):
    number = len(layer.layers) * (2 if layer.cell == "lstm" else 1)
    return [normal(rows, layer.units, seed=10 + n) for n in range(number)]


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("cell", CELLS)
def test_contract(cell, attention):
    layer = RecurrentDecoder(7, 3, cell=cell, attention=attention)
    check_layer(layer, TARGETS, MEMORY, num_maps=1)


@pytest.mark.parametrize(
    ("cell", "attention", "num_layers", "tied"),
    [*itertools.product(CELLS, ATTENTIONS, (1, 2), (True, False))],
)
def test_steps_equal_teacher_forcing(cell, attention, num_layers, tied):
    layer = decoder(cell=cell, attention=attention, num_layers=num_layers, tied=tied)
    first = states(layer)
    logits, weights = layer(TARGETS, MEMORY, memory_mask=MASK, initial_state=first)
    state = layer.begin(MEMORY, MASK, first)
    # Two hypotheses a source, the second with other tokens.
    own = tf.nest.map_structure(lambda rows: tf.repeat(rows, 2, axis=0), state.own)
    state = state._replace(own=own)
    other = TARGETS[::-1]
    other_logits, _ = layer(other, MEMORY, memory_mask=MASK, initial_state=first)
    for number in range(TARGETS.shape[1]):
        tokens = np.stack([TARGETS[:, number], other[:, number]], axis=1).reshape(-1)
        got, state, looked = layer.step(tokens, state)
        np.testing.assert_allclose(got[::2], logits[:, number], atol=1e-5)
        np.testing.assert_allclose(got[1::2], other_logits[:, number], atol=1e-5)
        np.testing.assert_allclose(looked[::2], weights[:, number], atol=1e-5)


def softmax(scores):
    scores = np.exp(scores - scores.max())
    return scores / scores.sum()


def gru(x, h, kernel, recurrent, bias):
    z, r, g = np.split(x @ kernel + bias[0], 3)
    zh, rh, gh = np.split(h @ recurrent + bias[1], 3)
    z, r = 1 / (1 + np.exp(-(z + zh))), 1 / (1 + np.exp(-(r + rh)))
    return z * h + (1 - z) * np.tanh(g + r * gh)


@pytest.mark.parametrize("attention", ["first_layer", "input_feeding"])
def test_gru_with_additive_attention_is_the_loop_of_the_papers(attention):
    layer = decoder(attention=attention)
    table = layer.embedding.table.numpy()
    looking, cell = layer.looking, layer.layers[0].cell
    query_kernel = looking.query_dense.kernel.numpy()
    key_kernel = looking.key_dense.kernel.numpy()
    score = looking.score_dense.kernel.numpy()[:, 0]
    join, bias = layer.join.kernel.numpy(), layer.join.bias.numpy()
    kernels = [v.numpy() for v in (cell.kernel, cell.recurrent_kernel, cell.bias)]
    (first,) = states(layer)
    logits, looked = layer(TARGETS, MEMORY, memory_mask=MASK, initial_state=[first])
    for row, length in enumerate(LENGTHS):
        memory = MEMORY[row, :length]

        def look(query, memory=memory):
            hidden = np.tanh(query @ query_kernel + memory @ key_kernel)
            return softmax(hidden @ score)

        h, fed = first[row], np.zeros(3, "float32")
        for step, token in enumerate(TARGETS[row]):
            y = table[token] * (token != 0)
            if attention == "first_layer":
                shares = look(h)
                h = gru(np.concatenate([y, shares @ memory]), h, *kernels)
            else:
                h = gru(np.concatenate([y, fed]), h, *kernels)
                shares = look(h)
            fed = np.tanh(np.concatenate([shares @ memory, h]) @ join + bias)
            want = fed @ table.T + layer.logits.bias.numpy()
            np.testing.assert_allclose(logits[row, step], want, atol=1e-5)
            np.testing.assert_allclose(looked[row, step, :length], shares, atol=1e-5)
            assert not np.any(looked[row, step, length:])


@pytest.mark.parametrize("cell", CELLS)
def test_without_attention_it_is_the_keras_layer(cell):
    layer = decoder(cell=cell, attention="none")
    kinds = {"simple": "SimpleRNN", "lstm": "LSTM", "gru": "GRU"}
    reference = getattr(keras.layers, kinds[cell])(3, return_sequences=True)
    reference.build((None, None, 3))
    reference.set_weights(layer.layers[0].get_weights())
    first = states(layer)
    features = reference(layer.embedding(TARGETS), initial_state=first)
    logits, weights = layer(TARGETS, MEMORY, initial_state=first)
    table = layer.embedding.table.numpy()
    want = features.numpy() @ table.T + layer.logits.bias.numpy()
    np.testing.assert_allclose(logits, want, atol=1e-5)
    assert weights.shape == (3, 4, 4)
    assert not np.any(weights)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("score", ["dot", "scaled_dot", "general", "additive"])
def test_masked_memory_never_matters(attention, score):
    layer = decoder(memory_units=3, attention=attention, score=score, num_layers=2)
    memory = MEMORY[..., :3]
    spoiled = np.where(MASK[..., None], memory, np.nan).astype("float32")
    clean = layer(TARGETS, memory, memory_mask=MASK)
    for a, b in zip(clean, layer(TARGETS, spoiled, memory_mask=MASK), strict=True):
        np.testing.assert_array_equal(a, b)
    alone = layer(TARGETS[1:2], memory[1:2, :2])
    np.testing.assert_allclose(clean[0][1:2], alone[0], atol=1e-5)


def test_memory_brings_its_mask():
    layer = decoder(attention="input_feeding")
    ids = np.where(MASK, 3, 0)
    embedding = TokenEmbedding(4, 5)
    implicit = layer(TARGETS, embedding(ids))
    memory = np.asarray(embedding(ids)) + (~MASK)[..., None]  # padding is not zero
    explicit = layer(TARGETS, memory, memory_mask=MASK)
    without = layer(TARGETS, memory)
    np.testing.assert_allclose(implicit[0], explicit[0], atol=1e-6)
    assert np.max(np.abs(without[0] - explicit[0])) > 1e-3


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_later_targets_never_matter(attention):
    layer = decoder(attention=attention, num_layers=2)
    changed = TARGETS.copy()
    changed[:, 2:] = 3
    before, after = layer(TARGETS, MEMORY)[0], layer(changed, MEMORY)[0]
    np.testing.assert_array_equal(before[:, :2], after[:, :2])
    assert np.any(np.abs(before[:, 2:] - after[:, 2:]) > 1e-3)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_dropout_is_for_training_only_and_reaches_every_layer(attention):
    layer = RecurrentDecoder(7, 3, num_layers=2, attention=attention, dropout=0.5)
    plain = layer(TARGETS, MEMORY)[0]
    np.testing.assert_array_equal(plain, layer(TARGETS, MEMORY, training=False)[0])
    dropped = [layer(TARGETS, MEMORY, training=True)[0] for _ in range(3)]
    assert all(np.any(np.abs(plain - x) > 1e-4) for x in dropped)
    assert np.any(np.abs(dropped[0] - dropped[1]) > 1e-4)


def test_embedding_is_shared_with_the_encoder_and_stays_so_when_saved(tmp_path):
    embedding = TokenEmbedding(7, 4, name="pieces")
    source = keras.Input([None], dtype="int32")
    target = keras.Input([None], dtype="int32")
    memory = keras.layers.Dense(5)(embedding(source))
    layer = RecurrentDecoder(7, 3, embedding=embedding, name="decoder")
    model = keras.Model([source, target], layer(target, memory))
    tables = [w for w in model.trainable_weights if w.name == "table"]
    assert len(tables) == 1
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert len(loaded.trainable_weights) == len(model.trainable_weights)
    assert loaded.get_layer("decoder").embedding is loaded.get_layer("pieces")
    for a, b in zip(model([TARGETS] * 2), loaded([TARGETS] * 2), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell": "rnn"}, "does not know cell='rnn'. Choose one of simple, lstm, gru"),
        ({"attention": "all"}, "Choose one of none, first_layer, input_feeding"),
        ({"units": 0}, "needs an integer units >= 1, got units=0"),
        ({"dropout": 1.0}, "needs 0 <= dropout < 1"),
        ({"score": "cosine"}, "does not know score='cosine'"),
    ],
)
def test_wrong_arguments_are_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        RecurrentDecoder(**{"vocabulary_size": 7, "units": 3, **arguments})


def test_wrong_number_of_states_is_told():
    layer = decoder(cell="lstm", num_layers=2)
    with pytest.raises(ValueError, match="2 lstm layers begins with 4 states, got 2"):
        layer.begin(MEMORY, MASK, states(layer)[:2])


# === The bridge ===


@pytest.mark.parametrize(("cell", "bidirectional"), [*itertools.product(CELLS, (0, 1))])
def test_bridge_joins_the_states_of_each_encoder_layer(cell, bidirectional):
    parts, directions = 1 + (cell == "lstm"), 1 + bidirectional
    bridge = RecurrentBridge(3, 3, cell, bool(bidirectional))
    given = [normal(2, 4, seed=n) for n in range(2 * parts * directions)]
    got = bridge(given)
    assert len(got) == 3 * parts
    for number, dense in enumerate(bridge.dense_layers):
        layer, part = min(number // parts, 1), number % parts
        own = given[layer * parts * directions :][: parts * directions][part::parts]
        want = np.concatenate(own, axis=-1) @ dense.kernel.numpy()
        want = want if part else np.tanh(want)
        np.testing.assert_allclose(got[number], want, atol=1e-6)


def test_bridge_tells_a_wrong_number_of_states():
    bridge = RecurrentBridge(3, 1, "lstm")
    with pytest.raises(ValueError, match="4 states for each encoder layer, got 3"):
        bridge([normal(2, 4)] * 3)


def test_bridge_configuration_survives():
    bridge = RecurrentBridge(3, 2, "lstm", bidirectional=False)
    assert type(bridge).from_config(bridge.get_config()).get_config() == (
        bridge.get_config()
    )


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_first_input_is_read_like_a_token_that_nothing_is_asked_after(attention):
    layer = decoder(attention=attention, num_layers=2)
    table = layer.embedding(np.arange(7)).numpy()
    longer = np.concatenate([[[3], [5], [6]], TARGETS], axis=1).astype("int32")
    expected, weights = layer(longer, MEMORY)
    logits, own_weights = layer(TARGETS, MEMORY, first_input=table[[3, 5, 6]])
    np.testing.assert_allclose(logits, expected[:, 1:], atol=1e-5)
    np.testing.assert_allclose(own_weights, weights[:, 1:], atol=1e-5)
    state = layer.begin(MEMORY, first_input=table[[3, 5, 6]])
    stepped, *_ = layer.step(TARGETS[:, 0], state)
    np.testing.assert_allclose(stepped, expected[:, 1], atol=1e-5)
