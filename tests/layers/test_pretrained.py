"""Pretrained encoders: equal to the backbone called row by row, without padding."""

import keras
import keras_nlp
import numpy as np
import pytest
import tensorflow as tf
from tiny_preset import SIZES, VOCABULARY, WINDOW, bert, randomized, roberta

from seqloom.layers import PretrainedEncoder

START, END, PADDING = 2, 3, 0
LENGTHS = np.array([7, 3, 0, 1])
MASK = np.arange(7) < LENGTHS[:, None]


def distilbert():
    sizes = {**SIZES, "dropout": 0.0}
    return randomized(keras_nlp.models.DistilBertBackbone(len(VOCABULARY), **sizes))


BACKBONES = {"bert": bert, "distilbert": distilbert, "roberta": roberta}


def encoder_of(backbone, **arguments):
    return PretrainedEncoder(backbone, START, END, PADDING, WINDOW, **arguments)


@pytest.fixture(scope="module", params=BACKBONES)
def pair(request):
    """A backbone and the layer of it."""
    backbone = BACKBONES[request.param]()
    return backbone, encoder_of(backbone)


@pytest.fixture(scope="module")
def layer():
    return encoder_of(bert())


def random_ids(*shape, seed=0):
    return np.random.default_rng(seed).integers(5, 40, shape, "int32")


def alone(backbone, ids):
    """What the backbone makes of ids that fit into the window: `(S, D)`."""
    row = np.array([[START, *ids, END]])
    given = {"token_ids": row, "padding_mask": np.ones_like(row)}
    if "segment_ids" in backbone.input:
        given["segment_ids"] = np.zeros_like(row)
    output = backbone(given)
    output = output["sequence_output"] if isinstance(output, dict) else output
    return output.numpy()[0, 1:-1]


def test_a_padded_batch_is_the_backbone_row_by_row(pair):
    backbone, layer = pair
    ids = random_ids(4, 7)
    output = layer(ids, mask=MASK)
    assert output.shape == (4, 7, 16)
    for row, length in enumerate(LENGTHS):
        expected = alone(backbone, ids[row, :length])
        assert length == 0 or np.std(expected) > 0.3
        np.testing.assert_allclose(output[row, :length], expected, atol=1e-5)
        assert np.all(output[row, length:] == 0)  # and finite in the row of padding


def test_what_stands_in_padding_does_not_matter(pair):
    _, layer = pair
    ids, other = random_ids(4, 7), random_ids(4, 7, seed=1)
    expected = layer(ids, mask=MASK)
    np.testing.assert_array_equal(layer(np.where(MASK, ids, other), MASK), expected)
    assert np.abs(layer(other, mask=MASK) - expected).max() > 0.1


def test_without_a_mask_all_steps_are_real(layer):
    ids = random_ids(2, 5)
    expected = layer(ids, mask=np.ones((2, 5), bool))
    np.testing.assert_array_equal(layer(ids), expected)


@pytest.mark.parametrize("length", [WINDOW - 2, WINDOW - 1, 2 * WINDOW - 4, 33])
def test_a_long_row_is_read_window_by_window(pair, length):
    backbone, layer = pair
    ids, size = random_ids(1, length), WINDOW - 2
    expected = [alone(backbone, ids[0, n : n + size]) for n in range(0, length, size)]
    np.testing.assert_allclose(layer(ids)[0], np.concatenate(expected), atol=1e-5)


def test_a_row_does_not_depend_on_longer_neighbours(layer):
    ids = random_ids(3, 33)
    lengths = np.array([33, WINDOW - 2, 20])
    together = layer(ids, mask=np.arange(33) < lengths[:, None])
    for row, length in enumerate(lengths):
        by_itself = layer(ids[row : row + 1, :length])[0]
        np.testing.assert_allclose(together[row, :length], by_itself, atol=1e-5)


def test_rows_without_a_step(layer):
    assert layer(np.zeros((2, 0), "int32")).shape == (2, 0, 16)


def test_a_graph_with_unknown_sizes_gives_the_same(layer):
    specs = [tf.TensorSpec([None, None], "int32"), tf.TensorSpec([None, None], "bool")]
    traced = tf.function(lambda ids, mask: layer(ids, mask), input_signature=specs)
    for length in (7, 33, 0):
        ids = random_ids(4, length)
        mask = np.arange(length) < np.array([length, 3, 0, 1])[:, None]
        np.testing.assert_allclose(traced(ids, mask), layer(ids, mask), atol=1e-5)


