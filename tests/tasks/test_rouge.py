"""ROUGE-L worked by hand, and common subsequences by trying all."""

from itertools import combinations
from random import Random

import pytest

from seqloom.tasks.rouge import common_length, rouge_l


def subsequences(words):
    for size in range(len(words) + 1):
        yield from combinations(words, size)


def test_longest_common_subsequence():
    random = Random(0)
    for _ in range(60):
        first, second = (random.choices("abcd", k=random.randint(0, 7)) for _ in "ab")
        common = set(subsequences(first)) & set(subsequences(second))
        assert common_length(first, second) == max(map(len, common))


# Each letter is a word.


def test_one_reference_by_hand():
    # "a b e f" of "a b c d e f" and "a b x e f": P = 4/6, R = 4/5.
    score = rouge_l("abcdef", ["abxef"])
    assert score == pytest.approx(2.44 * (4 / 6) * 0.8 / (0.8 + 1.44 * 4 / 6))


def test_precision_and_recall_may_be_of_different_references():
    score = rouge_l("abcd", ["abcxyz", "ab"])
    assert score == pytest.approx(2.44 * 0.75 * 1 / (1 + 1.44 * 0.75))
    assert score > max(rouge_l("abcd", ["abcxyz"]), rouge_l("abcd", ["ab"]))
    assert score == rouge_l("abcd", ["ab", "abcxyz"])


def test_ends_of_the_scale():
    assert rouge_l("abc", ["abc", "x"]) == pytest.approx(1)
    assert rouge_l("abc", ["xy", ""]) == 0
    assert rouge_l("", ["abc"]) == rouge_l("", [""]) == rouge_l("abc", [""]) == 0
