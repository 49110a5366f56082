"""The Transformer encoder against that of keras_nlp."""

import keras
import keras_nlp
import numpy as np
import pytest
import tensorflow as tf
from contracts import check_layer
from keras import ops

from seqloom.layers import (
    LearnedPosition,
    Pooling,
    SinusoidalPosition,
    TokenEmbedding,
    TransformerEncoder,
    TransformerEncoderLayer,
)

LENGTHS = np.array([5, 2, 0, 1])
MASK = np.arange(5) < LENGTHS[:, None]
POSITIONS = ["sinusoidal", "learned", "rotary", "none"]


def sequences(seed=0):
    """Steps of standard deviation 1, the padded ones too."""
    shape = (*MASK.shape, 8)
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def randomize(layer, seed=1):
    random = np.random.default_rng(seed)
    layer.set_weights([random.normal(size=w.shape) * 0.7 for w in layer.weights])
    return layer


def encoder(num_layers=2, position="sinusoidal", **arguments):
    length = 7 if position == "learned" else None
    layer = TransformerEncoder(
        num_layers, 2, 6, position=position, max_length=length, **arguments
    )
    layer.build((None, None, 8))
    return randomize(layer)


def kept_weights(builtin):
    """Path within the layer -> value, but for the keys' bias, which does nothing."""
    paths = ["/".join(w.path.split("/")[-2:]) for w in builtin.weights]
    values = dict(zip(paths, builtin.get_weights(), strict=True))
    del values["key/bias"]
    return values


PARTS = {
    "attention_norm": "self_attention_layer_norm",
    "feed_forward_norm": "feedforward_layer_norm",
    "inner": "feedforward_intermediate_dense",
    "outer": "feedforward_output_dense",
    "output": "attention_output",
}


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_layer_agrees_with_keras_nlp(norm, activation):
    layer = TransformerEncoderLayer(
        2, 6, activation=activation, norm=norm, return_weights=True
    )
    builtin = keras_nlp.layers.TransformerEncoder(
        6, 2, activation=activation, normalize_first=norm == "pre"
    )
    x = sequences()
    for one in (layer, builtin):
        one.build(x.shape)
    values = kept_weights(randomize(builtin))
    assert len(values) == len(layer.weights)
    for weight in layer.weights:
        part, name = weight.path.split("/")[-2:]
        value = values[f"{PARTS.get(part, part)}/{name}"]
        weight.assign(np.reshape(value, weight.shape))
    output, weights = layer(x, mask=MASK)
    expected, scores = builtin(x, padding_mask=MASK, return_attention_scores=True)
    np.testing.assert_allclose(output.numpy()[MASK], expected[MASK], atol=1e-4)
    by_query = [np.moveaxis(x, 1, 2)[MASK] for x in (weights, scores)]
    np.testing.assert_allclose(*by_query, atol=1e-5)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("position", POSITIONS)
def test_stack_is_positions_then_layers_then_norm(norm, position):
    stack = encoder(norm=norm, position=position, return_weights=True)
    x = sequences()
    output, weights = stack(x, mask=MASK)
    if position == "learned":
        positions = LearnedPosition(7)
        positions.build(x.shape)
        positions.set_weights(stack.position_layer.get_weights())
        x = positions(x)
    elif position == "sinusoidal":
        x = SinusoidalPosition()(x)
    for number in range(2):
        one = TransformerEncoderLayer(
            2, 6, norm=norm, rotary=position == "rotary", return_weights=True
        )
        one.build(x.shape)
        one.set_weights(stack.layers[number].get_weights())
        x, layer_weights = one(x, mask=MASK)
        np.testing.assert_allclose(weights[:, number], layer_weights, atol=1e-5)
    x = np.array(x)
    if norm == "pre":
        gamma, beta = stack.final_norm.get_weights()
        spread = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
        x = (x - x.mean(axis=-1, keepdims=True)) / spread * gamma + beta
        x = np.where(MASK[..., None], x, 0)
    np.testing.assert_allclose(output, x, atol=1e-4)
    assert weights.shape == (4, 2, 2, 5, 5)