def test_the_output_keeps_the_mask(layer):
    ids = keras.Input([None], dtype="int32")
    mask = keras.Input([None], dtype="bool")
    output = layer(ids, mask=mask)
    assert output.shape == (None, None, 16)
    assert layer.compute_mask(ids, mask) is mask


def model_of(layer):
    ids = keras.Input([None], dtype="int32")
    return keras.Model(ids, layer(ids, mask=keras.ops.not_equal(ids, 0)))


def padded_ids(*shape):
    ids = random_ids(*shape)
    ids[0, -2:] = 0
    return ids


@pytest.mark.parametrize("arguments", [{}, {"lora_rank": 2}, {"frozen": True}])
def test_a_saved_model_is_loaded_equal(arguments, tmp_path):
    model = model_of(encoder_of(bert(), **arguments))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    ids = padded_ids(3, 20)
    np.testing.assert_array_equal(loaded(ids), model(ids))
    assert [w.path for w in loaded.trainable_weights] == [
        w.path for w in model.trainable_weights
    ]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_comes_near_to_float32(policy):
    full = encoder_of(bert())
    keras.config.set_dtype_policy(policy)
    try:
        mixed = encoder_of(bert())
        spec = mixed(keras.Input([None], dtype="int32"))
        output = mixed(random_ids(4, 7), mask=MASK)
    finally:
        keras.config.set_dtype_policy("float32")
    assert {w.dtype for w in mixed.weights} == {"float32"}
    assert spec.dtype == output.dtype.name == policy.removeprefix("mixed_")
    output = np.asarray(tf.cast(output, "float32"))
    assert np.all(output[~MASK] == 0)
    expected = full(random_ids(4, 7), mask=MASK)
    np.testing.assert_allclose(output, expected, atol=0.2)


# === What is trained ===


def trained_paths(layer):
    ids = random_ids(2, 6)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(ids) ** 2)
    weights = layer.trainable_weights
    gradients = tape.gradient(loss, [weight.value for weight in weights])
    assert all(gradient is not None for gradient in gradients)
    return {weight.path for weight in weights}


def test_every_weight_gets_a_gradient_and_a_depth(pair):
    """No pooler among them; the more layers above, the deeper."""
    _, layer = pair
    depths = layer.depths()
    assert trained_paths(layer) == set(depths)
    for path, depth in depths.items():
        number = [n for n in (0, 1) if f"transformer_layer_{n}/" in path]
        assert depth == (1 - number[0] if number else 2), path
    assert set(depths.values()) == {0, 1, 2}


def test_a_frozen_encoder_trains_nothing():
    layer = encoder_of(bert(), frozen=True)
    assert layer.trainable_weights == []
    assert layer.depths() == {}


def test_lora_trains_low_rank_additions_alone():
    layer = encoder_of(bert(), lora_rank=2)
    found = trained_paths(layer)
    assert found == set(layer.depths())
    assert {path.rpartition("/")[2] for path in found} == {
        "lora_kernel_a",
        "lora_kernel_b",
    }
    assert len(found) == 2 * 2 * 2  # layers, query and value, factors


def test_weights_with_lora_go_into_a_model_without(tmp_path):
    ids = padded_ids(3, 9)
    tuned = model_of(encoder_of(bert(), lora_rank=2))
    before = tuned(ids).numpy()
    np.testing.assert_allclose(before, model_of(encoder_of(bert()))(ids), atol=1e-6)
    random = np.random.default_rng(1)
    for weight in tuned.trainable_weights:
        weight.assign(random.normal(0, 0.5, weight.shape))
    tuned.save_weights(tmp_path / "tuned.weights.h5")
    plain = model_of(encoder_of(bert(seed=5)))
    plain.load_weights(tmp_path / "tuned.weights.h5")
    assert np.abs(tuned(ids) - before).max() > 0.1
    np.testing.assert_allclose(plain(ids), tuned(ids), atol=1e-4)


# === What is refused ===


def test_a_backbone_without_a_vector_a_token_is_refused():
    image = keras_nlp.models.VGGBackbone([1], [4], image_shape=(8, 8, 3))
    with pytest.raises(
        ValueError, match="VGGBackbone gives no vector for every token.*such as BERT"
    ):
        encoder_of(image)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"window": 2}, "window"), ({"lora_rank": 0}, "lora_rank=0")],
)
def test_wrong_sizes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PretrainedEncoder(bert(), START, END, **arguments)
