"""The synthetic twin of sentiment: its labels follow from its words."""

import re
from collections import Counter

import pytest

from seqloom.tasks.synthetic_texts import LABELS, SIZES, synthetic_texts


def labels_by_rule(text):
    """Reference: read the opinion words and what stands before them."""
    words = text.split()
    found = set()
    for before, word in zip(["", *words], words, strict=False):
        good = re.fullmatch(r"\w+(osa|ine)", word) is not None
        bad = re.fullmatch(r"\w+(urk|og)", word) is not None
        if good or bad:
            found.add("positive" if good != (before == "not") else "negative")
    return found or {"neutral"}


@pytest.mark.parametrize("split", SIZES)
def test_labels_follow_from_the_words(split):
    texts = synthetic_texts(split, seed=3)
    assert len(texts) == SIZES[split]
    assert [{text.label} for text in texts] == [labels_by_rule(t.text) for t in texts]
    counts = Counter(text.label for text in texts)
    assert set(counts) == set(LABELS)
    assert min(counts.values()) > 0.2 * len(texts)


def test_repeatable_and_different_between_splits_and_seeds():
    train = synthetic_texts("train", seed=1, num_texts=50)
    assert train == synthetic_texts("train", seed=1)[:50]
    assert train != synthetic_texts("train", seed=2, num_texts=50)
    assert {t.text for t in train}.isdisjoint(
        t.text for t in synthetic_texts("dev", seed=1)
    )
    assert train[1].where == "synthetic/sentiment/train:2"


def test_opinions_are_known_other_words_mostly_are_not():
    train, test = (synthetic_texts(split) for split in ("train", "test"))
    seen = Counter(word for text in train for word in text.text.split())
    words = {word for text in test for word in text.text.split()}
    opinions = {word for word in words if re.fullmatch(r"\w+(osa|ine|urk|og)", word)}
    assert all(seen[word] >= 10 for word in opinions)
    assert sum(word not in seen for word in words) > 0.5 * len(words)


def test_negation_matters_and_not_does_not_give_the_label_away():
    texts = synthetic_texts("train")
    with_not = Counter(text.label for text in texts if " not " in f" {text.text} ")
    assert min(with_not.values()) > 0.2 * with_not.total()
    blind = [labels_by_rule(text.text.replace("not ", "")) for text in texts]
    wrong = sum({text.label} != labels for text, labels in zip(texts, blind))
    assert wrong > 0.15 * len(texts)