@pytest.mark.parametrize("mask", [None, MASK], ids=["full", "padded"])
def test_weights_can_be_asked_for_afterwards(mask):
    x = sequences()
    _, weights = encoder(return_weights=True)(x, mask=mask)
    later = encoder(dropout=0.5).attention_weights(x, mask)
    assert later.dtype == "float32"
    np.testing.assert_array_equal(later, weights)


def test_order_matters_only_with_positions():
    for position in POSITIONS:
        layer = encoder(position=position)
        x = sequences()
        same = np.allclose(layer(x), layer(x[:, ::-1])[:, ::-1], atol=1e-3)
        assert same is (position == "none"), position


# === Masks ===


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("position", POSITIONS)
def test_padding_does_not_matter(norm, position):
    layer = encoder(norm=norm, position=position, return_weights=True)
    x = sequences()
    output, weights = (np.array(value) for value in layer(x, mask=MASK))
    assert np.all(output[~MASK] == 0)
    assert np.all(output[MASK] != 0)
    unseen = np.broadcast_to(~MASK[:, None, None, None], weights.shape)
    assert np.all(weights[unseen] == 0)
    spoiled = np.where(MASK[..., None], x, np.nan).astype("float32")
    np.testing.assert_array_equal(layer(spoiled, mask=MASK)[0], output)
    for row, length in enumerate(LENGTHS):
        if length:
            alone, its_weights = layer(x[[row], :length])
            np.testing.assert_allclose(output[row, :length], alone[0], atol=1e-4)
            seen = weights[row, ..., :length, :length]
            np.testing.assert_allclose(seen, its_weights[0], atol=1e-5)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("normalizer", ["softmax", "sigmoid"])
def test_gradients_are_finite_and_none_comes_from_padding(norm, normalizer):
    layer = encoder(norm=norm, normalizer=normalizer)
    x = tf.Variable(np.where(MASK[..., None], sequences(), np.inf))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(x, mask=MASK) ** 3)
    gradient, *others = tape.gradient(total, [x, *layer.trainable_variables])
    assert all(np.all(np.isfinite(other)) for other in (gradient, *others))
    assert np.all(gradient.numpy()[~MASK] == 0)
    assert np.all(gradient.numpy()[MASK] != 0)


@pytest.mark.parametrize("return_weights", [True, False])
def test_implicit_mask_equals_explicit_and_goes_on(return_weights):
    embedding = TokenEmbedding(9, 8, initializer=keras.initializers.RandomNormal(0, 1))
    layer = encoder(return_weights=return_weights)
    vectors = embedding(np.where(MASK, 1 + np.arange(5), 0))

    def first(outputs):
        return outputs[0] if return_weights else outputs

    implicit = first(layer(vectors))
    explicit = first(layer(np.array(vectors), mask=MASK))
    np.testing.assert_array_equal(implicit, explicit)
    np.testing.assert_array_equal(implicit._keras_mask, MASK)
    lost = first(layer(np.array(vectors)))  # else the test would see nothing
    assert np.max(np.abs(lost - implicit)) > 0.1


# === The contract ===


def cubes(layer, *inputs):
    """A loss that a normalized output does not fix, as it does the sum of squares."""
    output = layer(*inputs)
    return ops.sum(ops.power(output[0] if isinstance(output, tuple) else output, 3))


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"norm": "post", "return_weights": True},
        {"rotary": True, "normalizer": "sigmoid", "activation": "gelu"},
    ],
)
def test_contract_of_a_layer(arguments):
    layer = TransformerEncoderLayer(2, 6, **arguments)
    check_layer(layer, sequences(), loss=cubes, num_maps=int(layer.return_weights))


@pytest.mark.parametrize(
    "arguments",
    [
        {"return_weights": True},
        {"norm": "post", "position": "learned", "max_length": 5},
        {"position": "rotary", "normalizer": "sigmoid", "activation": "gelu"},
    ],
)
def test_contract_of_a_stack(arguments):
    layer = TransformerEncoder(2, 2, 6, **arguments)
    check_layer(layer, sequences(), loss=cubes, num_maps=int(layer.return_weights))


