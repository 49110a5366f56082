"""The CRF against brute force over all tag sequences."""

from itertools import pairwise, product

import keras
import numpy as np
import pytest
import tensorflow as tf
from contracts import check_layer
from hypothesis import given, settings
from hypothesis import strategies as st

from seqloom.layers import LinearChainCRF, iob2_constraints

TAGS = ["B-A", "B-B", "I-A", "I-B", "O"]
LENGTHS = [4, 1, 0, 3]  # of the rows of `batch`


def crf_layer(constrained, scale=1.0, seed=0):
    limits = iob2_constraints(TAGS) if constrained else ()
    crf = LinearChainCRF(len(TAGS), *limits)
    crf.build((None, None, len(TAGS)))
    random = np.random.default_rng(seed)
    crf.set_weights([scale * random.normal(size=w.shape) for w in crf.weights])
    return crf


def batch(scale=1.0, seed=1):
    random = np.random.default_rng(seed)
    emissions = scale * random.normal(size=(len(LENGTHS), max(LENGTHS), len(TAGS)))
    mask = np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
    return emissions.astype("float32"), mask


def score(crf, emissions, path):
    """Equation 1, in float64, with what is forbidden at -inf."""
    transitions, start, end = (np.float64(weight) for weight in crf.weights)
    if crf.allowed_transitions:
        transitions = np.where(crf.allowed_transitions, transitions, -np.inf)
        start = np.where(crf.allowed_start, start, -np.inf)
        end = np.where(crf.allowed_end, end, -np.inf)
    total = start[path[0]] + end[path[-1]]
    total += sum(emissions[t, tag] for t, tag in enumerate(path))
    return total + sum(transitions[pair] for pair in pairwise(path))


def brute_force(crf, emissions):
    """All paths of one sequence, their scores, and the log of the summed exps."""
    steps, num_tags = emissions.shape
    paths = list(product(range(num_tags), repeat=steps))
    scores = np.array([score(crf, np.float64(emissions), path) for path in paths])
    highest = scores.max()
    return paths, scores, highest + np.log(np.sum(np.exp(scores - highest)))


@pytest.fixture(params=[False, True], ids=["free", "constrained"])
def crf(request):
    return crf_layer(request.param)


@pytest.mark.parametrize("scale", [1.0, 30.0, 300.0])
def test_partition_is_the_sum_over_all_paths(crf, scale):
    # At 300 the best tags' forbidden followers underflow any sum in float32.
    emissions, mask = batch(scale)
    expected = [
        brute_force(crf, row[:length])[2] if length else 0.0
        for row, length in zip(emissions, LENGTHS, strict=True)
    ]
    actual = crf.log_partition(emissions, mask)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_likelihoods_of_all_paths_are_the_softmax_of_their_scores(crf):
    emissions, _ = batch()
    paths, scores, log_z = brute_force(crf, emissions[0])
    repeated = np.repeat(emissions[:1], len(paths), axis=0)
    actual = crf.log_likelihood(repeated, np.array(paths)).numpy()
    possible = np.isfinite(scores)
    np.testing.assert_allclose(
        actual[possible], (scores - log_z)[possible], rtol=1e-4, atol=1e-5
    )
    assert np.all(actual[~possible] < -1e8)
    assert np.sum(np.exp(actual)) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_decode_finds_the_best_path(crf, scale):
    emissions, mask = batch(scale)
    tags, scores = crf.decode(emissions, mask)
    assert tags.dtype == tf.int32
    for row, length in enumerate(LENGTHS):
        assert np.all(tags[row, length:] == 0)
        if length:
            paths, expected, _ = brute_force(crf, emissions[row, :length])
            best = paths[np.argmax(expected)]
            assert tuple(tags[row, :length].numpy()) == best
            assert float(scores[row]) == pytest.approx(expected.max(), rel=1e-5)
    assert scores[LENGTHS.index(0)] == 0


def test_marginals_sum_the_paths_through_a_tag(crf):
    emissions, mask = batch()
    actual = crf.marginals(emissions, mask).numpy()
    expected = np.zeros_like(actual)
    for row, length in enumerate(LENGTHS):
        if length:
            paths, scores, log_z = brute_force(crf, emissions[row, :length])
            for path, probability in zip(paths, np.exp(scores - log_z), strict=True):
                for step, tag in enumerate(path):
                    expected[row, step, tag] += probability
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(actual.sum(-1), mask, atol=1e-5)


