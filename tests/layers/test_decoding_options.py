"""Options as numbers and as inputs of a graph, and what is said of wrong ones."""

import re

import numpy as np
import pytest
import tensorflow as tf
from toy_decoder import ToyDecoder, memory

from seqloom.layers.decoding import generate
from seqloom.layers.decoding_options import DecodingOptions
from seqloom.layers.target_scores import score

NUMBERS = [1, 2, 3, 4]


class Server(tf.Module):
    """A decoder to be exported, with options as inputs."""

    def __init__(self, toy, **options):
        super().__init__()
        self.toy, self.options = toy, options
        self.traces = 0

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, 1]),
            tf.TensorSpec([], tf.int32),
            tf.TensorSpec([], tf.int32),
            tf.TensorSpec([], tf.float32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([], tf.float32),
        ]
    )
    def search(self, memory, beam, n_best, length_penalty, max_length, repetition):
        self.traces += 1
        options = DecodingOptions(
            beam=beam,
            n_best=n_best,
            length_penalty=length_penalty,
            max_length=max_length,
            repetition_penalty=repetition,
            **self.options,
        )
        found = generate(self.toy, self.toy.begin(memory), options)
        return {"token_ids": found.token_ids, "scores": found.scores}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, 1]),
            tf.TensorSpec([], tf.int32),
            tf.TensorSpec([], tf.float32),
            tf.TensorSpec([], tf.float32),
            tf.TensorSpec([2], tf.int32),
        ]
    )
    def draw(self, memory, top_k, top_p, temperature, seed):
        options = DecodingOptions(
            n_best=4,
            max_length=5,
            sample=True,
            top_k=top_k,
            top_p=top_p,
            temperature=temperature,
        )
        state = self.toy.begin(memory)
        return generate(self.toy, state, options, seed=seed).token_ids


