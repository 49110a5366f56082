"""Attention with one head against loops and numbers worked out by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from contracts import check_layer

from seqloom.layers import Attention, TokenEmbedding

LENGTHS = np.array([4, 2, 0, 1])
MASK = np.arange(4) < LENGTHS[:, None]
SCORES = ["dot", "scaled_dot", "general", "additive"]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def attention(score, query_units, key_units, value_units, **arguments):
    """A built layer with weights of standard deviation 1."""
    layer = Attention(score, units=5 if score == "additive" else None, **arguments)
    layer.build(
        (None, None, query_units), (None, None, value_units), (None, None, key_units)
    )
    random = np.random.default_rng(9)
    layer.set_weights([random.normal(size=w.shape) for w in layer.weights])
    return layer


def score_of(score, q, k, weights):
    if score == "dot":
        return q @ k
    if score == "scaled_dot":
        return q @ k / np.sqrt(len(k))
    if score == "general":
        return q @ (k @ weights[0])
    return np.tanh(q @ weights[0] + k @ weights[1]) @ weights[2][:, 0]


def loop(layer, query, value, key, lengths):
    """Context and weights, one query at a time, over the real values alone."""
    context = np.zeros((*query.shape[:2], value.shape[-1]))
    all_weights = np.zeros((*query.shape[:2], value.shape[1]))
    parameters = [np.float64(weight) for weight in layer.weights]
    for b, t in np.ndindex(query.shape[:2]):
        n = lengths[b]
        if n == 0:
            continue
        scores = [score_of(layer.score, query[b, t], k, parameters) for k in key[b, :n]]
        if layer.normalizer == "softmax":
            weights = np.exp(scores) / np.sum(np.exp(scores))
        else:
            bias = -np.log(n) if layer.length_bias else 0
            weights = 1 / (1 + np.exp(-np.array(scores) - bias))
        all_weights[b, t, :n] = weights
        context[b, t] = weights @ value[b, :n]
    return context, all_weights


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(
    "normalizer, length_bias",
    [("softmax", False), ("sigmoid", False), ("sigmoid", True)],
)
def test_agrees_with_a_loop(score, normalizer, length_bias):
    width = 3 if "dot" in score else 6
    layer = attention(
        score, 3, width, 2, normalizer=normalizer, length_bias=length_bias
    )
    query, value = normal(4, 5, 3), normal(4, 4, 2, seed=1)
    key = normal(4, 4, width, seed=2)
    for mask, lengths in ((MASK, LENGTHS), (None, [4, 4, 4, 4])):
        outputs = layer(query, value, key, value_mask=mask)
        expected = loop(layer, query, value, key, lengths)
        for output, reference in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(output, reference, atol=1e-5)


def test_values_are_the_keys_unless_others_are_given():
    layer = attention("additive", 3, 2, 2)
    query, value = normal(4, 5, 3), normal(4, 4, 2, seed=1)
    for one, other in zip(
        layer(query, value), layer(query, value, key=value), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("normalizer", ["softmax", "sigmoid"])
def test_keys_can_be_kept(score, normalizer):
    """What a decoder does that asks with one query after the other."""
    layer = attention(score, 3, 3, 2, normalizer=normalizer)
    query, value, key = (
        normal(4, 5, 3),
        normal(4, 4, 2, seed=1),
        normal(4, 4, 3, seed=2),
    )
    context, weights = layer(query, value, key, value_mask=MASK)
    keys = layer.keys(key)
    for step in range(5):
        one, its = layer.attend(query[:, [step]], keys, value, MASK[:, None])
        np.testing.assert_allclose(one[:, 0], context[:, step], atol=1e-5)
        np.testing.assert_allclose(its[:, 0], weights[:, step], atol=1e-6)
    one, its = layer.attend(query, keys, value)  # without a mask all is visible
    for got, want in zip((one, its), layer(query, value, key), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)


# === The textbook's example ===

WORDS = {"money": (2, 0), "river": (0, 2), "bank": (1, 1)}
WORDS |= {"grows": (1, 0), "flows": (0, 1)}
# bank · (money, bank, grows) = (2, 2, 1), and of the river's words the same. So with
# dot scores bank and its left neighbour weigh e / (2e + 1) = 2.71828 / 6.43656 each;
# with scaled ones, r / (2r + 1) for r = exp(1 / sqrt(2)) = 2.02812, over 5.05623.
# The context of money is w (2, 0) + w (1, 1) + (1 - 2w) (1, 0) = (1 + w, w).
BANK_WEIGHT = {"dot": 0.42232, "scaled_dot": 0.40111}


@pytest.mark.parametrize("score", BANK_WEIGHT)
def test_bank_means_two_things(score):
    sentences = [["money", "bank", "grows"], ["river", "bank", "flows"]]
    x = np.array([[WORDS[word] for word in words] for words in sentences], "float32")
    context, weights = Attention(score)(x, x)
    w = BANK_WEIGHT[score]
    np.testing.assert_array_equal(x[0, 1], x[1, 1])
    np.testing.assert_allclose(weights[:, 1], [[w, w, 1 - 2 * w]] * 2, atol=1e-5)
    np.testing.assert_allclose(context[0, 1], [1 + w, w], atol=2e-5)
    np.testing.assert_allclose(context[1, 1], [w, 1 + w], atol=2e-5)


@pytest.mark.parametrize("width", [4, 64, 512])
def test_variance_of_scores_grows_with_the_width_unless_scaled(width):
    query, key = normal(50, 20, width), normal(50, 20, width, seed=1)
    variance = {}
    for score in ("dot", "scaled_dot"):
        layer = attention(score, width, width, width)
        variance[score] = np.var(layer.scores(query, layer.keys(key)))
    assert variance["dot"] == pytest.approx(width, rel=0.1)
    assert variance["scaled_dot"] == pytest.approx(1, rel=0.1)


def test_length_bias_keeps_the_sum_of_weights_near_one():
    """For scores of 0 it is n sigmoid(-log n) = n / (n + 1), and n / 2 without."""
    query, value = np.zeros((2, 1, 2), "float32"), normal(2, 99, 2)
    mask = np.arange(99) < np.array([[99], [9]])
    for length_bias, sums in ((True, [99 / 100, 9 / 10]), (False, [99 / 2, 9 / 2])):
        layer = Attention("dot", "sigmoid", length_bias=length_bias)
        _, weights = layer(query, value, value_mask=mask)
        np.testing.assert_allclose(np.sum(weights, axis=-1)[:, 0], sums, rtol=1e-5)


# === Masks ===


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("normalizer", ["softmax", "sigmoid"])
def test_padding_does_not_matter(score, normalizer):
    layer = attention(score, 3, 3, 3, normalizer=normalizer)
    query, value = normal(4, 5, 3), normal(4, 4, 3, seed=1)
    spoiled = np.where(MASK[..., None], value, np.nan).astype("float32")
    padded = layer(query, value, value_mask=MASK)
    for clean, other in zip(
        padded, layer(query, spoiled, spoiled, value_mask=MASK), strict=True
    ):
        np.testing.assert_array_equal(clean, other)
    for row, length in enumerate(LENGTHS):
        if length:
            context, weights = layer(query[[row]], value[[row], :length])
            np.testing.assert_allclose(padded[0][row], context[0], atol=1e-5)
            np.testing.assert_allclose(
                padded[1][row, :, :length], weights[0], atol=1e-6
            )


@pytest.mark.parametrize("normalizer", ["softmax", "sigmoid"])
def test_masked_weights_are_zero_and_gradients_finite(normalizer):
    layer = attention("additive", 3, 3, 3, normalizer=normalizer)
    query = normal(4, 5, 3)
    value = tf.Variable(np.where(MASK[..., None], normal(4, 4, 3, seed=1), np.inf))
    with tf.GradientTape() as tape:
        context, weights = layer(query, value, value_mask=MASK)
        total = tf.reduce_sum(context**2) + tf.reduce_sum(weights**2)
    hidden = np.broadcast_to(~MASK[:, None], weights.shape)
    assert np.all(weights.numpy()[hidden] == 0)
    assert np.all(weights.numpy()[~hidden] > 0)
    assert np.all(context[list(LENGTHS).index(0)] == 0)
    for gradient in tape.gradient(total, [value, *layer.trainable_variables]):
        assert np.all(np.isfinite(gradient))


def test_implicit_mask_equals_explicit_and_the_query_keeps_its_own():
    embedding = TokenEmbedding(9, 3, initializer=keras.initializers.RandomNormal(0, 1))
    layer = attention("general", 3, 3, 3)
    ids = np.where(MASK, 1 + np.arange(4), 0)
    query_ids = np.array([[5, 6, 7], [5, 0, 0], [5, 6, 0], [7, 0, 0]])
    query, value = embedding(query_ids), embedding(ids)
    bare = np.array(query), np.array(value)
    implicit = layer(query, value)
    explicit = layer(*bare, value_mask=MASK)
    for one, other in zip(implicit, explicit, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(implicit[0]._keras_mask, query_ids != 0)
    assert getattr(implicit[1], "_keras_mask", None) is None
    lost = layer(*bare)  # else the test would see nothing
    assert np.max(np.abs(lost[0] - implicit[0])) > 0.1


def test_masks_reach_it_in_a_saved_functional_model(tmp_path):
    embedding = TokenEmbedding(9, 3, initializer=keras.initializers.RandomNormal(0, 1))
    layer = attention("general", 3, 3, 3)
    query_ids, ids = keras.Input((None,), dtype="int32"), keras.Input((None,))
    outputs = layer(embedding(query_ids), embedding(ids))
    keras.Model([query_ids, ids], outputs).save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    ids = np.where(MASK, 1 + np.arange(4), 0)
    expected = layer(embedding(ids), embedding(ids), value_mask=MASK)
    for one, other in zip(model([ids, ids]), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


# === The contract ===


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("normalizer", ["softmax", "sigmoid"])
def test_contract(score, normalizer):
    layer = Attention(
        score,
        normalizer,
        units=4 if score == "additive" else None,
        length_bias=normalizer == "sigmoid",
    )
    weightless = "dot" in score
    inputs = [normal(2, 3, 4), normal(2, 5, 4, seed=1)]
    check_layer(layer, *inputs, weightless=weightless, num_maps=1)


def test_contract_with_keys():
    inputs = normal(2, 3, 4), normal(2, 5, 2, seed=1), normal(2, 5, 3, seed=2)
    check_layer(Attention("general"), *inputs, num_maps=1)


@pytest.mark.parametrize("score", ["dot", "scaled_dot"])
def test_float16_does_not_overflow(score):
    x = 20 * normal(2, 3, 512)  # products around 200,000, more than float16 holds
    context, weights = Attention(score, dtype="mixed_float16")(x, x)
    assert (context.dtype, weights.dtype) == ("float16", "float32")
    np.testing.assert_allclose(np.sum(weights, axis=-1), 1, rtol=1e-6)
    np.testing.assert_allclose(context, x, rtol=1e-2)  # each finds itself


def test_errors_say_what_where_and_how():
    with pytest.raises(ValueError, match=r"score='cosine'. Choose one of dot, scaled_"):
        Attention("cosine")
    with pytest.raises(ValueError, match=r"normalizer='relu'. Choose one of softmax"):
        Attention(normalizer="relu")
    with pytest.raises(ValueError, match=r"Attention needs an integer units >= 1, got"):
        Attention("additive")
    with pytest.raises(ValueError, match=r"score='dot' has no units, got units=8"):
        Attention("dot", units=8)
    with pytest.raises(
        ValueError, match=r"length_bias=True changes nothing .*'softmax"
    ):
        Attention(length_bias=True)
    with pytest.raises(
        ValueError,
        match=r"got 3 and 4 features. Put a Dense\(4\) before the query, or choose",
    ):
        Attention()(normal(1, 2, 3), normal(1, 2, 4))
    with pytest.raises(ValueError, match=r"got 3 and 5 features"):
        Attention()(keras.Input((2, 3)), keras.Input((2, 3)), keras.Input((2, 5)))
