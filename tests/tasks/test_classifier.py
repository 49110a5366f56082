"""The classifier: encoders, poolings, its loss, and how Keras treats it."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_classifier import LABELS, VOCABULARY, classifier

from seqloom.layers import RecurrentEncoder
from seqloom.tasks.classifier import Classifier, classification_loss

ENCODERS = ("none", "recurrent", "transformer", "pretrained")
POOLINGS = ("attention", "mean", "max", "last")
LENGTHS = np.array([6, 2, 1])


def random_ids(seed=0):
    ids = np.random.default_rng(seed).integers(1, VOCABULARY, (3, 6), "int32")
    return np.where(np.arange(6) < LENGTHS[:, None], ids, 0)


@pytest.fixture(
    scope="module",
    params=itertools.product(ENCODERS, POOLINGS),
    ids=lambda param: "-".join(param),
)
def model(request):
    return classifier(*request.param)


def test_outputs_have_their_shapes(model):
    outputs = model({"piece_ids": random_ids()})
    assert outputs["logits"].shape == (3, LABELS)
    assert outputs["logits"].dtype == outputs["weights"].dtype == tf.float32
    assert np.std(outputs["logits"]) > 0.1


def test_weights_sum_to_one_over_the_pieces(model):
    weights = model({"piece_ids": random_ids()})["weights"].numpy()
    assert weights.shape == (3, 6)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    assert (weights >= 0).all()
    assert (weights[np.arange(6) >= LENGTHS[:, None]] == 0).all()


def test_padding_does_not_matter(model):
    """A padded batch is its texts, one by one."""
    outputs = model({"piece_ids": random_ids()})
    for row, length in enumerate(LENGTHS):
        alone = model({"piece_ids": random_ids()[row : row + 1, :length]})
        np.testing.assert_allclose(
            outputs["logits"][row], alone["logits"][0], atol=1e-5
        )
        np.testing.assert_allclose(
            outputs["weights"][row, :length], alone["weights"][0], atol=1e-5
        )


def test_a_saved_classifier_is_loaded_equal(model, tmp_path):
    model.save(tmp_path / "classifier.keras")
    loaded = keras.models.load_model(tmp_path / "classifier.keras")
    assert isinstance(loaded, Classifier)
    assert loaded.embedding.name == model.embedding.name
    ids = random_ids()
    expected, found = model({"piece_ids": ids}), loaded({"piece_ids": ids})
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6)


@pytest.mark.parametrize("cell", ["gru", "lstm", "simple"])
def test_last_is_the_final_states_of_both_directions(cell):
    model = classifier("recurrent", "last", cell=cell, num_layers=2)
    encoder = model.get_layer("encoder")
    twin = RecurrentEncoder.from_config({**encoder.get_config(), "return_state": True})
    ids = random_ids()
    vectors = model.get_layer("pieces")(ids)
    _, *states = twin(vectors, mask=ids != 0)
    twin.set_weights(encoder.get_weights())
    _, *states = twin(vectors, mask=ids != 0)
    step = 2 if cell == "lstm" else 1  # h alone
    pooled = np.concatenate(states[-2 * step :: step], axis=1)
    kernel, bias = model.get_layer("labels").get_weights()
    outputs = model({"piece_ids": ids})
    np.testing.assert_allclose(outputs["logits"], pooled @ kernel + bias, atol=1e-5)
    expected = np.zeros((3, 6))
    expected[:, 0] += 0.5
    expected[range(3), LENGTHS - 1] += 0.5
    np.testing.assert_array_equal(outputs["weights"], expected)


def test_position_of_any_kind_fits_the_longest_text():
    for position in ("learned", "rotary", "none"):
        model = classifier("transformer", position=position, max_length=6)
        assert np.isfinite(model({"piece_ids": random_ids()})["logits"]).all()


def test_an_unknown_encoder_is_told():
    with pytest.raises(
        ValueError, match="one of none, recurrent, transformer, got 'rnn'"
    ):
        classifier("rnn")


# === Loss ===


def loss_by_hand(labels, logits, smoothing, weights):
    total = 0.0
    for label, row in zip(labels, logits, strict=True):
        log_shares = row - np.log(np.exp(row).sum())
        targets = np.full(len(row), smoothing / len(row))
        targets[label] += 1 - smoothing
        total -= weights[label] * (targets * log_shares).sum()
    return total


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 1.5]])
def test_loss_agrees_with_a_loop(smoothing, weights):
    logits = np.random.default_rng(1).normal(0, 3, (4, 3)).astype("float32")
    labels = np.array([0, 2, 2, 1])
    total, weight = classification_loss(labels, logits, smoothing, weights)
    used = weights or [1.0, 1.0, 1.0]
    np.testing.assert_allclose(
        total, loss_by_hand(labels, logits, smoothing, used), rtol=1e-5
    )
    assert float(weight) == sum(used[label] for label in labels)


def test_loss_is_keras_cross_entropy():
    logits = np.random.default_rng(2).normal(0, 3, (5, 3)).astype("float32")
    labels = np.array([0, 2, 2, 1, 0])
    total, weight = classification_loss(labels, logits, 0.1)
    expected = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.1
    )(np.eye(3)[labels], logits)
    np.testing.assert_allclose(total / weight, expected, rtol=1e-5)


@pytest.mark.parametrize("encoder", ["recurrent", "pretrained"])
def test_compile_and_fit_of_keras_learn(encoder):
    keras.utils.set_random_seed(3)
    model = classifier(encoder)
    ids, labels = random_ids(), np.array([0, 2, 1])
    model.compile(keras.optimizers.Adam(0.01))
    before = model.evaluate({"piece_ids": ids}, labels, verbose=0)
    logits = model({"piece_ids": ids})["logits"]
    total, weight = classification_loss(labels, logits)
    np.testing.assert_allclose(before, total / weight, rtol=1e-5)
    data = tf.data.Dataset.from_tensors(({"piece_ids": ids}, labels)).repeat(60)
    model.fit(data, verbose=0)
    assert model.evaluate({"piece_ids": ids}, labels, verbose=0) < 0.1 < before
