"""The captioning model: every decoder, pixels and grids, teacher forcing and steps."""

import keras
import numpy as np
import pytest

from seqloom.layers import DecodingOptions, generate
from seqloom.tasks.captioner import (
    build_captioner,
    doubly_stochastic_penalty,
    word_detection_loss,
)

random = np.random.default_rng(0)
IMAGES = random.integers(0, 256, (2, 16, 12, 3)).astype("float32")
GRIDS = random.normal(size=(2, 2, 3, 5)).astype("float32")
TARGETS = np.array([[2, 4, 5], [2, 6, 0]], "int32")
KINDS = {
    "show and tell": {"attention": "none"},
    "show, attend and tell": {"num_layers": 2, "dropout": 0.0},
    "GRU": {"cell": "gru", "attention": "input_feeding"},
    "LSTM over a Transformer": {
        "encoder_layers": 1,
        "num_heads": 2,
        "feed_forward_units": 8,
    },
    "Transformer": {"kind": "transformer", "num_heads": 2, "feed_forward_units": 8},
    "two Transformers": {
        "kind": "transformer",
        "encoder_layers": 1,
        "colour_filters": 3,
        "num_heads": 2,
        "feed_forward_units": 8,
    },
}


def captioner(name, images=IMAGES, **arguments):
    keras.utils.set_random_seed(1)
    sizes = {"units": 6, "filters": (4, 5), **KINDS[name], **arguments}
    pixels = images is IMAGES
    model = build_captioner(7, images.shape[1:], pixels=pixels, **sizes)
    generator = np.random.default_rng(2)
    for weight in model.trainable_weights:
        weight.assign(generator.normal(0, 0.6, weight.shape))
    return model


@pytest.mark.parametrize("images", [IMAGES, GRIDS], ids=["pixels", "grids"])
@pytest.mark.parametrize("name", KINDS)
def test_steps_equal_teacher_forcing_and_the_image_matters(name, images):
    model = captioner(name, images)
    outputs = model({"image": images, "target_ids": TARGETS})
    places = np.prod(model.grid_shape)
    assert model.grid_shape == ((4, 3) if images is IMAGES else (2, 3))
    assert outputs["attention"].shape == (2, 3, places)
    state = model.begin(images)
    for step in range(3):
        logits, state, attention = model.decoder.step(TARGETS[:, step], state)
        np.testing.assert_allclose(logits[0], outputs["logits"][0, step], atol=1e-5)
        looked = outputs["attention"][0, step]
        np.testing.assert_allclose(attention[0], looked, atol=1e-5)
    other = model({"image": images[::-1].copy(), "target_ids": TARGETS})
    assert np.abs(other["logits"] - outputs["logits"]).max() > 1e-3


