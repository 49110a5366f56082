"""Decoding against all sequences there are, and against plain loops."""

import numpy as np
import pytest
import tensorflow as tf
from toy_decoder import SOURCE_STEPS, Reference, ToyDecoder, memory

from seqloom.layers.decoding import decode, generate
from seqloom.layers.decoding_loop import DecodingLoop
from seqloom.layers.decoding_options import DecodingOptions

NUMBERS = [1, 2, 3]
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]], bool)
PREFIX = np.array([[5, 1, 0], [0, 0, 0], [4, 4, 4]], "int32")

# Switches, each a graph of its own, and numbers to try with them.
OPTIONS = [
    (
        {},
        [
            {},
            {"length_penalty": -0.8},
            {"length_penalty": 1.0, "max_length": [0, 2, 4]},
            {"min_length": [2, 0, 3], "max_length": [2, 3, 4]},
        ],
    ),
    ({"coverage_penalty": 0.7, "allow_unknown": False}, [{"length_penalty": 1.3}]),
    ({"repetition_penalty": 0.4}, [{"length_penalty": 0.6}]),
    ({"no_repeat_ngram": 1}, [{}]),
    ({"no_repeat_ngram": 2}, [{}, {"min_length": [4, 4, 3]}]),
    ({"prefix": PREFIX, "no_repeat_ngram": 1}, [{}, {"max_length": [4, 2, 1]}]),
    (
        {
            "prefix": PREFIX,
            "repetition_penalty": 1.7,
            "no_repeat_ngram": 2,
            "coverage_penalty": 0.3,
            "allow_unknown": False,
        },
        [{"length_penalty": 1.0, "min_length": [2, 1, 3], "max_length": [3, 4, 4]}],
    ),
]


def traced(toy, mask=None, prefix=None, collect_attention=False, **switches):
    """A graph that knows neither sizes nor numbers."""
    number, lengths = tf.TensorSpec([], tf.int32), tf.TensorSpec([None], tf.int32)
    alpha, read = tf.TensorSpec([], tf.float32), tf.TensorSpec([None, None, 1])

    @tf.function(input_signature=[read, number, number, alpha, lengths, lengths])
    def run(memory, *numbers):
        names = "beam", "n_best", "length_penalty", "min_length", "max_length"
        options = DecodingOptions(**dict(zip(names, numbers, strict=True)), **switches)
        return generate(
            toy,
            toy.begin(memory),
            options,
            prefix,
            source_mask=mask,
            collect_attention=collect_attention,
        )

    def call(sources, beam, n_best, length_penalty=0.0, min_length=0, max_length=4):
        def each(length):
            return np.broadcast_to(np.array(length, "int32"), [len(sources)])

        numbers = beam, n_best, length_penalty, each(min_length), each(max_length)
        return run(memory(sources), *numbers)

    return call


def plain_options(options, row):
    """The options of one source."""
    picked = {
        name: value[row] if np.ndim(value) else value for name, value in options.items()
    }
    if "prefix" in options:
        picked["prefix"] = [int(token) for token in options["prefix"][row] if token]
    return picked


def assert_found(found, wanted):
    """Compare hypotheses of all sources with lists of (tokens, score, log p)."""
    for row, hypotheses in enumerate(wanted):
        number = found.scores.shape[1]
        assert np.isneginf(found.scores[row, len(hypotheses) :]).all()
        assert not np.any(found.token_ids[row, len(hypotheses) :])
        for place, (tokens, penalized, plain) in enumerate(hypotheses[:number]):
            length = int(found.lengths[row, place])
            ids = found.token_ids[row, place].numpy().tolist()
            assert (ids[:length], ids[length:]) == (
                list(tokens),
                [0] * len(ids[length:]),
            )
            np.testing.assert_allclose(found.scores[row, place], penalized, atol=1e-5)
            np.testing.assert_allclose(
                found.log_probabilities[row, place], plain, atol=1e-5
            )


@pytest.mark.parametrize(("switches", "tried"), OPTIONS)
def test_a_narrow_beam_searches_by_lists_and_a_wide_one_finds_the_best(switches, tried):
    toy = ToyDecoder(vocabulary_size=260)
    mask = MASK if "coverage_penalty" in switches else None
    run = traced(toy, mask, **switches)
    for numbers in tried:
        options = {**switches, **numbers}
        references = [
            Reference(toy, number, MASK[row], **plain_options(options, row))
            for row, number in enumerate(NUMBERS)
        ]
        for beam in (1, 2, 3, 5):
            n_best = min(beam, 3)
            found = run(NUMBERS, beam, n_best, **numbers)
            assert_found(found, [one.search(beam, n_best) for one in references])
        found = run(NUMBERS, 256, 7, **numbers)
        assert_found(found, [one.exhaust(7) for one in references])


