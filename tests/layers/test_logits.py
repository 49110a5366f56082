"""Scores of the next token against NumPy."""

import keras
import numpy as np
import pytest
from contracts import check_layer

from seqloom.layers import TokenEmbedding, TokenLogits

FEATURES = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")


def logits(embedding=None, **arguments):
    """A layer over 7 tokens with weights that matter."""
    layer = TokenLogits(7, embedding, **arguments)
    layer.build(FEATURES.shape)
    random = np.random.default_rng(1)
    layer.set_weights([random.normal(size=w.shape) for w in layer.weights])
    return layer


@pytest.mark.parametrize("features", [FEATURES, FEATURES[0], FEATURES[0, 0]])
def test_its_own_matrix_and_a_bias(features):
    layer = logits()
    want = features @ layer.kernel.numpy() + layer.bias.numpy()
    np.testing.assert_allclose(layer(features), want, atol=1e-5)


@pytest.mark.parametrize("features", [FEATURES, FEATURES[0], FEATURES[:0]])
@pytest.mark.parametrize("width", [4, 5])
def test_tied_to_the_table_of_an_embedding(features, width):
    layer = logits(TokenEmbedding(7, width))
    x = features
    if width != 4:
        x = x @ layer.projection.kernel.numpy() + layer.projection.bias.numpy()
    want = x @ layer.embedding.table.numpy().T + layer.bias.numpy()
    np.testing.assert_allclose(layer(features), want, atol=1e-5)
    assert (layer.projection is None) is (width == 4)


@pytest.mark.parametrize("width", [None, 4, 5])
def test_contract(width):
    layer = TokenLogits(7, None if width is None else TokenEmbedding(7, width))
    check_layer(layer, FEATURES)
    check_layer(layer, FEATURES[0])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_logits_are_float32_and_keep_the_mask(policy):
    embedding = TokenEmbedding(7, 4, dtype=policy)
    ids = np.array([[2, 3, 0]])
    scores = logits(embedding, dtype=policy)(embedding(ids))
    assert scores.dtype == "float32"
    np.testing.assert_array_equal(scores._keras_mask, ids != 0)


def test_the_table_is_one_weight_and_stays_so_when_saved(tmp_path):
    embedding = TokenEmbedding(7, 4, name="pieces")
    ids = keras.Input([None], dtype="int32")
    model = keras.Model(ids, logits(embedding, name="logits")(embedding(ids)))
    assert len(model.trainable_variables) == 2
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.get_layer("logits").embedding is loaded.get_layer("pieces")
    assert len(loaded.trainable_variables) == 2
    ids = np.array([[2, 5, 0]])
    np.testing.assert_array_equal(model(ids), loaded(ids))


def test_errors_say_what_where_and_how():
    with pytest.raises(ValueError, match=r"integer vocabulary_size >= 1, got .*=0"):
        TokenLogits(0)
    with pytest.raises(
        ValueError, match=r"size=7 cannot be tied to an embedding of 9 ids. Give both"
    ):
        TokenLogits(7, TokenEmbedding(9, 4))
