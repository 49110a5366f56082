"""Words from characters: by convolution and by recurrence."""

import keras
import numpy as np
import pytest
from contracts import check_layer

from seqloom.layers import CharacterConvolution, CharacterRecurrence

LENGTHS = np.array([[3, 1, 0], [5, 0, 0], [0, 0, 0]])  # characters of the words
REAL = np.arange(5) < LENGTHS[..., None]
CHAR_IDS = np.where(REAL, np.random.default_rng(0).integers(1, 9, REAL.shape), 0)
CHAR_IDS = CHAR_IDS.astype("int32")


def convolution(**arguments):
    return CharacterConvolution(9, 4, 6, **arguments)


def recurrence(**arguments):
    return CharacterRecurrence(9, 4, 6, **arguments)


@pytest.fixture(params=[convolution, recurrence])
def layer(request):
    layer = request.param()
    layer.build((None, None, None))
    random = np.random.default_rng(1)
    layer.set_weights([random.normal(size=w.shape) for w in layer.weights])
    return layer


def test_convolution_agrees_with_a_loop():
    layer = convolution(kernel_sizes=(2, 3))
    layer(CHAR_IDS)
    random = np.random.default_rng(1)
    layer.set_weights([random.normal(size=w.shape) for w in layer.weights])
    table, *filters = layer.get_weights()
    output = np.zeros((*LENGTHS.shape, 6))
    for word in zip(*np.nonzero(LENGTHS), strict=True):
        characters = np.pad(table[CHAR_IDS[word][: LENGTHS[word]]], ((1, 1), (0, 0)))
        answers = []
        for kernel, bias, first in zip(
            filters[::2], filters[1::2], (1, 0), strict=True
        ):
            # A kernel of even width sees one character more to the right.
            windows = [
                characters[first + c : first + c + len(kernel)]
                for c in range(LENGTHS[word])
            ]
            answers.append(np.tensordot(windows, kernel, 2) + bias)
        output[word] = np.concatenate(answers, axis=-1).max(axis=0)
    np.testing.assert_allclose(layer(CHAR_IDS), output, atol=1e-5)


def test_recurrence_agrees_with_a_bidirectional_layer():
    layer = recurrence(cell="gru")
    layer(CHAR_IDS)
    random = np.random.default_rng(1)
    layer.set_weights([random.normal(size=w.shape) for w in layer.weights])
    table, *weights = layer.get_weights()
    builtin = keras.layers.Bidirectional(keras.layers.GRU(3))
    builtin.build((None, None, 4))
    builtin.set_weights(weights)
    output = np.zeros((*LENGTHS.shape, 6))
    for word in zip(*np.nonzero(LENGTHS), strict=True):
        output[word] = builtin(table[CHAR_IDS[word][: LENGTHS[word]]][None])[0]
    np.testing.assert_allclose(layer(CHAR_IDS), output, atol=1e-5)


def test_more_padding_does_not_matter(layer):
    wider = np.pad(CHAR_IDS, ((0, 1), (0, 2), (0, 4)))
    output = layer(wider).numpy()
    np.testing.assert_allclose(output[:3, :3], layer(CHAR_IDS), atol=1e-6)
    assert np.all(output[np.pad(LENGTHS, ((0, 1), (0, 2))) == 0] == 0)


def test_words_without_characters_are_masked(layer):
    np.testing.assert_array_equal(layer(CHAR_IDS)._keras_mask, LENGTHS > 0)
    assert np.all(layer(CHAR_IDS).numpy()[LENGTHS > 0] != 0)


def test_use_cudnn_reaches_the_encoder():
    layer = recurrence()
    layer.use_cudnn = False
    assert layer.encoder.use_cudnn is False


@pytest.mark.parametrize("make", [convolution, recurrence])
def test_dropout_acts_in_training_alone(make):
    layer = make(dropout=0.5)
    still = layer(CHAR_IDS)
    np.testing.assert_array_equal(still, layer(CHAR_IDS, training=False))
    assert not np.allclose(still, layer(CHAR_IDS, training=True))
    assert np.all(layer(CHAR_IDS, training=True).numpy()[LENGTHS == 0] == 0)


@pytest.mark.parametrize(
    "layer",
    [convolution(), convolution(kernel_sizes=(2, 3)), recurrence(cell="simple")],
    ids=["one kernel", "two kernels", "recurrence"],
)
@pytest.mark.filterwarnings("error:.*does not support masking")
def test_contract(layer):
    check_layer(layer, CHAR_IDS)


def test_errors_say_what_where_and_how():
    with pytest.raises(ValueError, match=r"units=5 equally .* make units a multiple"):
        CharacterConvolution(9, 4, 5, kernel_sizes=(2, 3))
    with pytest.raises(ValueError, match=r"name at least one size"):
        CharacterConvolution(9, 4, 5, kernel_sizes=())
    with pytest.raises(ValueError, match=r"even units, got units=5: .* Try 6"):
        CharacterRecurrence(9, 4, 5)
    with pytest.raises(ValueError, match=r"vocabulary_size=0"):
        CharacterRecurrence(0, 4, 6)