def test_gradient_agrees_with_finite_differences(crf):
    """The closed form of the gradient, for emissions and for every weight."""
    emissions, mask = batch()
    tags = np.full(mask.shape, TAGS.index("O"))
    row_weights = np.array([1.0, -2.0, 3.0, 0.5], "float32")
    variable = tf.Variable(emissions)

    def loss():
        return tf.reduce_sum(crf.log_likelihood(variable, tags, mask) * row_weights)

    variables = [variable, *(weight.value for weight in crf.weights)]
    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, variables)
    random = np.random.default_rng(2)
    for parameter, gradient in zip(variables, gradients, strict=True):
        start = parameter.numpy()
        direction = random.normal(size=start.shape).astype("float32")
        parameter.assign(start + 1e-2 * direction)
        above = loss()
        parameter.assign(start - 1e-2 * direction)
        below = loss()
        parameter.assign(start)
        slope = float(above - below) / 2e-2
        assert np.sum(gradient * direction) == pytest.approx(slope, rel=2e-2, abs=2e-2)


def test_gradient_of_the_partition_is_the_marginals(crf):
    emissions, mask = batch(30.0)
    emissions = tf.constant(emissions)
    with tf.GradientTape() as tape:
        tape.watch(emissions)
        log_z = tf.reduce_sum(crf.log_partition(emissions, mask))
    gradient = tape.gradient(log_z, emissions)
    np.testing.assert_allclose(gradient, crf.marginals(emissions, mask), atol=1e-6)


def test_gradient_of_the_partition_counts_the_moves_of_all_paths(crf):
    emissions, _ = batch()
    with tf.GradientTape() as tape:
        log_z = crf.log_partition(emissions[:1])[0]
    gradients = tape.gradient(log_z, [weight.value for weight in crf.weights])
    expected = [np.zeros(weight.shape) for weight in crf.weights]
    paths, scores, log_z = brute_force(crf, emissions[0])
    for path, probability in zip(paths, np.exp(scores - log_z), strict=True):
        for pair in pairwise(path):
            expected[0][pair] += probability
        expected[1][path[0]] += probability
        expected[2][path[-1]] += probability
    for actual, count in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(actual, count, rtol=1e-4, atol=1e-6)


def test_path_from_an_unlikely_tag_is_not_lost():
    """The likely tag O may not precede I-A: the rest is exp(-200), 0 in float32."""
    crf = crf_layer(constrained=True)
    emissions = np.full((1, 2, 5), -200.0, "float32")
    emissions[0, 0, TAGS.index("O")] = 0.0
    emissions[0, 1, TAGS.index("I-A")] = 400.0
    path = [TAGS.index("B-A"), TAGS.index("I-A")]
    expected = score(crf, np.float64(emissions[0]), path)
    np.testing.assert_allclose(crf.log_partition(emissions), [expected], rtol=1e-6)
    np.testing.assert_allclose(crf.log_likelihood(emissions, [path]), [0], atol=1e-4)
    with tf.GradientTape() as tape:
        log_z = crf.log_partition(emissions)
    moves = tape.gradient(log_z, crf.transitions.value)
    np.testing.assert_allclose(moves[tuple(path)], 1.0, rtol=1e-5)


def test_padding_does_not_matter(crf):
    emissions, mask = batch()
    tags = np.where(mask, 1, -7)  # -7: no tag at all
    spoiled = np.where(mask[..., None], emissions, np.nan)
    for method in (crf.log_partition, crf.marginals, lambda *a: crf.decode(*a)[0]):
        np.testing.assert_array_equal(method(spoiled, mask), method(emissions, mask))
    together = crf.log_likelihood(spoiled, tags, mask)
    for row, length in enumerate(LENGTHS):
        if length:
            alone = crf.log_likelihood(
                emissions[row : row + 1, :length], tags[row : row + 1, :length]
            )
            np.testing.assert_allclose(together[row], alone[0], rtol=1e-5)


def test_row_without_a_real_step_is_neutral(crf):
    emissions, mask = batch()
    empty = LENGTHS.index(0)
    variable = tf.Variable(emissions)
    with tf.GradientTape() as tape:
        value = crf.log_likelihood(variable, np.ones(mask.shape, int), mask)[empty]
    assert value == 0
    gradients = tape.gradient(value, [variable, *(w.value for w in crf.weights)])
    assert all(np.all(np.asarray(gradient) == 0) for gradient in gradients)


def test_batch_without_rows(crf):
    emissions, mask = np.zeros((0, 3, 5), "float32"), np.zeros((0, 3), bool)
    assert crf.log_partition(emissions, mask).shape == (0,)
    assert crf.marginals(emissions, mask).shape == (0, 3, 5)
    tags, scores = crf.decode(emissions, mask)
    assert (tags.shape, scores.shape) == ((0, 3), (0,))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), power=st.integers(0, 6))
