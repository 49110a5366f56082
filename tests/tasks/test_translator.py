"""The translation model: its parts, sharing, saving, and what it learns."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from seqloom.layers import DecodingOptions, generate
from seqloom.tasks.translator import build_translator, translation_loss

SMALL = {"units": 8, "num_layers": 2, "num_heads": 2, "feed_forward_units": 12}
KINDS = {
    "transformer": {"kind": "transformer"},
    "no attention": {"kind": "recurrent", "cell": "lstm", "attention": "none"},
    "first layer": {"kind": "recurrent", "attention": "first_layer"},
    "input feeding": {"kind": "recurrent", "attention": "input_feeding"},
}
SOURCE = np.array([[5, 6, 7, 3], [6, 3, 0, 0]], "int32")
TARGET = np.array([[2, 4, 8], [2, 5, 0]], "int32")
LABELS = np.array([[4, 8, 3], [5, 3, 0]], "int32")
FEATURES = {"source_ids": SOURCE, "target_ids": TARGET}


def translator(kind, target_size=None, **changes):
    keras.utils.set_random_seed(1)
    return build_translator(9, target_size, **{**SMALL, **KINDS[kind], **changes})


@pytest.mark.parametrize("kind", KINDS)
def test_one_table_serves_both_sides_unless_they_have_their_own(kind):
    def tables(model):
        return [w.shape[0] for w in model.trainable_weights if w.name == "table"]

    assert tables(translator(kind)) == [9]
    assert sorted(tables(translator(kind, target_size=11))) == [9, 11]
    assert translator(kind, target_size=11)(FEATURES)["logits"].shape == (2, 3, 11)


@pytest.mark.parametrize(
    ("kind", "width"), [*itertools.product(("transformer", "first layer"), (4, 8))]
)
def test_saving_keeps_answers_and_sharing(kind, width, tmp_path):
    model = translator(kind, embedding_units=width)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert len(loaded.trainable_weights) == len(model.trainable_weights)
    np.testing.assert_array_equal(loaded(FEATURES)["logits"], model(FEATURES)["logits"])


@pytest.mark.parametrize("kind", KINDS)
def test_padding_of_either_side_does_not_matter(kind):
    model = translator(kind)
    whole = model(FEATURES)
    alone = model({"source_ids": SOURCE[1:, :2], "target_ids": TARGET[1:, :2]})
    for name in ("logits", "attention"):
        trimmed = whole[name][1:, :2, : alone[name].shape[2]]
        np.testing.assert_allclose(trimmed, alone[name], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_goes_on_from_what_the_encoder_read(kind):
    """The log-probability of what was written is that of teacher forcing."""
    model = translator(kind)
    found = generate(
        model.decoder, model.begin(SOURCE), DecodingOptions(beam=3, max_length=4)
    )
    for row in range(2):
        length = int(found.lengths[row, 0])
        written = found.token_ids[row, 0, :length].numpy()
        features = {
            "source_ids": SOURCE[row : row + 1],
            "target_ids": np.array([[2, *written]], "int32"),
        }
        logs = tf.nn.log_softmax(model(features)["logits"])[0].numpy()
        want = sum(logs[step, token] for step, token in enumerate([*written, 3]))
        got = float(found.log_probabilities[row, 0])
        assert got == pytest.approx(want, abs=1e-4)


def test_keras_own_fit_learns_a_pair_by_heart():
    model = translator("input feeding", dropout=0.0)
    model.compile(keras.optimizers.Adam(0.02))
    losses = model.fit(FEATURES, LABELS, epochs=60, verbose=0).history["loss"]
    assert losses[-1] < 0.1 * losses[0]
    found = generate(model.decoder, model.begin(SOURCE), DecodingOptions(max_length=5))
    np.testing.assert_array_equal(found.token_ids[:, 0], [[4, 8], [5, 0]])


def test_the_loss_counts_real_pieces_only():
    random = np.random.default_rng(0)
    logits = random.normal(size=(2, 3, 9)).astype("float32")
    total, weight = translation_loss(LABELS, logits)
    logs = np.asarray(tf.nn.log_softmax(logits))
    want = -sum(logs[b, t, LABELS[b, t]] for b, t in np.argwhere(LABELS))
    assert float(weight) == 5
    assert float(total) == pytest.approx(want, rel=1e-5)


def test_the_encoder_s_weights_are_those_it_read_with():
    model = translator("transformer")
    weights, memory = model.read(SOURCE[:1])
    assert weights.shape == (1, 2, 2, 4, 4)
    np.testing.assert_allclose(tf.reduce_sum(weights, axis=-1), 1.0, atol=1e-5)
    [want] = model.encode(SOURCE[:1])
    np.testing.assert_allclose(memory, want, atol=1e-6)


def test_an_unknown_kind_is_told():
    with pytest.raises(ValueError, match="kind must be one of recurrent, transformer"):
        build_translator(9, None, kind="convolution")
