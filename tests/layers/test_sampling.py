"""Drawn texts against the probabilities of the tables."""

import numpy as np
import pytest
import tensorflow as tf
from toy_decoder import END, Reference, ToyDecoder, log_softmax, memory

from seqloom.layers.decoding import generate
from seqloom.layers.decoding_options import DecodingOptions
from seqloom.layers.sampling import draw_tokens

NUMBERS = [3, 8]


def draw(toy, number, numbers=NUMBERS, prefix=None, **options):
    """Draw `number` texts for each source."""

    @tf.function(input_signature=[tf.TensorSpec([None, None, 1])])
    def run(memory):
        wanted = {"max_length": 3, "n_best": number, "sample": True, **options}
        state = toy.begin(memory)
        return generate(toy, state, DecodingOptions(**wanted), prefix, seed=(1, 2))

    return run(memory(numbers))


def shares(logits, tokens, temperature=1.0, top_k=0, top_p=1.0):
    """Probability of each token of the list `tokens`, by sorting."""
    logits = np.array([logits[token] for token in tokens], "float64") / temperature
    order = np.argsort(-logits)
    kept = order[: top_k or len(order)]
    probabilities = np.exp(log_softmax(logits[kept]))
    before = np.cumsum(probabilities) - probabilities
    kept, probabilities = kept[before < top_p], probabilities[before < top_p]
    return {
        tokens[place]: share / probabilities.sum()
        for place, share in zip(kept, probabilities, strict=True)
    }


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.6},
        {"top_k": 2},
        {"top_p": 0.7},
        {"temperature": 1.8, "top_k": 4, "top_p": 0.8, "min_length": 1},
    ],
)
def test_tokens_are_as_frequent_as_probable(options):
    toy, number = ToyDecoder(), 4000
    found = draw(toy, number, **options)
    for row, source in enumerate(NUMBERS):
        length = found.lengths[row].numpy()
        texts = found.token_ids[row].numpy()
        writable = [1, 4, 5, 6] if "min_length" in options else [1, 3, 4, 5, 6]
        cut = {name: options[name] for name in options if name != "min_length"}
        # The first token, and what comes after the most frequent first one.
        wanted = shares(toy.logits[toy.row(source, [])], writable, **cut)
        first = np.where(length > 0, texts[:, 0], END)
        assert_frequencies(first, wanted)
        common = max(wanted, key=lambda token: wanted[token] * (token != END))
        chosen = first == common
        second = np.where(length > 1, texts[:, 1], END)[chosen]
        logits = toy.logits[toy.row(source, [common])]
        assert_frequencies(second, shares(logits, [1, 3, 4, 5, 6], **cut))


def assert_frequencies(tokens, wanted):
    """Within four standard deviations, and no token that is not wanted."""
    assert set(tokens) <= set(wanted)
    for token, share in wanted.items():
        deviation = np.sqrt(share * (1 - share) / len(tokens))
        assert abs(np.mean(tokens == token) - share) <= 4 * deviation + 1e-9


def test_scores_are_those_of_the_model_best_first():
    toy = ToyDecoder()
    options = {"length_penalty": 0.7, "repetition_penalty": 1.4}
    found = draw(toy, 6, temperature=2.0, top_k=3, min_length=1, **options)
    for row, number in enumerate(NUMBERS):
        reference = Reference(toy, number, max_length=3, **options)
        for place in range(6):
            written = found.token_ids[row, place, : found.lengths[row, place]].numpy()
            total = plain = 0.0
            for step, token in enumerate([*written, END]):
                gains, plain_gains = reference.gains(tuple(written[:step]))
                total, plain = total + gains[token], plain + plain_gains[token]
            wanted = reference.score(tuple(written), total)
            np.testing.assert_allclose(found.scores[row, place], wanted, atol=1e-5)
            got = found.log_probabilities[row, place]
            np.testing.assert_allclose(got, plain, atol=1e-5)
        assert np.all(np.diff(found.scores[row]) <= 0)
    assert len(np.unique(found.scores)) > 6


def test_rules_hold_for_drawn_texts():
    toy = ToyDecoder(scale=0.5)
    prefix = np.array([[5, 0], [6, 4]], "int32")
    options = {"min_length": 3, "max_length": 4, "no_repeat_ngram": 1}
    found = draw(toy, 50, prefix=prefix, allow_unknown=False, **options)
    texts = found.token_ids.numpy()
    assert np.all(texts[0, :, 0] == 5)
    assert np.all(texts[1, :, :2] == [6, 4])
    # Three tokens may be written, each once: so there is no text of four.
    assert np.all(found.lengths == 3)
    assert np.all(np.sort(texts, axis=2) == [4, 5, 6])


def test_the_seed_decides_and_the_rest_of_the_batch_does_not():
    toy = ToyDecoder(scale=0.5)

    @tf.function(reduce_retracing=True)
    def draw(memory, seed):
        options = DecodingOptions(n_best=3, max_length=8, sample=True)
        return generate(toy, toy.begin(memory), options, seed=seed)

    seed = tf.constant([1, 2])
    wanted = draw(memory(range(10)), seed)
    again = draw(memory(range(10)), seed)
    np.testing.assert_array_equal(wanted.token_ids, again.token_ids)
    fewer = draw(memory(range(4)), seed)
    steps = fewer.token_ids.shape[2]
    np.testing.assert_array_equal(wanted.token_ids[:4, :, :steps], fewer.token_ids)
    # Other sources in the other rows, which end at other times.
    other = draw(memory([0, 1, 2, 33, 44, 55, 66, 77, 88, 9]), seed)
    for row in (0, 1, 2, 9):
        np.testing.assert_array_equal(wanted.scores[row], other.scores[row])
    changed = draw(memory(range(10)), tf.constant([1, 3]))
    assert np.mean(wanted.scores == changed.scores) < 0.2


def test_the_texts_of_a_source_are_drawn_apart():
    found = draw(ToyDecoder(scale=0.1), 40, numbers=[1], max_length=6, min_length=6)
    assert len({tuple(text) for text in found.token_ids[0].numpy()}) > 35


def test_the_edges_of_the_unit_interval_draw_what_has_a_share():
    never = -np.inf
    logits = np.array([[never, 0.0, never, 1.0, never]] * 3, "float32")
    below_one = np.nextafter(np.float32(1), np.float32(0))
    uniform = np.array([0.0, 0.5, below_one], "float32")
    assert draw_tokens(logits, uniform).numpy().tolist() == [1, 3, 3]
    drawn = draw_tokens(logits, uniform, top_k=4, top_p=0.99)
    assert drawn.numpy().tolist() == [3, 3, 1]
    assert draw_tokens(logits, uniform, top_p=0.01).numpy().tolist() == [3, 3, 3]