def test_dropout_acts_in_training_alone():
    layer, plain = encoder(dropout=0.5), encoder()
    x = sequences()
    np.testing.assert_array_equal(layer(x), plain(x))
    noisy = layer(x, mask=MASK, training=True)
    assert not np.allclose(noisy, plain(x, mask=MASK))
    assert not np.allclose(noisy, layer(x, mask=MASK, training=True))
    assert np.all(noisy.numpy()[~MASK] == 0)


def test_saved_functional_model_ignores_padding(tmp_path):
    """Masks find their way from the ids to the pooled vector, and survive saving."""
    ids = keras.Input((None,), dtype="int32")
    table = TokenEmbedding(9, 8, initializer=keras.initializers.RandomNormal(0, 1))
    steps, weights = encoder(return_weights=True)(table(ids))
    pooled, shares = Pooling("mean")(steps)
    model = keras.Model(ids, [pooled, shares, weights])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    token_ids = np.where(MASK, 1 + np.arange(5), 0)
    outputs = model.predict(token_ids, verbose=0)
    np.testing.assert_array_equal(outputs[0], loaded.predict(token_ids, verbose=0)[0])
    pooled, shares, weights = outputs
    for row, length in enumerate(LENGTHS):
        if length:
            alone = model(token_ids[[row], :length])
            np.testing.assert_allclose(pooled[row], alone[0][0], atol=1e-4)
            np.testing.assert_allclose(shares[row, :length], 1 / length, atol=1e-6)
            seen = weights[row, ..., :length, :length]
            np.testing.assert_allclose(seen, alone[2][0], atol=1e-5)


def test_learns_on_one_device():
    """Whether the first token comes again: a step has to look at another."""
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    token_ids = random.integers(1, 6, size=(256, 6))
    labels = token_ids == token_ids[:, :1]
    table = TokenEmbedding(6, 16, initializer=keras.initializers.RandomNormal(0, 1))
    head = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Sequential([table, TransformerEncoder(2, 2, 32), head])
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    losses = model.fit(token_ids, labels[..., None], epochs=15, verbose=0)
    losses = losses.history["loss"]
    assert losses[-1] < 0.3 * losses[0]


def test_errors_say_what_where_and_how():
    x = sequences()
    with pytest.raises(ValueError, match=r"multiple of 3, got 8. Make .* 9 wide, or"):
        TransformerEncoderLayer(3, 6)(x)
    with pytest.raises(ValueError, match=r"rotary=True needs .* multiple of 16, got 8"):
        TransformerEncoder(1, 8, 6, position="rotary")(x)
    with pytest.raises(ValueError, match=r"norm='rms'. Choose one of pre, post"):
        TransformerEncoder(1, 2, 6, norm="rms")
    with pytest.raises(ValueError, match=r"position='alibi'. Choose one of sinusoidal"):
        TransformerEncoder(1, 2, 6, position="alibi")
    with pytest.raises(ValueError, match=r"'learned' needs max_length, the longest"):
        TransformerEncoder(1, 2, 6, position="learned")
    with pytest.raises(
        ValueError, match=r"'rotary' has no max_length, got max_leng.*9"
    ):
        TransformerEncoder(1, 2, 6, position="rotary", max_length=9)
    with pytest.raises(
        ValueError, match=r"max_length=4 positions, got a sequence of 5"
    ):
        TransformerEncoder(1, 2, 6, position="learned", max_length=4)(x)
    with pytest.raises(
        ValueError, match=r"max_length=4 positions, got a sequence of 5"
    ):
        TransformerEncoder(1, 2, 6, position="learned", max_length=4)(
            keras.Input((5, 8))
        )
    with pytest.raises(ValueError, match=r"TransformerEncoder needs .* got dropout=2"):
        TransformerEncoder(1, 2, 6, dropout=2)
    with pytest.raises(ValueError, match=r"num_layers=0"):
        TransformerEncoder(0, 2, 6)
