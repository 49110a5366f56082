"""What training leaves out of pairs, and how it is counted."""

from collections import Counter

from seqloom.pipelines.pair_filters import filter_pairs
from seqloom.tasks.records import SentencePair


def kept(*pairs, max_words=None, max_ratio=None, drop_duplicates=False):
    left_out = Counter()
    records = [SentencePair(*pair, f"f:{n}") for n, pair in enumerate(pairs)]
    passed = filter_pairs(records, max_words, max_ratio, drop_duplicates, left_out)
    return [int(pair.where[2:]) for pair in passed], dict(left_out)


def test_nothing_is_left_out_without_limits():
    assert kept(("a", "b"), ("a", "b"), ("x " * 900, "y")) == ([0, 1, 2], {})


def test_words_of_either_side():
    pairs = [("a b", "c"), ("a", "b c d"), ("a b c", "d"), ("a b", "c  d ")]
    assert kept(*pairs, max_words=2) == (
        [0, 3],
        {"with a side of more than data.max_words=2 words": 2},
    )


def test_ratio_of_characters_in_either_direction():
    pairs = [("ab", "abcd"), ("ab", "abcde"), ("abcde", "ab"), ("你好", "good")]
    assert kept(*pairs, max_ratio=2.0) == (
        [0, 3],
        {"with a side longer than data.max_ratio=2.0 times the other": 2},
    )


def test_duplicates_are_equal_on_both_sides():
    pairs = [("a", "b"), ("a", "c"), ("a", "b"), ("b", "a"), ("A", "b"), ("a", "b")]
    assert kept(*pairs, drop_duplicates=True) == (
        [0, 1, 3, 4],
        {"that were there before (data.duplicates=drop)": 2},
    )


def test_a_pair_counts_for_one_reason():
    _, left_out = kept(("a b c", "d"), ("a b c", "d"), max_words=2, max_ratio=2.0)
    assert sum(left_out.values()) == 2


def test_pairs_are_passed_on_as_they_come():
    """None is read before the one before it was taken."""
    read = []

    def endless():
        while True:
            read.append(len(read))
            yield SentencePair(f"a{read[-1]}", "b")

    pairs = filter_pairs(endless(), 5, 4.0, True, Counter())
    assert [next(pairs).source for _ in range(3)] == ["a0", "a1", "a2"]
    assert len(read) == 3
