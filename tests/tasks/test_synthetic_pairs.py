"""The synthetic twins of translation: targets follow from sources, splits differ."""

from collections import Counter

import pytest

from seqloom.tasks.synthetic_pairs import SIZES, WORDS, synthetic_pairs


@pytest.mark.parametrize("split", SIZES)
def test_targets_follow_from_the_sources(split):
    copied = synthetic_pairs("copy", split, seed=3)
    turned = synthetic_pairs("reverse", split, seed=3)
    assert len(copied) == SIZES[split]
    assert [pair.source for pair in copied] == [pair.source for pair in turned]
    assert all(pair.target == pair.source for pair in copied)
    for pair in turned:
        words = []
        for word in pair.source.split(" "):
            words.insert(0, word)
        assert pair.target == " ".join(words)


def test_no_sentence_is_in_two_places():
    sources = [
        pair.source for split in SIZES for pair in synthetic_pairs("copy", split)
    ]
    assert len(set(sources)) == len(sources) == 4400


def test_every_split_has_all_words_and_its_share_of_lengths():
    assert len(WORDS) == 10
    shares = {}
    for split, size in SIZES.items():
        sentences = [pair.source.split() for pair in synthetic_pairs("copy", split)]
        assert {word for words in sentences for word in words} == set(WORDS)
        lengths = Counter(map(len, sentences))
        shares[split] = {n: lengths[n] / size for n in range(2, 6)}
        assert set(lengths) == set(range(2, 6)), split
    for split in ("dev", "test"):
        for length, share in shares[split].items():
            assert abs(share - shares["train"][length]) < 0.1


def test_repeatable_and_different_between_seeds():
    train = synthetic_pairs("copy", "train", seed=1, num_pairs=50)
    assert train == synthetic_pairs("copy", "train", seed=1)[:50]
    assert train != synthetic_pairs("copy", "train", seed=2, num_pairs=50)
    assert train[1].where == "synthetic/copy/train:2"


def test_unknown_kind():
    with pytest.raises(ValueError, match="twin 'copied' .* Choose from copy, reverse"):
        synthetic_pairs("copied", "train")
