"""Attention with several heads against that of Keras, and plain loops."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from contracts import check_layer

from seqloom.layers import MultiHeadAttention, TokenEmbedding, step_cache

LENGTHS = np.array([4, 2, 0, 1])
MASK = np.arange(4) < LENGTHS[:, None]
REAL = LENGTHS > 0


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(*widths, **arguments):
    """A layer of 2 heads of 4 units over query, value, key of the given widths."""
    layer = MultiHeadAttention(2, 4, return_weights=True, **arguments)
    layer.build(*((None, None, width) for width in widths))
    random = np.random.default_rng(9)
    layer.set_weights([random.normal(size=w.shape) * 0.7 for w in layer.weights])
    return layer


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask", [None, MASK], ids=["full", "padded"])
def test_agrees_with_keras(causal, mask):
    layer = MultiHeadAttention(3, 2, return_weights=True)
    builtin = keras.layers.MultiHeadAttention(3, 2)
    inputs = normal(4, 5, 6), normal(4, 4, 5, seed=1), normal(4, 4, 7, seed=2)
    builtin.build(*(x.shape for x in inputs))
    layer.build(*(x.shape for x in inputs))
    random = np.random.default_rng(3)
    weights = [random.normal(size=w.shape) * 0.7 for w in builtin.weights]
    builtin.set_weights(weights)
    # Keras' keys have a bias, which changes nothing: so leave it out.
    mine = [w for w, name in zip(weights, names(builtin)) if name != "key/bias"]
    layer.set_weights([np.reshape(w, m.shape) for w, m in zip(mine, layer.weights)])
    expected = builtin(
        *inputs,
        value_mask=mask,
        use_causal_mask=causal,
        return_attention_scores=True,
    )
    outputs = layer(*inputs, value_mask=mask, causal=causal)
    rows = REAL if mask is not None else slice(None)
    for output, reference in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(output[rows], reference[rows], atol=1e-5)


def names(layer):
    return ["/".join(w.path.split("/")[-2:]) for w in layer.weights]


@pytest.mark.parametrize("causal", [False, True])
def test_sigmoid_and_rotary_agree_with_a_loop(causal):
    layer = built(6, 6, normalizer="sigmoid", rotary=True)
    x = normal(4, 4, 6)
    outputs, weights = layer(x, x, value_mask=MASK, causal=causal)
    w_q, b_q, w_k, w_v, b_v, w_o, b_o = layer.get_weights()
    for b, t in np.ndindex(4, 4):
        heads = []
        seen = min(LENGTHS[b], t + 1) if causal else LENGTHS[b]
        for h in range(2):
            part = slice(4 * h, 4 * h + 4)
            q = turned(x[b, t] @ w_q[:, part] + b_q[part], t)
            head = np.zeros(4)
            for s in range(seen):
                k = turned(x[b, s] @ w_k[:, part], s)
                weight = 1 / (1 + np.exp(-q @ k / 2 + np.log(seen)))
                np.testing.assert_allclose(weights[b, h, t, s], weight, atol=1e-5)
                head += weight * (x[b, s] @ w_v[:, part] + b_v[part])
            assert np.all(weights[b, h, t, seen:] == 0)
            heads.append(head)
        output = np.concatenate(heads) @ w_o + b_o
        np.testing.assert_allclose(outputs[b, t], output, atol=1e-4)


def turned(vector, position):
    """Features i and i + D/2 as a complex number, turned by position / 10000^(2i/D)."""
    half = len(vector) // 2
    numbers = vector[:half] + 1j * vector[half:]
    numbers = numbers * np.exp(1j * position * 10000.0 ** (-np.arange(half) / half))
    return np.concatenate([numbers.real, numbers.imag])


def test_rotary_weights_depend_on_distances_alone():
    x = normal(1, 5, 6)
    shifted = np.pad(x, ((0, 0), (3, 0), (0, 0)))
    mask = np.arange(8)[None] >= 3
    for rotary in (True, False):
        layer = built(6, 6, rotary=rotary)
        _, weights = layer(x, x)
        _, later = layer(shifted, shifted, value_mask=mask)
        np.testing.assert_allclose(later[:, :, 3:, 3:], weights, atol=1e-5)
        _, backwards = layer(x[:, ::-1], x[:, ::-1])
        same = np.allclose(backwards[:, :, ::-1, ::-1], weights, atol=1e-3)
        assert same is not rotary


def test_keys_and_values_can_be_kept():
    """What a decoder does that keeps those of the steps before."""
    layer = built(6, 6)
    x = normal(2, 5, 6)
    outputs, weights = layer(x, x, causal=True)
    keys, values = layer.keys_and_values(x[:, :4], x[:, :4])
    more = layer.keys_and_values(x[:, 4:], x[:, 4:])
    keys, values = (
        np.concatenate(pair, axis=2) for pair in zip((keys, values), more, strict=True)
    )
    output, row = layer.attend(x[:, 4:], keys, values)
    np.testing.assert_allclose(output[:, 0], outputs[:, 4], atol=1e-5)
    np.testing.assert_allclose(row[:, :, 0], weights[:, :, 4], atol=1e-6)


@pytest.mark.parametrize("normalizer", ["softmax", "sigmoid"])
@pytest.mark.parametrize("rotary", [False, True])
def test_step_by_step_is_causal_attention(rotary, normalizer, monkeypatch):
    monkeypatch.setattr(step_cache, "BLOCK", 2)  # the newest steps join twice
    layer = built(6, 6, rotary=rotary, normalizer=normalizer)
    x = normal(2, 5, 6)
    outputs, weights = layer(x, x, causal=True)
    cache = step_cache.empty_cache(2, 2, 4, "float32")
    for step in range(5):
        assert cache.steps == step
        cache = layer.append(x[:, step], cache)
        output, row = layer.attend_step(x[:, step], cache.parts, position=step)
        np.testing.assert_allclose(output, outputs[:, step], atol=1e-5)
        seen = weights[:, :, step, : step + 1]
        np.testing.assert_allclose(row[:, :, 0], seen, atol=1e-6)
    assert [keys.shape[2] for keys, _ in cache.parts] == [4, 1]


@pytest.mark.parametrize("rotary", [False, True])
def test_one_step_of_several_queries_to_each_row(rotary):
    """The same as when every query has keys and values of its own."""
    layer = built(6, 3, rotary=rotary)
    query, value = normal(12, 6), normal(4, 4, 3, seed=1)
    keys, values = layer.keys_and_values(value, value)
    visible = MASK[:, None, None]
    outputs, weights = layer.attend_step(query, [(keys, values)], visible, position=2)
    own = [np.repeat(part, 3, axis=0) for part in (keys, values, visible)]
    expected = np.pad(query[:, None], ((0, 0), (2, 0), (0, 0)))  # at position 2
    expected, its_weights = layer.attend(expected, *own)
    np.testing.assert_allclose(outputs, expected[:, 2], atol=1e-5)
    joined = np.reshape(np.moveaxis(weights, 1, 2), (12, 2, 4))
    np.testing.assert_allclose(joined, its_weights[:, :, 2], atol=1e-6)
    nothing = [(keys[:0], values[:0])]
    none = layer.attend_step(query[:0], nothing, visible[:0])
    assert none[0].shape == (0, 6)


# === Masks ===


@pytest.mark.parametrize("rotary", [False, True])
def test_padding_does_not_matter(rotary):
    layer = built(6, 3, rotary=rotary)
    query, value = normal(4, 5, 6), normal(4, 4, 3, seed=1)
    spoiled = np.where(MASK[..., None], value, np.nan).astype("float32")
    padded = layer(query, value, value_mask=MASK)
    for clean, other in zip(
        padded, layer(query, spoiled, spoiled, value_mask=MASK), strict=True
    ):
        np.testing.assert_array_equal(clean, other)
    for row, length in enumerate(LENGTHS):
        if length:
            output, weights = layer(query[[row]], value[[row], :length])
            np.testing.assert_allclose(padded[0][row], output[0], atol=1e-5)
            np.testing.assert_allclose(
                padded[1][row, ..., :length], weights[0], atol=1e-6
            )


def test_row_without_values_has_no_weights_and_finite_gradients():
    layer = built(6, 3)
    value = tf.Variable(np.where(MASK[..., None], normal(4, 4, 3, seed=1), np.inf))
    with tf.GradientTape() as tape:
        output, weights = layer(normal(4, 5, 6), value, value_mask=MASK)
        total = tf.reduce_sum(output**2)
    hidden = np.broadcast_to(~MASK[:, None, None], weights.shape)
    assert np.all(weights.numpy()[hidden] == 0)
    assert np.all(weights.numpy()[~hidden] > 0)
    bias = layer.get_weights()[-1]
    assert np.all(output[list(LENGTHS).index(0)] == bias)
    for gradient in tape.gradient(total, [value, *layer.trainable_variables]):
        assert np.all(np.isfinite(gradient))


def test_implicit_mask_equals_explicit_and_the_query_keeps_its_own():
    embedding = TokenEmbedding(9, 3, initializer=keras.initializers.RandomNormal(0, 1))
    ids = np.where(MASK, 1 + np.arange(4), 0)
    query_ids = np.array([[5, 6, 7], [5, 0, 0], [5, 6, 0], [7, 0, 0]])
    query, value = embedding(query_ids), embedding(ids)
    bare = np.array(query), np.array(value)
    layer = built(3, 3)
    implicit = layer(query, value)
    explicit = layer(*bare, value_mask=MASK)
    for one, other in zip(implicit, explicit, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(implicit[0]._keras_mask, query_ids != 0)
    layer.return_weights = False
    np.testing.assert_array_equal(layer(query, value)._keras_mask, query_ids != 0)
    lost, _ = built(3, 3)(*bare)  # else the test would see nothing
    assert np.max(np.abs(lost - implicit[0])) > 0.1


# === The contract ===


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"return_weights": True, "rotary": True},
        {"return_weights": True, "normalizer": "sigmoid"},
    ],
)
def test_contract(arguments):
    layer = MultiHeadAttention(2, 4, **arguments)
    inputs = normal(2, 3, 6), normal(2, 5, 4, seed=1)
    check_layer(layer, *inputs, num_maps=int(layer.return_weights))


def test_contract_with_keys():
    inputs = normal(2, 3, 6), normal(2, 5, 4, seed=1), normal(2, 5, 3, seed=2)
    check_layer(MultiHeadAttention(2, 4), *inputs)


def test_dropout_acts_in_training_alone_and_not_on_what_is_returned():
    layer, same = built(6, 6, dropout=0.5), built(6, 6)
    same.set_weights(layer.get_weights()[:7])
    x = normal(2, 5, 6)
    still, weights = layer(x, x)
    np.testing.assert_array_equal(still, same(x, x)[0])
    noisy, noisy_weights = layer(x, x, training=True)
    assert not np.allclose(still, noisy)
    np.testing.assert_array_equal(weights, noisy_weights)


def test_errors_say_what_where_and_how():
    with pytest.raises(ValueError, match=r"integer num_heads >= 1, got num_heads=0"):
        MultiHeadAttention(0, 4)
    with pytest.raises(ValueError, match=r"even head_units, got 3. Try 4"):
        MultiHeadAttention(2, 3, rotary=True)
    with pytest.raises(ValueError, match=r"normalizer='max'. Choose one of softmax, s"):
        MultiHeadAttention(2, 3, normalizer="max")
    with pytest.raises(ValueError, match=r"0 <= dropout < 1, got dropout=1"):
        MultiHeadAttention(2, 3, dropout=1)
