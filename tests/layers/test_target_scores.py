"""Scores of given texts against those of found ones, for toys and for decoders."""

import numpy as np
import pytest
import tensorflow as tf
from toy_decoder import END, ToyDecoder, log_softmax, memory

from seqloom.layers import RecurrentDecoder
from seqloom.layers.decoding import generate
from seqloom.layers.decoding_options import DecodingOptions
from seqloom.layers.target_scores import score
from seqloom.layers.transformer_decoder import TransformerDecoder

NUMBERS = [1, 2, 3]
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]], bool)


def test_given_texts_score_as_found_ones():
    toy = ToyDecoder()
    penalties = {"length_penalty": 0.8, "coverage_penalty": 0.4}
    options = DecodingOptions(5, 4, max_length=4, **penalties)
    state = toy.begin(memory(NUMBERS))
    found = generate(toy, state, options, source_mask=MASK)
    for place in range(4):
        ids = found.token_ids[:, place]
        given = score(toy, ids, memory(NUMBERS), MASK, **penalties)
        np.testing.assert_allclose(given.scores, found.scores[:, place], atol=1e-5)
        plain = found.log_probabilities[:, place]
        np.testing.assert_allclose(given.log_probabilities, plain, atol=1e-5)
        each = given.token_log_probabilities
        assert each.shape == (3, ids.shape[1] + 1)
        np.testing.assert_allclose(np.sum(each, axis=1), plain, atol=1e-5)
        after = np.arange(each.shape[1]) > found.lengths[:, place : place + 1]
        assert not np.any(each.numpy()[after])
    # The first of them in full, by the tables.
    number, ids = NUMBERS[0], found.token_ids[0, 0, : found.lengths[0, 0]].numpy()
    steps = [toy.logits[toy.row(number, ids[:step])] for step in range(len(ids) + 1)]
    wanted = [
        log_softmax(logits)[token]
        for logits, token in zip(steps, [*ids, END], strict=True)
    ]
    given = score(toy, found.token_ids[:, 0], memory(NUMBERS))
    got = given.token_log_probabilities[0, : len(wanted)]
    np.testing.assert_allclose(got, wanted, atol=1e-5)
    np.testing.assert_allclose(given.scores, given.log_probabilities)


def lively_weights(layer, seed):
    """So that texts have different lengths and tokens."""
    random = np.random.default_rng(seed)
    scales = [2.0 if len(w.shape) > 1 else 0.3 for w in layer.weights]
    return [
        random.normal(size=w.shape) * scale + ("gamma" in w.path)
        for w, scale in zip(layer.weights, scales, strict=True)
    ]


@pytest.mark.parametrize(
    ("decoder", "seed"),
    [
        (RecurrentDecoder(9, 6, cell="lstm", num_layers=2), 2),
        (TransformerDecoder(9, 8, 2, 2, 8), 1),
    ],
    ids=["recurrent", "transformer"],
)
def test_decoders_write_as_they_were_taught(decoder, seed):
    """Step by step, batched and dropped from the batch, as by reading everything."""
    random = np.random.default_rng(0)
    seen = random.normal(size=(8, 5, 4)).astype("float32")
    mask = np.arange(5) < random.integers(1, 6, size=8)[:, None]
    decoder(np.array([[2]] * 8), seen)
    decoder.set_weights(lively_weights(decoder, seed))

    @tf.function(input_signature=[tf.TensorSpec([None, None, 4])])
    def run(memory):
        state = decoder.begin(memory, mask)
        return generate(decoder, state, DecodingOptions(max_length=7))

    found = run(seen)
    written = np.full((8, 1), 2)
    for step in range(found.token_ids.shape[2]):
        logits = decoder(written, seen, memory_mask=mask)[0].numpy()[:, -1]
        logits[:, [0, 2]] = -np.inf
        best = logits.argmax(axis=1)
        real = step < found.lengths[:, 0].numpy()
        got = found.token_ids.numpy()[:, 0, step]
        np.testing.assert_array_equal(got[real], best[real])
        np.testing.assert_array_equal(best[step == found.lengths[:, 0]], END)
        written = np.concatenate([written, best[:, None]], axis=1)
    assert len(set(found.lengths.numpy().ravel())) > 1
    given = score(decoder, found.token_ids[:, 0], seen, mask)
    plain = found.log_probabilities[:, 0]
    np.testing.assert_allclose(given.log_probabilities, plain, atol=1e-4)