def eager(toy, numbers=NUMBERS, **options):
    return generate(toy, toy.begin(memory(numbers)), DecodingOptions(**options))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server, and the same from a SavedModel."""
    path = tmp_path_factory.mktemp("saved")
    server = Server(ToyDecoder())
    tf.saved_model.save(server, path)
    return server, tf.saved_model.load(path)


def test_tensors_say_the_same_as_numbers_and_one_graph_serves_all(served):
    server, loaded = served
    traces = set()
    for numbers, beam, n_best, alpha, longest, repetition in [
        ([1, 2, 3, 4], 1, 1, 0.0, 4, 1.0),
        ([5, 6], 4, 2, 1.0, 7, 1.0),
        ([7], 3, 3, -0.5, 2, 2.0),
    ]:
        lengths = np.full(len(numbers), longest, "int32")
        wanted = eager(
            server.toy,
            numbers,
            beam=beam,
            n_best=n_best,
            length_penalty=alpha,
            max_length=longest,
            repetition_penalty=repetition,
        )
        inputs = (memory(numbers), beam, n_best, alpha, lengths, repetition)
        for module in (server, loaded):
            found = module.search(*map(tf.constant, inputs))
            np.testing.assert_array_equal(found["token_ids"], wanted.token_ids)
            np.testing.assert_allclose(found["scores"], wanted.scores, atol=1e-5)
        traces.add(server.traces)
    assert len(traces) == 1


def test_drawing_with_tensors_is_drawing_with_numbers(served):
    server, loaded = served
    for top_k, top_p, temperature in [(0, 1.0, 1.0), (2, 1.0, 0.5), (3, 0.6, 2.0)]:
        wanted = generate(
            server.toy,
            server.toy.begin(memory(NUMBERS)),
            DecodingOptions(
                n_best=4,
                max_length=5,
                sample=True,
                top_k=top_k,
                top_p=top_p,
                temperature=temperature,
            ),
            seed=(4, 5),
        )
        inputs = (memory(NUMBERS), top_k, top_p, temperature, [4, 5])
        for module in (server, loaded):
            found = module.draw(*map(tf.constant, inputs))
            np.testing.assert_array_equal(found, wanted.token_ids)


WRONG = [
    ({"beam": 0}, "DecodingOptions needs beam >= 1, got beam=0."),
    ({"beam": 2.5}, "DecodingOptions needs an integer beam, got beam=2.5."),
    (
        {"beam": [2, 3]},
        "DecodingOptions needs one beam for all sources, got beam=[2 3]",
    ),
    ({"n_best": 0}, "DecodingOptions needs n_best >= 1, got n_best=0."),
    (
        {"beam": 2, "n_best": 3},
        "n_best=3 hypotheses cannot come from beam=2. Ask for fewer, or widen the",
    ),
    (
        {"beam": 41},
        "beam=41 is larger than the vocabulary of 40 tokens. Set it to 10 or less",
    ),
    ({"coverage_penalty": -1}, "DecodingOptions needs coverage_penalty >= 0, got"),
    (
        {"coverage_penalty": 0.2},
        "coverage_penalty=0.2 needs to know which steps of the source are real. Give "
        "generate a source_mask (B, S).",
    ),
    ({"min_length": [1, -1]}, "needs min_length >= 0, got min_length=[1, -1]."),
    ({"max_length": -1}, "DecodingOptions needs max_length >= 0, got max_length=-1."),
    (
        {"min_length": 5, "max_length": 4},
        "needs min_length <= max_length, got min_length=5 and max_length=4.",
    ),
    ({"repetition_penalty": 0.0}, "needs repetition_penalty > 0, got"),
    ({"no_repeat_ngram": -1}, "needs no_repeat_ngram >= 0, got no_repeat_ngram=-1."),
    (
        {"top_k": 3},
        "top_k=3 says how to draw tokens, but sample=False looks for the best ones. "
        "Set sample=True.",
    ),
    (
        {"temperature": 0.0, "sample": True},
        "needs temperature > 0, got temperature=0.0",
    ),
    ({"top_k": -1, "sample": True}, "DecodingOptions needs top_k >= 0, got top_k=-1."),
    ({"top_p": 1.5, "sample": True}, "DecodingOptions needs 0 < top_p <= 1, got top_p"),
    (
        {"beam": 4, "sample": True},
        "Sampling follows no beam, got beam=4 with sample=True. n_best is the number",
    ),
    ({"sample": True}, "Sampling needs a seed of two integers, such as seed=(0, 1)"),
]


@pytest.mark.parametrize(("options", "text"), WRONG)
def test_wrong_options_are_named(options, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        eager(ToyDecoder(), **options)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"beam": 0}, "DecodingOptions needs beam >= 1, got beam=0."),
        ({"beam": 41}, "beam=41 is larger than the vocabulary of 40 tokens."),
        ({"beam": 2, "n_best": 3}, "n_best=3 hypotheses cannot come from beam=2."),
        (
            {"repetition": 0.0},
            "needs repetition_penalty > 0, got repetition_penalty=0.",
        ),
        ({"max_length": [3, -2]}, "needs max_length >= 0, got max_length=[3 -2]."),
    ],
)
def test_wrong_inputs_are_named_when_the_graph_runs(served, changes, text):
    inputs = {
        "memory": memory([1, 2]),
        "beam": 3,
        "n_best": 1,
        "length_penalty": 0.0,
        "max_length": [3, 3],
        "repetition": 1.0,
        **changes,
    }
    with pytest.raises(tf.errors.InvalidArgumentError, match=re.escape(text)):
        served[1].search(**{name: tf.constant(value) for name, value in inputs.items()})


def test_a_score_needs_a_penalty_that_is_one():
    toy = ToyDecoder()
    with pytest.raises(
        ValueError, match="coverage_penalty >= 0, got coverage_penalty=-2"
    ):
        score(toy, np.array([[4]]), memory([1]), coverage_penalty=-2)