def test_greedy_is_the_loop_of_an_argmax():
    toy = ToyDecoder(scale=1.0)
    numbers = range(20)
    found = traced(toy)(numbers, 1, 1, 1.0, max_length=9)
    for row, number in enumerate(numbers):
        written, total = toy.greedy(number, 9)
        length = found.lengths[row, 0]
        assert found.token_ids[row, 0, :length].numpy().tolist() == written
        np.testing.assert_allclose(found.log_probabilities[row, 0], total, atol=1e-5)
    assert len(set(found.lengths.numpy().ravel())) > 3


MANY = np.arange(12)
LENGTHS_SPEC = tf.TensorSpec([None], tf.int32)
LENGTHS = np.array([7, 0, 3, 9, 1, 1, 9, 4, 2, 6, 0, 5], "int32")


ALL = {
    "length_penalty": 1.0,
    "coverage_penalty": 0.2,
    "repetition_penalty": 1.5,
    "no_repeat_ngram": 3,
}


@pytest.mark.parametrize(("beam", "options"), [(1, {}), (4, {}), (4, ALL)])
def test_what_else_is_in_the_batch_does_not_matter(options, beam):
    """Sources that are finished leave it, at different times."""
    toy = ToyDecoder()
    mask = tf.ones((12, SOURCE_STEPS), tf.bool)

    @tf.function(input_signature=[tf.TensorSpec([None, None, 1]), LENGTHS_SPEC])
    def run(memory, lengths):
        wanted = DecodingOptions(beam, beam, max_length=lengths, **options)
        seen = mask[: tf.shape(memory)[0]]
        return generate(
            toy, toy.begin(memory), wanted, source_mask=seen, collect_attention=True
        )

    toy.rows_asked.assign(0)
    together = run(memory(MANY), LENGTHS)
    asked = int(toy.rows_asked)
    toy.rows_asked.assign(0)
    for row in MANY:
        alone = run(memory(MANY[row : row + 1]), LENGTHS[row : row + 1])
        steps = alone.token_ids.shape[2]
        assert not np.any(together.token_ids[row, :, steps:])
        for ours, theirs in zip(together, alone, strict=True):
            ours = ours[row, :, :steps] if ours.shape.rank > 2 else ours[row]
            np.testing.assert_allclose(ours, theirs[0], atol=1e-5)
    # Most of what could be left out was.
    assert int(toy.rows_asked) <= asked <= 1.4 * int(toy.rows_asked)


@pytest.mark.parametrize(("alpha", "repeats"), [(-1, 1), (0, 3), (1.5, 1)])
def test_stopping_early_changes_nothing_but_the_time(alpha, repeats):
    toy = ToyDecoder(scale=1.0)
    options = DecodingOptions(
        3, 2, alpha, 0.1, max_length=12, repetition_penalty=repeats
    )
    mask = tf.ones((len(MANY), SOURCE_STEPS), tf.bool)

    @tf.function(autograph=False)
    def run(early):
        state = toy.begin(memory(MANY))
        loop = DecodingLoop(toy, state, options, source_mask=mask, stop_early=early)
        return decode(loop)

    asked = []
    found = []
    for early in (True, False):
        toy.rows_asked.assign(0)
        found.append(run(early))
        asked.append(int(toy.rows_asked))
    for ours, theirs in zip(found[0][:4], found[1][:4], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert asked[0] < 0.95 * asked[1]


def test_attention_is_that_of_each_token():
    toy = ToyDecoder()
    found = traced(toy, collect_attention=True)(NUMBERS, 4, 3, max_length=6)
    assert found.attention.shape == (*found.token_ids.shape, SOURCE_STEPS)
    for row, number in enumerate(NUMBERS):
        for place in range(3):
            length = int(found.lengths[row, place])
            written = found.token_ids[row, place].numpy().tolist()
            for step in range(length):
                wanted = toy.attention[toy.row(number, written[:step])]
                got = found.attention[row, place, step]
                np.testing.assert_allclose(got, wanted, atol=1e-6)
            assert not np.any(found.attention[row, place, length:])


def test_a_batch_of_no_source():
    run = traced(ToyDecoder(), collect_attention=True)
    found = run([], 3, 2)
    assert found.token_ids.shape == (0, 2, 0)
    assert found.scores.shape == (0, 2)
    assert found.attention.shape == (0, 2, 0, 0)


def test_logits_without_a_number_end_too():
    toy = ToyDecoder()
    toy.logits[:] = np.nan
    found = traced(toy)(NUMBERS, 2, 1, max_length=3)
    assert found.lengths.shape == (3, 1)


def test_equal_scores_go_to_the_lower_token_and_the_earlier_hypothesis():
    toy = ToyDecoder(vocabulary_size=7)
    toy.logits[:] = 0.0
    found = traced(toy)([1], 3, 3, min_length=2, max_length=2)
    assert found.token_ids.numpy().tolist() == [[[1, 1], [1, 4], [1, 5]]]
