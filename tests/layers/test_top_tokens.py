"""The best tokens by blocks against sorting all of them."""

import numpy as np
import pytest

from seqloom.layers.top_tokens import best_pairs, token_scores


def by_sorting(logits, totals, closed, count):
    """(sum, hypothesis, token) of one source, equal sums in their order."""
    shares = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    sums = totals[:, None] + shares
    sums[:, : len(closed)] += closed
    order = np.argsort(-sums.ravel(), kind="stable")[:count]
    return sums.ravel()[order], order // logits.shape[1], order % logits.shape[1]


# By one block, by several, by 23 x 29, and with a last one that is filled up.
@pytest.mark.parametrize("size", [5, 64, 96, 667, 8003])
@pytest.mark.parametrize("each", [1, 3])
def test_best_pairs_are_those_of_sorting(size, each):
    random = np.random.default_rng(size)
    # float64 and few digits: equal sums are common, and equal to the last bit.
    logits = random.integers(-3, 4, size=(2, each, size)).astype("float32")
    logits[1] = random.normal(size=(each, size)) * 3
    totals = np.zeros((2, each), "float32")
    totals[1] = -random.random(each) * 3
    closed = np.zeros((2, 5), "float32")
    closed[0, [0, 2]] = closed[1, [0, 2, 3]] = -np.inf
    scores = token_scores(logits.reshape(-1, size))
    width = scores.logits.shape[2]
    full = np.pad(closed, [(0, 0), (0, width - 5)])
    found = best_pairs(scores, totals, full, 4)
    for row in range(2):
        wanted = by_sorting(logits[row].astype("float64"), totals[row], closed[row], 4)
        possible = np.isfinite(wanted[0])
        np.testing.assert_allclose(found[0][row], wanted[0], atol=1e-5)
        for ours, theirs in zip(found[1:], wanted[1:], strict=True):
            np.testing.assert_array_equal(ours[row].numpy()[possible], theirs[possible])


def test_normalizers_are_exact_far_from_zero():
    logits = np.array([[500.0, 0.0, -500.0, 499.0], [-300.0, -300.0, -300.0, -900.0]])
    wanted = [500.0 + np.log1p(np.exp(-1.0)), -300.0 + np.log(3.0)]
    found = token_scores(logits.astype("float32")).normalizers
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert np.all(found >= logits.max(axis=1))


def test_equal_sums_of_several_blocks_keep_their_order():
    logits = np.full((2, 256), -4.0, "float32")
    logits[0, 200] = 3.0  # of the best block
    logits[0, [201, 10]] = 1.0
    logits[1, [5, 100]] = 1.0 + 1e-3  # just above, but of a worse hypothesis
    closed = np.zeros((1, 64), "float32")
    totals = np.array([[0.0, -2.0]], "float32")
    _, hypotheses, tokens = best_pairs(token_scores(logits), totals, closed, 3)
    assert hypotheses.numpy().tolist() == [[0, 0, 0]]
    assert tokens.numpy().tolist() == [[200, 10, 201]]
