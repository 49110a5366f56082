"""Word features: literal examples, and safety on any string."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from seqloom.tasks import word_features
from seqloom.tasks.records import DataError
from seqloom.tasks.vocabulary import UNKNOWN_ID, Vocabulary
from seqloom.tasks.word_features import WordFeatures

WORDS = ["Paris", "paris", "EU", "1996", "2024", "U.S."] * 5 + ["Rhea"]


@pytest.fixture(scope="module")
def features():
    return WordFeatures.fit(WORDS, min_frequency=2, lowercase=True, max_characters=6)


def decoded(tensor):
    return [item.decode() for item in np.ravel(tensor.numpy())]


def test_shapes_by_hand():
    words = ["U.S.", "EU", "McDonald", "3,000", "paris", "I", "?!", "Ünal"]
    assert decoded(word_features.shape(tf.constant(words))) == [
        "+.+.", "++", "+x+x", "d,d", "x", "+", "?!", "+x",
    ]  # fmt: skip


def test_affixes_by_hand():
    found = word_features.affixes(tf.constant(["Paris", "a", "Åse"]))
    assert [decoded(row) for row in found] == [
        ["2<pa", "2>is", "3<par", "3>ris", "4<pari", "4>aris"],
        ["2<a", "2>a", "3<a", "3>a", "4<a", "4>a"],
        ["2<ås", "2>se", "3<åse", "3>åse", "4<åse", "4>åse"],
    ]


def test_words_are_looked_up_without_case_and_digits(features):
    ids = features(tf.constant(["Paris", "PARIS", "1996", "7777", "Rhea", "new"]))
    word_ids = ids["word_ids"].numpy()
    assert word_ids[0] == word_ids[1] != UNKNOWN_ID
    assert word_ids[2] == word_ids[3] != UNKNOWN_ID
    assert word_ids[4] == word_ids[5] == UNKNOWN_ID  # Rhea came once, new never


def test_characters_are_cut_and_padded(features):
    char_ids = features(tf.constant(["EU", "Parisparis"]))["char_ids"].numpy()
    assert char_ids.shape == (2, 6)
    assert (char_ids[0] != 0).tolist() == [True, True, False, False, False, False]
    assert (char_ids[1] != 0).all()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=12), min_size=1, max_size=5))
def test_any_bytes_give_ids_within_the_vocabularies(words):
    features = WordFeatures.fit(WORDS, min_frequency=1, lowercase=True)
    for view, ids in zip(
        ("words", "characters", "shapes", "affixes"),
        (
            features(tf.constant(words))[f"{n}_ids"]
            for n in ("word", "char", "shape", "affix")
        ),
        strict=True,
    ):
        assert int(tf.reduce_max(ids)) < len(getattr(features, view))
        assert int(tf.reduce_min(ids)) >= 0


def test_rare_words_are_replaced_as_often_as_the_formula_says(features):
    """a / (a + count) with a = 2: half of the words seen twice, a tenth of 18."""
    features = WordFeatures(
        Vocabulary(["rare", "common"], [2, 18]),
        features.characters, features.shapes, features.affixes,
    )  # fmt: skip
    ids = tf.constant([[2] * 20000, [3] * 20000, [0] * 20000])
    replaced = features.replace_rare(ids, 2.0, [1, 2]).numpy() == UNKNOWN_ID
    assert replaced.mean(axis=1) == pytest.approx([0.5, 0.1, 0.0], abs=0.02)
    again = features.replace_rare(ids, 2.0, [1, 2]).numpy() == UNKNOWN_ID
    np.testing.assert_array_equal(replaced, again)


def test_a_saved_vocabulary_gives_the_same_ids(features, tmp_path):
    features.save(tmp_path)
    twin = WordFeatures.load(tmp_path, lowercase=True, max_characters=6)
    words = tf.constant(["Paris", "Ω", "", "EU", "x" * 40])
    for name, ids in features(words).items():
        np.testing.assert_array_equal(ids, twin(words)[name])
    np.testing.assert_array_equal(
        features.words.counts_by_id(), twin.words.counts_by_id()
    )


def test_a_vocabulary_orders_by_frequency_then_name():
    vocabulary = Vocabulary.fit(["b", "a", "b", "c", "a", "d"], min_frequency=1)
    assert vocabulary.entries == ("a", "b", "c", "d")
    assert len(vocabulary) == 6


def test_a_vocabulary_refuses_an_entry_twice():
    with pytest.raises(DataError, match="names an entry twice"):
        Vocabulary(["a", "a"])