def test_constrained_decoding_never_gives_an_invalid_sequence(seed, power):
    crf = crf_layer(constrained=True, scale=10.0**power, seed=seed)
    emissions, mask = batch(10.0**power, seed)
    emissions = emissions.repeat(3, axis=1)  # up to 12 steps
    mask = mask.repeat(3, axis=1)
    decoded, _ = crf.decode(emissions, mask)
    for row, length in zip(decoded.numpy(), mask.sum(1), strict=True):
        tags = [TAGS[tag] for tag in row[:length]]
        for before, tag in pairwise(["O", *tags]):
            assert tag[0] != "I" or before in (f"B{tag[1:]}", tag), tags


def test_contract():
    emissions, mask = batch()
    tags = np.ones(mask.shape, int)
    check_layer(
        LinearChainCRF(5, *iob2_constraints(TAGS)),
        emissions,
        loss=lambda crf, x: tf.reduce_sum(crf.log_likelihood(crf(x), tags, mask)),
    )


def test_is_float32_inside_a_mixed_precision_model():
    crf = crf_layer(True)
    mixed = LinearChainCRF(5, *iob2_constraints(TAGS), dtype="mixed_float16")
    mixed.build((None, None, 5))
    mixed.set_weights(crf.get_weights())

    class Tagger(keras.Model):
        def call(self, emissions):
            return mixed.log_partition(mixed(emissions))

    emissions, _ = batch()
    assert mixed(emissions.astype("float16")).dtype == tf.float32
    expected = crf.log_partition(emissions.astype("float16"))
    actual = Tagger(dtype="mixed_float16")(emissions)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


@pytest.mark.parametrize(("constrained", "steps"), [(False, 1), (True, 4)])
def test_traced_and_compiled_agree_with_eager(constrained, steps):
    crf = crf_layer(constrained)
    emissions, mask = (array[:, :steps] for array in batch())
    tags = np.ones(mask.shape, "int32")

    def everything(emissions, tags, mask):
        with tf.GradientTape() as tape:
            tape.watch(emissions)
            likelihood = crf.log_likelihood(emissions, tags, mask)
        return (
            likelihood,
            tape.gradient(likelihood, emissions),
            crf.marginals(emissions, mask),
            *crf.decode(emissions, mask),
        )

    specs = [
        tf.TensorSpec([None, None, 5]),
        tf.TensorSpec([None, None], tf.int32),
        tf.TensorSpec([None, None], tf.bool),
    ]
    arguments = [tf.constant(array) for array in (emissions, tags, mask)]
    expected = everything(*arguments)
    traced = tf.function(everything, input_signature=specs)(*arguments)
    compiled = tf.function(everything, jit_compile=True)(*arguments)
    for eager, graph, xla in zip(expected, traced, compiled, strict=True):
        np.testing.assert_allclose(graph, eager, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(xla, eager, rtol=1e-5, atol=1e-5)


def test_saved_model_decodes(tmp_path):
    crf = crf_layer(True)
    emissions, mask = batch()

    class Module(tf.Module):
        def __init__(self):
            super().__init__()
            self.variables_ = [weight.value for weight in crf.weights]

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, None, 5]),
                tf.TensorSpec([None, None], tf.bool),
            ]
        )
        def decode(self, emissions, mask):
            return (*crf.decode(emissions, mask), crf.marginals(emissions, mask))

    tf.saved_model.save(Module(), str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    expected = (*crf.decode(emissions, mask), crf.marginals(emissions, mask))
    actual = loaded.decode(emissions, mask)
    for before, after in zip(expected, actual, strict=True):
        np.testing.assert_allclose(before, after, rtol=1e-6)


def test_layer_keeps_the_mask():
    tokens = keras.Input((None,))
    emissions = keras.layers.Dense(5)(
        keras.layers.Embedding(9, 4, mask_zero=True)(tokens)
    )
    model = keras.Model(tokens, LinearChainCRF(5)(emissions))
    output = model(np.array([[3, 4, 0]]))
    np.testing.assert_array_equal(output._keras_mask, [[True, True, False]])


def test_errors_say_what_where_and_how():
    with pytest.raises(ValueError, match=r"LinearChainCRF needs an integer num_tags"):
        LinearChainCRF(0)
    with pytest.raises(ValueError, match=r"features, got the shape \(2, 3, 4\)"):
        LinearChainCRF(5)(np.zeros((2, 3, 4), "float32"))
    with pytest.raises(ValueError, match=r"allowed_transitions of 3 x 3"):
        LinearChainCRF(3, [[True] * 2] * 2)
    with pytest.raises(ValueError, match=r"allow no sequence of 2 steps"):
        LinearChainCRF(2, [[False, False], [False, True]], [True, False])