@pytest.mark.parametrize("name", KINDS)
def test_captions_read_at_one_look_are_read_as_each_alone(name):
    model = captioner(name)
    targets = np.array([[2, 4, 5], [2, 6, 0], [2, 5, 5], [0, 0, 0]], "int32")
    together = model({"image": IMAGES, "target_ids": targets})
    images = IMAGES[[0, 0, 1, 1]]
    alone = model({"image": images, "target_ids": targets})
    for output in ("logits", "attention"):
        np.testing.assert_allclose(together[output], alone[output], atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_every_weight_learns(name):
    import tensorflow as tf

    model = captioner(name)
    with tf.GradientTape() as tape:
        outputs = model({"image": IMAGES, "target_ids": TARGETS}, training=True)
        loss = tf.reduce_sum(outputs["logits"] ** 2)
    weights = model.trainable_weights
    for weight, gradient in zip(
        weights, tape.gradient(loss, [w.value for w in weights]), strict=True
    ):
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, weight.path


@pytest.mark.parametrize("name", KINDS)
def test_it_is_saved_whole_and_can_still_write(name, tmp_path):
    model = captioner(name)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    options = DecodingOptions(beam=3, max_length=5)
    found, again = (
        generate(one.decoder, one.begin(IMAGES), options) for one in (model, loaded)
    )
    np.testing.assert_array_equal(found.token_ids, again.token_ids)
    np.testing.assert_allclose(found.scores, again.scores, atol=1e-6)


def test_the_place_of_a_thing_matters():
    """The same grid turned round is another picture, to a Transformer too."""
    model = captioner("Transformer", GRIDS)
    turned = GRIDS[:, :, ::-1].copy()
    logits = model({"image": GRIDS, "target_ids": TARGETS})["logits"]
    others = model({"image": turned, "target_ids": TARGETS})["logits"]
    assert np.abs(logits - others).max() > 1e-3


def test_training_turns_what_shapes_are_learned_from_and_no_colours():
    model = captioner("two Transformers")
    seen = keras.Model(model.input["image"], model.get_layer("seen").output)
    assert seen.output.shape[-1] == 5 + 3
    still, trained = seen(IMAGES).numpy(), seen(IMAGES, training=True).numpy()
    np.testing.assert_array_equal(trained[..., 5:], still[..., 5:])
    np.testing.assert_allclose(
        still[..., 5:], model.get_layer("colours")(IMAGES), atol=1e-6
    )
    assert np.abs(trained[..., :5] - still[..., :5]).max() > 1e-2


def test_penalty_of_uneven_looks_by_hand():
    attention = np.array([[[1.0, 0.0], [0.5, 0.5], [0.9, 0.1]]], "float32")
    labels = np.array([[5, 3, 0]])
    # The places got 1.5 and 0.5 in the two real steps.
    assert float(doubly_stochastic_penalty(attention, labels)) == pytest.approx(0.5)
    even = np.array([[[1.0, 0.0], [0.0, 1.0], [0.9, 0.1]]], "float32")
    assert float(doubly_stochastic_penalty(even, labels)) == pytest.approx(0.0)


def test_loss_of_undetected_words_by_hand():
    words = np.array([[9.0, 2.0, -1.0, 0.5, 3.0], [9.0, 1.0, 1.0, 1.0, 1.0]], "float32")
    common = np.array([[3, 0], [1, 4]])  # 0 is padding
    rare = np.array([[1], [0]])

    def cost(logit, there):
        return np.log1p(np.exp(-logit if there else logit))

    # Whether the first has piece 1 is not known.
    first = cost(0.5, True) + cost(-1.0, False) + cost(3.0, False)
    second = 2 * cost(1.0, True) + 2 * cost(1.0, False)
    found = float(word_detection_loss(words, common, rare))
    assert found == pytest.approx(first + second, abs=1e-4)


@pytest.mark.parametrize("name", ["show, attend and tell", "Transformer"])
def test_words_are_detected_where_they_are_seen_best(name, tmp_path):
    model = captioner(name, GRIDS, word_detection=True)
    words = model({"image": GRIDS, "target_ids": TARGETS})["words"]
    kernel, bias = model.get_layer("words").get_weights()
    wanted = (GRIDS.reshape(2, 6, 5) @ kernel + bias).max(axis=1)
    np.testing.assert_allclose(words, wanted, atol=1e-5)
    # The captions tell nothing of it.
    others = model({"image": GRIDS, "target_ids": TARGETS[::-1].copy()})["words"]
    np.testing.assert_allclose(others, words, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    again = loaded({"image": GRIDS, "target_ids": TARGETS})["words"]
    np.testing.assert_allclose(again, words, atol=1e-6)


def test_a_wrong_kind_is_told():
    with pytest.raises(ValueError, match="kind must be one of recurrent, transformer"):
        build_captioner(7, (8, 8, 3), kind="convolutional")


def test_layers_between_places_let_them_know_each_other():
    """Else a place is read the same whatever else is in the image."""
    other = GRIDS.copy()
    other[:, 0, 0, 0] += 1.0
    for layers, alone in ((0, True), (1, False)):
        sizes = {"encoder_layers": layers, "num_heads": 2, "feed_forward_units": 8}
        model = captioner("show, attend and tell", GRIDS, **sizes)
        first, second = (np.array(model.encode(grid)[0]) for grid in (GRIDS, other))
        assert np.abs(first - second)[:, 0].max() > 1e-3
        assert (np.abs(first - second)[:, 1:].max() < 1e-6) == alone
