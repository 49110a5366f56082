"""The Transformer decoder against plain loops, and against itself step by step."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from contracts import check_layer
from keras import ops

from seqloom.layers import (
    DecoderState,
    TokenEmbedding,
    TransformerDecoder,
    TransformerDecoderLayer,
    step_cache,
)

POSITIONS = ["sinusoidal", "learned", "rotary", "none"]
MASK = np.arange(4) < np.array([4, 2, 1])[:, None]
TARGETS = np.array([[2, 5, 4, 6, 3], [2, 4, 0, 0, 0], [2, 6, 6, 5, 0]], "int32")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


MEMORY = normal(3, 4, 5)


def decoder(units=4, num_layers=2, position="sinusoidal", **arguments):
    """A decoder of 2 heads over 7 tokens with weights that matter."""
    length = 5 if position == "learned" else None
    layer = TransformerDecoder(
        7, units, num_layers, 2, 6, position=position, max_length=length, **arguments
    )
    layer.build((None, None), (None, None, 5))
    return randomized(layer)


def randomized(layer):
    random = np.random.default_rng(1)
    layer.set_weights([random.normal(size=w.shape) * 0.7 for w in layer.weights])
    return layer


def repeated(state, times):
    """The state of as many hypotheses for each source."""
    own = tf.nest.map_structure(lambda rows: tf.repeat(rows, times, axis=0), state.own)
    return state._replace(own=own)


@pytest.mark.parametrize("mask", [MASK, None])
def test_sequences_that_read_one_memory_are_as_those_that_read_copies(mask):
    layer = decoder()
    targets = np.concatenate([TARGETS, TARGETS[::-1]])
    copied = np.repeat(MEMORY, 2, axis=0)
    masks = None if mask is None else np.repeat(mask, 2, axis=0)
    outputs = layer(targets, MEMORY, memory_mask=mask)
    for got, want in zip(outputs, layer(targets, copied, memory_mask=masks)):
        np.testing.assert_allclose(got, want, atol=1e-5)


# === Step by step ===


@pytest.mark.parametrize(
    ("norm", "position", "width", "tied", "mask"),
    [
        *itertools.product(["pre", "post"], POSITIONS, [None], [True], [MASK]),
        *itertools.product(["pre"], ["sinusoidal"], [3, 4], [True, False], [None]),
    ],
)
def test_steps_equal_teacher_forcing(norm, position, width, tied, mask):
    """Two hypotheses a source, the second with the tokens of another source."""
    embedding = None if width is None else TokenEmbedding(7, width)
    layer = decoder(norm=norm, position=position, embedding=embedding, tied=tied)
    other = TARGETS[::-1]
    expected = [layer(ids, MEMORY, memory_mask=mask) for ids in (TARGETS, other)]
    state = repeated(layer.begin(MEMORY, mask), 2)
    for step in range(TARGETS.shape[1]):
        tokens = np.stack([TARGETS[:, step], other[:, step]], axis=1)
        *found, state = in_order(layer.step(tokens.reshape(-1), state))
        for hypothesis, outputs in enumerate(expected):
            for got, want in zip(found, outputs, strict=True):
                np.testing.assert_allclose(got[hypothesis::2], want[:, step], atol=1e-5)


def in_order(outputs):
    logits, state, attention = outputs
    return logits, attention, state


@pytest.mark.parametrize(
    ("policy", "position"),
    [*zip(["mixed_float16", "mixed_bfloat16"] * 2, POSITIONS, strict=True)],
)
def test_steps_in_mixed_precision(policy, position):
    """The embedding of an encoder may keep another precision."""
    embedding = TokenEmbedding(7, 4)
    layer = decoder(position=position, embedding=embedding, dtype=policy)
    logits, attention = layer(TARGETS, MEMORY, memory_mask=MASK)
    state = layer.begin(MEMORY, MASK)
    for step in range(TARGETS.shape[1]):
        found, state, looked = layer.step(TARGETS[:, step], state)
        assert found.dtype == looked.dtype == "float32"
        np.testing.assert_allclose(found, logits[:, step], atol=0.1)
        np.testing.assert_allclose(looked, attention[:, step], atol=0.03)
    own = tf.nest.flatten(state.own)
    assert {keras.backend.standardize_dtype(x.dtype) for x in own} == {policy[6:]}


@pytest.mark.parametrize("block", [1, 2, 3, 32])
@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_greedy_loop_in_a_graph_writes_what_rereading_writes(
    position, block, monkeypatch
):
    """Halfway the second hypotheses and the first source are dropped."""
    monkeypatch.setattr(step_cache, "BLOCK", block)
    layer = decoder(position=position)

    def advance(tokens, state):
        logits, state, _ = layer.step(tokens[:, -1], state)
        return tf.concat([tokens, best(logits)[:, None]], axis=1), state

    def drop(rows, kept):
        return tf.nest.map_structure(lambda values: tf.gather(values, kept), rows)

    def run_loop(steps, tokens, state):
        grows = [tf.TensorShape([None, 2, None, 2]) for _ in tf.nest.flatten(state.own)]
        grows = tf.nest.pack_sequence_as(state.own, grows)
        tokens, own = tf.while_loop(
            lambda tokens, own: tf.shape(tokens)[1] < steps,
            lambda tokens, own: follow(tokens, own, state.shared),
            (tokens, state.own),
            shape_invariants=(tf.TensorShape([None, None]), grows),
        )
        return tokens, DecoderState(state.shared, own)

    def follow(tokens, own, shared):
        tokens, state = advance(tokens, DecoderState(shared, own))
        return tokens, state.own

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, 5]),
            tf.TensorSpec([None, None], tf.bool),
        ]
    )
    def write(memory, mask):
        state = repeated(layer.begin(memory, mask), 2)
        first = tf.reshape(tf.repeat([[2, 5]], tf.shape(memory)[0], axis=0), (-1, 1))
        tokens, state = run_loop(3, first, state)
        sources = tf.range(1, tf.shape(memory)[0])
        state = DecoderState(drop(state.shared, sources), drop(state.own, 2 * sources))
        return run_loop(5, tf.gather(tokens, 2 * sources), state)[0]

    expected = np.full((2, 1), 2)
    for _ in range(4):
        logits, _ = layer(expected, MEMORY[1:], memory_mask=MASK[1:])
        expected = np.append(expected, best(logits[:, -1])[:, None], axis=1)
    np.testing.assert_array_equal(write(MEMORY, MASK), expected)


def best(logits):
    return tf.argmax(logits, axis=-1, output_type=tf.int32)


# === Against a loop ===


def normalized(x, gamma, beta):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * gamma + beta


def softmax(scores):
    scores = np.exp(scores - scores.max())
    return scores / scores.sum()


def sigmoid(scores):
    """With the bias of `MultiHeadAttention`."""
    return 1 / (1 + len(scores) * np.exp(-scores))


def attended(layer, query, values):
    """Output and weights `(2, S)` of one query, head by head."""
    w_q, b_q, w_k, w_v, b_v, w_o, b_o = (w.numpy() for w in layer.weights[:7])
    share = {"softmax": softmax, "sigmoid": sigmoid}[layer.normalizer]
    heads, weights = [], []
    for part in (slice(0, 2), slice(2, 4)):
        q = query @ w_q[:, part] + b_q[part]
        weights.append(share(values @ w_k[:, part] @ q / np.sqrt(2)))
        heads.append(weights[-1] @ (values @ w_v[:, part] + b_v[part]))
    return np.concatenate(heads) @ w_o + b_o, np.array(weights)


def layer_of_the_paper(layer, x, memory):
    """Output `(T, D)`, and the weights `(T, H, T)` and `(T, H, S)`."""
    norms = [[w.numpy() for w in norm.weights] for norm in layer.norms]
    inner, outer = layer.feed_forward.inner, layer.feed_forward.outer
    weights = np.zeros((len(x), 2, len(x))), np.zeros((len(x), 2, len(memory)))

    def before(number, x):
        return normalized(x, *norms[number]) if layer.norm == "pre" else x

    def after(number, x):
        return x if layer.norm == "pre" else normalized(x, *norms[number])

    ready = np.array([before(0, step) for step in x])
    output = []
    for t, step in enumerate(x):
        own, weights[0][t, :, : t + 1] = attended(
            layer.self_attention, ready[t], ready[: t + 1]
        )
        y = after(0, step + own)
        cross, weights[1][t] = attended(layer.cross_attention, before(1, y), memory)
        z = after(1, y + cross)
        hidden = before(2, z) @ inner.kernel.numpy() + inner.bias.numpy()
        network = np.maximum(hidden, 0) @ outer.kernel.numpy() + outer.bias.numpy()
        output.append(after(2, z + network))
    return np.array(output), *weights


@pytest.mark.parametrize(
    ("norm", "num_layers", "normalizer"),
    [
        ("pre", 1, "softmax"),
        ("pre", 3, "softmax"),
        ("post", 3, "softmax"),
        ("pre", 3, "sigmoid"),
    ],
)
def test_agrees_with_a_loop(norm, num_layers, normalizer):
    layer = decoder(
        norm=norm, num_layers=num_layers, normalizer=normalizer, position="learned"
    )
    logits, attention = layer(TARGETS, MEMORY, memory_mask=MASK)
    own, cross = layer.attention_weights(TARGETS, MEMORY, MASK)
    assert own.shape == (3, num_layers, 2, 5, 5)
    assert np.all(np.triu(own, 1) == 0)
    if normalizer == "softmax":
        for weights in (own, cross, attention):
            np.testing.assert_allclose(np.sum(weights, axis=-1), 1, atol=1e-5)
    table = layer.embedding.table.numpy()
    for row, ids in enumerate(TARGETS):
        memory = MEMORY[row, MASK[row]]
        seen = len(memory)
        # Vectors of 4 units, times sqrt(4); zeros for padding.
        x = 2 * table[ids] * (ids != 0)[:, None] + layer.position_layer.table.numpy()
        by_layer = []
        for number, one in enumerate(layer.layers):
            x, its_own, its_cross = layer_of_the_paper(one, x, memory)
            its_own = np.moveaxis(its_own, 1, 0)  # (H, T, T)
            np.testing.assert_allclose(own[row, number], its_own, atol=1e-5)
            by_layer.append(its_cross)
        if norm == "pre":
            final = [w.numpy() for w in layer.final_norm.weights]
            x = np.array([normalized(step, *final) for step in x])
        want = x @ table.T + layer.logits.bias.numpy()
        np.testing.assert_allclose(logits[row], want, atol=1e-4)
        weights = np.moveaxis(by_layer, 1, 2)  # (L, H, T, S)
        np.testing.assert_allclose(cross[row, ..., :seen], weights, atol=1e-5)
        one_but_last = by_layer[0 if num_layers == 1 else -2].mean(axis=1)
        np.testing.assert_allclose(attention[row, :, :seen], one_but_last, atol=1e-5)
        assert not np.any(attention[row, :, seen:])
        assert not np.any(cross[row, ..., seen:])


# === Masks ===


@pytest.mark.parametrize("position", POSITIONS)
def test_masked_memory_never_matters(position):
    layer = decoder(position=position)
    spoiled = np.where(MASK[..., None], MEMORY, np.nan).astype("float32")
    clean = layer(TARGETS, MEMORY, memory_mask=MASK)
    for a, b in zip(clean, layer(TARGETS, spoiled, memory_mask=MASK), strict=True):
        np.testing.assert_array_equal(a, b)
    first = layer.step(TARGETS[:, 0], layer.begin(spoiled, MASK))
    np.testing.assert_allclose(first[0], clean[0][:, 0], atol=1e-5)
    alone = layer(TARGETS[1:2], MEMORY[1:2, :2])
    np.testing.assert_allclose(clean[0][1:2], alone[0], atol=1e-5)
    np.testing.assert_allclose(clean[1][1:2, :, :2], alone[1], atol=1e-5)


def test_empty_memory_is_finite_and_not_looked_at():
    layer = decoder()
    memory = np.full_like(MEMORY, np.nan)
    nothing = np.zeros_like(MASK)
    logits, attention = layer(TARGETS, memory, memory_mask=nothing)
    assert np.all(np.isfinite(logits))
    assert not np.any(attention)
    found, _, looked = layer.step(TARGETS[:, 0], layer.begin(memory, nothing))
    np.testing.assert_allclose(found, logits[:, 0], atol=1e-5)
    assert not np.any(looked)


def test_memory_brings_its_mask():
    layer = decoder()
    embedding = TokenEmbedding(4, 5)
    vectors = embedding(np.where(MASK, 3, 0))
    memory = np.asarray(vectors) + (~MASK)[..., None]  # padding is not zero
    implicit = layer(TARGETS, vectors)
    explicit = layer(TARGETS, memory, memory_mask=MASK)
    np.testing.assert_allclose(implicit[0], explicit[0], atol=1e-6)
    lost = layer(TARGETS, memory)  # else the test would see nothing
    assert np.max(np.abs(lost[0] - explicit[0])) > 1e-3


@pytest.mark.parametrize("position", POSITIONS)
def test_later_targets_and_padding_never_matter(position):
    layer = decoder(position=position)
    changed = TARGETS.copy()
    changed[:, 2:] = 3
    before, after = layer(TARGETS, MEMORY), layer(changed, MEMORY)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a[:, :2], b[:, :2])
        assert np.any(np.abs(a[:, 2:] - b[:, 2:]) > 1e-3)
    trimmed = layer(TARGETS[1:2, :2], MEMORY[1:2])
    np.testing.assert_allclose(before[0][1:2, :2], trimmed[0], atol=1e-5)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_masked_steps_of_a_layer_never_matter(norm):
    layer = TransformerDecoderLayer(2, 6, norm=norm)
    layer.build((None, None, 4), (None, None, 5))
    x, mask = normal(3, 5, 4), TARGETS != 0
    masks = {"sequence_mask": mask, "memory_mask": MASK}
    output, own, cross = (np.array(y) for y in randomized(layer)(x, MEMORY, **masks))
    spoiled = np.where(mask[..., None], x, np.nan).astype("float32")
    for a, b in zip((output, own, cross), layer(spoiled, MEMORY, **masks), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.all(output[~mask] == 0)
    assert np.all(output[mask] != 0)
    assert np.all(own[np.broadcast_to(~mask[:, None, None], own.shape)] == 0)
    alone = layer(x[1:2, :2], MEMORY[1:2, :2])
    np.testing.assert_allclose(output[1:2, :2], alone[0], atol=1e-5)


# === The contract ===


def cubes(layer, *inputs):
    """A loss that a normalized output does not fix, as it does the sum of squares."""
    return ops.sum(ops.power(layer(*inputs)[0], 3))


@pytest.mark.parametrize(
    "arguments",
    [{}, {"norm": "post", "rotary": True, "normalizer": "sigmoid"}],
)
def test_contract_of_a_layer(arguments):
    keras.utils.set_random_seed(0)
    layer = TransformerDecoderLayer(2, 6, activation="gelu", **arguments)
    check_layer(layer, normal(3, 5, 4), MEMORY, loss=cubes, num_maps=2)


@pytest.mark.parametrize(
    "arguments",
    [
        {"tied": False},
        {"norm": "post", "position": "learned", "max_length": 5},
        {"position": "rotary", "normalizer": "sigmoid"},
    ],
)
def test_contract_of_a_stack(arguments):
    keras.utils.set_random_seed(0)
    embedding = None if arguments.get("norm") else TokenEmbedding(7, 3)
    layer = TransformerDecoder(7, 4, 2, 2, 6, embedding=embedding, **arguments)
    check_layer(layer, TARGETS, MEMORY, loss=cubes, num_maps=1)


def test_embedding_is_shared_with_the_encoder_and_stays_so_when_saved(tmp_path):
    embedding = TokenEmbedding(7, 3, name="pieces")
    source = keras.Input([None], dtype="int32")
    target = keras.Input([None], dtype="int32")
    memory = keras.layers.Dense(5)(embedding(source))
    layer = TransformerDecoder(7, 4, 2, 2, 6, embedding=embedding, name="decoder")
    outputs = layer(target, memory, memory_mask=ops.not_equal(source, 0))
    model = keras.Model([source, target], outputs)
    assert len([w for w in model.trainable_variables if w.name == "table"]) == 1
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert len(loaded.trainable_variables) == len(model.trainable_variables)
    assert loaded.get_layer("decoder").embedding is loaded.get_layer("pieces")
    inputs = [np.where(MASK, 3, 0), TARGETS]
    for a, b in zip(model(inputs), loaded(inputs), strict=True):
        np.testing.assert_array_equal(a, b)


def test_dropout_acts_in_training_alone():
    layer, plain = decoder(dropout=0.5), decoder()
    logits, attention = layer(TARGETS, MEMORY)
    np.testing.assert_array_equal(logits, plain(TARGETS, MEMORY)[0])
    found, _, _ = layer.step(TARGETS[:, 0], layer.begin(MEMORY))
    np.testing.assert_allclose(found, logits[:, 0], atol=1e-5)
    _, cross = layer.attention_weights(TARGETS, MEMORY)
    np.testing.assert_allclose(np.mean(cross[:, 0], axis=1), attention, atol=1e-6)
    noisy = [layer(TARGETS, MEMORY, training=True)[0] for _ in range(2)]
    assert np.all(np.any(np.abs(noisy[0] - logits) > 1e-3, axis=-1))
    assert np.any(np.abs(noisy[0] - noisy[1]) > 1e-3)


def test_dropout_acts_on_the_input_and_on_what_every_part_adds():
    keras.utils.set_random_seed(0)
    layer = decoder(dropout=0.5)
    places = [layer.dropout_layer]
    for one in layer.layers:
        looking = (one.self_attention, one.cross_attention)
        places += [*one.dropout_layers, *(part.dropout_layer for part in looking)]
    assert [place.rate for place in places] == [0.5] * 11
    logits, _ = layer(TARGETS, MEMORY)
    for acting in places:
        for place in places:
            place.rate = 0.5 if place is acting else 0
        noisy, _ = layer(TARGETS, MEMORY, training=True)
        assert np.any(np.abs(noisy - logits) > 1e-3)


# === Errors ===


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, r"TransformerDecoder needs an integer units >= 1, got units=0"),
        ({"num_layers": 0}, r"integer num_layers >= 1, got num_layers=0"),
        ({"num_heads": 3}, r"multiple of 3, got 4. Make the decoder 6 wide, or choose"),
        (
            {"num_heads": 4, "position": "rotary"},
            r"rotary=True needs features in a multiple of 8, got 4. .* 8 wide",
        ),
        ({"dropout": 1.0}, r"TransformerDecoder needs 0 <= dropout < 1"),
        ({"norm": "rms"}, r"norm='rms'. Choose one of pre, post"),
        ({"activation": "elu"}, r"activation='elu'. Choose one of relu, gelu"),
        ({"normalizer": "max"}, r"normalizer='max'. Choose one of softmax, sigmoid"),
        ({"position": "alibi"}, r"Decoder does not know position='alibi'. Choose one"),
        ({"position": "learned"}, r"TransformerDecoder .*'learned' needs max_length"),
        ({"max_length": 9}, r"'sinusoidal' has no max_length, got max_length=9"),
        ({"tied": False, "embedding": 9}, r"=7 cannot look up .* of 9 ids. Give both"),
    ],
)
def test_wrong_arguments_are_told(arguments, message):
    given = {
        "vocabulary_size": 7,
        "units": 4,
        "num_layers": 1,
        "num_heads": 2,
        "feed_forward_units": 6,
        **arguments,
    }
    if "embedding" in given:
        given["embedding"] = TokenEmbedding(given["embedding"], 4)
    with pytest.raises(ValueError, match=message):
        TransformerDecoder(**given)


def test_too_long_a_sequence_is_told():
    layer = decoder(position="learned")
    message = r"max_length=5 positions, got a sequence of 6 steps. Cut the sequences"
    longer = np.pad(TARGETS, ((0, 0), (0, 1)))
    with pytest.raises(ValueError, match=message):
        layer(longer, MEMORY)
    with pytest.raises(ValueError, match=message):
        layer(keras.Input([6], dtype="int32"), keras.Input([4, 5]))
    state = layer.begin(MEMORY)
    for tokens in TARGETS.T:
        _, state, _ = layer.step(tokens, state)
    with pytest.raises(ValueError, match=message):
        layer.step(TARGETS[:, 0], state)
    unknown = tf.TensorSpec([None, 2, None, 2])
    step = tf.function(
        lambda tokens, own: layer.step(tokens, DecoderState(state.shared, own))[0],
        input_signature=[
            tf.TensorSpec([None], tf.int32),
            tf.nest.map_structure(lambda _: unknown, state.own),
        ],
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"raise max_length and"):
        step(TARGETS[:, 0], state.own)


def test_an_initial_state_is_told():
    layer = decoder()
    message = r"begins with the memory alone, got an initial_state of 2 tensors. Leave"
    with pytest.raises(ValueError, match=message):
        layer.begin(MEMORY, MASK, [MEMORY, MEMORY])
    with pytest.raises(ValueError, match=message):
        layer(TARGETS, MEMORY, initial_state=[MEMORY, MEMORY])
    layer.begin(MEMORY, MASK, [])
