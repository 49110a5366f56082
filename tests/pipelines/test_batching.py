"""Batches: every example once, little padding, the same again after a restart."""

import numpy as np
import pytest

from seqloom.pipelines import batching
from seqloom.pipelines.errors import UserError

LENGTHS = np.random.default_rng(0).integers(1, 60, 500)


def plan(lengths=LENGTHS, **changes):
    arguments = {
        "batch_tokens": 256,
        "max_rows": 1000,
        "batches_per_step": 4,
        "num_replicas": 2,
        "seed": 1,
        "epoch": 0,
    }
    return batching.plan_training(lengths, **{**arguments, **changes})


def test_an_epoch_has_every_example_once():
    rows = np.concatenate(plan())
    assert sorted(rows) == list(range(len(LENGTHS)))


@pytest.mark.parametrize("batches_per_step", [1, 3, 4, 8])
def test_every_step_is_full_and_no_batch_is_empty(batches_per_step):
    batches = plan(batches_per_step=batches_per_step, num_replicas=1)
    assert len(batches) % batches_per_step == 0
    assert min(len(rows) for rows in batches) >= 1


@pytest.mark.parametrize("number", [4, 5, 7, 9])
def test_few_rows_fill_a_step_without_an_empty_batch(number):
    batches = plan(np.full(number, 200), batches_per_step=4)
    assert len(batches) % 4 == 0
    assert sorted(np.concatenate(batches)) == list(range(number))
    assert min(len(rows) for rows in batches) >= 1


def test_batches_keep_to_the_budget_of_tokens_padding_included():
    for rows in plan():
        assert len(rows) * LENGTHS[rows].max() <= 256


def test_an_example_longer_than_the_budget_is_alone_in_its_batch():
    lengths = np.array([3, 4, 900, 5, 6, 7, 8])
    batches = plan(lengths, batches_per_step=1, num_replicas=1)
    assert [2] in [list(rows) for rows in batches]


def test_batches_keep_to_the_most_rows():
    assert max(len(rows) for rows in plan(max_rows=3)) <= 3


def test_the_same_seed_and_epoch_give_the_same_batches():
    for first, second in zip(plan(), plan(), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("change", [{"seed": 2}, {"epoch": 1}])
def test_another_seed_or_epoch_gives_other_batches(change):
    same = [list(a) == list(b) for a, b in zip(plan(), plan(**change), strict=False)]
    assert not any(same)


def test_buckets_pad_little():
    assert batching.padding_share(plan(), LENGTHS) < 0.1
    shuffled = np.array_split(np.random.default_rng(0).permutation(500), 60)
    assert batching.padding_share(shuffled, LENGTHS) > 0.3


def test_any_lengths_can_meet_in_a_batch():
    mixed = plan(by_length=False)
    rows = np.concatenate(mixed)
    assert sorted(rows) == list(range(len(LENGTHS)))
    for batch in mixed:
        assert len(batch) * LENGTHS[batch].max() <= 256
    spread = [LENGTHS[batch].std() for batch in mixed if len(batch) > 2]
    sorted_spread = [LENGTHS[batch].std() for batch in plan() if len(batch) > 2]
    assert np.mean(spread) > 5 * np.mean(sorted_spread)
    again = plan(by_length=False)
    assert all((a == b).all() for a, b in zip(mixed, again, strict=True))


def test_replicas_work_on_like_lengths_at_the_same_time():
    batches = plan()
    for first, second in zip(batches[::2], batches[1::2], strict=True):
        assert abs(LENGTHS[first].mean() - LENGTHS[second].mean()) < 12


def test_too_few_examples_for_the_replicas_are_refused():
    with pytest.raises(
        UserError, match="3 training examples cannot fill the 4 batches"
    ):
        plan(np.array([1, 2, 3]))


def test_evaluation_has_every_example_once_in_order_of_length():
    rows = np.concatenate(batching.plan_evaluation(LENGTHS, 512, 100))
    assert sorted(rows) == list(range(len(LENGTHS)))
    assert (np.diff(LENGTHS[rows]) >= 0).all()


def test_workers_share_each_step_between_them():
    numbers = [
        batching.worker_share(12, 4, num_replicas=4, worker=w, num_workers=2)
        for w in (0, 1)
    ]
    assert numbers[0].tolist() == [4, 5, 8, 9]
    assert numbers[1].tolist() == [6, 7, 10, 11]


class Doubler:
    """A task whose batch tells which seed, number and rows it was made from."""

    def batch(self, examples, rows, training, seed):
        return seed, rows


def test_a_stream_continued_equals_the_rest_of_a_whole_one():
    batches = plan()
    whole = list(batching.dataset(Doubler(), None, batches, True, seed=7))
    rest = batching.dataset(
        Doubler(), None, batches, True, seed=7, numbers=np.arange(5, len(batches))
    )
    for (seed, rows), (other_seed, other_rows) in zip(whole[5:], rest, strict=True):
        np.testing.assert_array_equal(seed, other_seed)
        np.testing.assert_array_equal(rows, other_rows)


# === Pairs: a length on each of two sides ===

RANDOM = np.random.default_rng(2)
SOURCES = RANDOM.integers(1, 40, 3000)
PAIRS = np.stack(
    [SOURCES, np.maximum(SOURCES + RANDOM.integers(-4, 7, 3000), 1)], axis=1
)


def test_pairs_keep_to_the_budget_on_either_side():
    batches = plan(PAIRS, batch_tokens=800)
    assert sorted(np.concatenate(batches)) == list(range(len(PAIRS)))
    for rows in batches:
        assert len(rows) * PAIRS[rows].max() <= 800


def test_pairs_pad_little_on_both_sides():
    padding = batching.padding_share(plan(PAIRS, batch_tokens=800), PAIRS)
    by_chance = np.array_split(RANDOM.permutation(3000), 120)
    padded = sum(len(rows) * PAIRS[rows].max(axis=0).sum() for rows in by_chance)
    assert padding < 0.1
    assert 1 - PAIRS.sum() / padded > 0.4


def test_padding_of_pairs_counts_both_sides():
    lengths = np.array([[1, 4], [3, 4]])
    padding = batching.padding_share([np.array([0, 1])], lengths)
    assert padding == pytest.approx(1 - 12 / 14)


def test_pairs_meet_others_at_each_epoch():
    def groups(epoch):
        return {tuple(sorted(rows)) for rows in plan(PAIRS, epoch=epoch)}

    assert len(groups(0) & groups(1)) < 0.2 * len(groups(0))


def test_most_neighbours_of_a_pair_are_others_in_the_next_epoch():
    def batch_of(epoch):
        numbers = np.empty(len(PAIRS), int)
        for number, rows in enumerate(plan(PAIRS, epoch=epoch)):
            numbers[rows] = number
        return numbers[:, None] == numbers  # (N, N): in one batch

    first, second = batch_of(0), batch_of(1)
    assert (first & second).sum() < 0.5 * first.sum()
