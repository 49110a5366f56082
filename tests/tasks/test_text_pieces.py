"""Pieces of texts: every way of cutting them, and where the pieces belong."""

from functools import cache

import numpy as np
import pytest
import tensorflow as tf
from tiny_preset import bert, tokenizer

from seqloom.tasks import text_pieces
from seqloom.tasks.pretrained import Pretrained
from seqloom.tasks.records import DataError
from seqloom.tasks.synthetic_texts import synthetic_texts
from seqloom.tasks.text_pieces import (
    TOKENIZERS,
    PresetTokens,
    SentencePieceTokens,
    WordPieceTokens,
    WordTokens,
)

TEXTS = [
    "The toldur wasn't brilosa, again!",
    "",
    " \t ",
    "Zoë 😀 met 北京",
    "a",
    "not " * 50,
    b"Ada \xff\xfe met \xe2\x82 Rhea in \xc3",
    b"Ada\x00 met\x01 Rhea",
]
LEARNED = {"vocabulary_size": 300, "lowercase": True, "min_frequency": 1}


@pytest.fixture(scope="module")
def training_texts():
    return [record.text for record in synthetic_texts("train", num_texts=300)]


@pytest.fixture(scope="module", params=[*TOKENIZERS, "preset"])
def tokens(request, training_texts):
    if request.param == "preset":
        return PresetTokens(Pretrained(tokenizer(), bert))
    return TOKENIZERS[request.param].fit(training_texts, **LEARNED)


@cache
def graph_of(tokens, max_length):
    """Traced once, which takes longer than all that is asked of it."""
    return tf.function(
        lambda texts: text_pieces.encode(tokens, texts, max_length),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )


def encode(tokens, texts, max_length=20):
    """Through a graph, as training and export do."""
    found = graph_of(tokens, max_length)(tf.constant(texts))
    return {
        name: value.to_list() if isinstance(value, tf.RaggedTensor) else value.numpy()
        for name, value in found.items()
    }


def words_of(encoded, text, row):
    raw = text if isinstance(text, bytes) else text.encode()
    places = zip(encoded["starts"][row], encoded["ends"][row], strict=True)
    return [raw[start:end] for start, end in places]


def test_offsets_are_those_of_the_words(tokens):
    encoded = encode(tokens, TEXTS)
    split = [row.numpy().tolist() for row in tokens.split(tf.constant(TEXTS))[0]]
    for row in range(5):
        found = words_of(encoded, TEXTS[row], row)
        assert found == split[row]
        assert b"".join(found) == b"".join(TEXTS[row].encode().split())
    assert encoded["starts"][1:3] == encoded["ends"][1:3] == [[], []]
    assert words_of(encoded, TEXTS[7], 7)[1].strip(b"\x00\x01") == b"met"


def test_pieces_belong_to_the_word_they_are_cut_from(tokens):
    """Against each word cut by itself."""
    encoded = encode(tokens, TEXTS, max_length=1000)
    number = 0
    for row, text in enumerate(TEXTS):
        ids, owners = [], []
        for word in tokens.split(tf.constant([text]))[0].flat_values:
            pieces = tokens.pieces(word[None]).to_list()[0]
            assert pieces
            ids += pieces
            owners += [number] * len(pieces)
            number += 1
        assert encoded["ids"][row] == (ids or [1])
        assert encoded["words"][row] == (owners or [-1])
        assert max(ids, default=1) < tokens.size
        assert min(ids, default=1) >= 1
    assert not encoded["truncated"].any()


def test_long_texts_are_cut_and_flagged(tokens):
    whole = encode(tokens, TEXTS, max_length=1000)["ids"]
    for length in (3, len(whole[5])):
        encoded = encode(tokens, TEXTS, length)
        assert encoded["ids"] == [row[:length] for row in whole]
        assert list(map(len, encoded["words"])) == list(map(len, encoded["ids"]))
        assert encoded["truncated"].tolist() == [len(row) > length for row in whole]
    assert not encoded["truncated"].any()  # as long as the longest


def test_no_texts(tokens):
    encoded = encode(tokens, tf.constant([], tf.string))
    assert encoded["ids"] == encoded["words"] == encoded["starts"] == []
    assert encoded["truncated"].tolist() == []


def test_a_saved_vocabulary_cuts_alike(tokens, tmp_path):
    tokens.save(tmp_path)
    again = type(tokens).load(tmp_path, lowercase=True)
    assert encode(again, TEXTS)["ids"] == encode(tokens, TEXTS)["ids"]
    assert again.size == tokens.size
    assert (again.counts is None) == (tokens.counts is None)
    if tokens.counts is not None:
        np.testing.assert_array_equal(again.counts, tokens.counts)


def test_case_is_ignored_if_it_should_be(training_texts):
    for kind in TOKENIZERS.values():
        for lowercase in (True, False):
            arguments = {**LEARNED, "lowercase": lowercase}
            tokens = kind.fit([*training_texts[:50], "BRILOSA"] * 2, **arguments)
            small, large = tokens.pieces(tf.constant(["brilosa", "BRILOSA"])).to_list()
            assert (small == large) is lowercase, kind


# === Words ===


def test_words_are_numbered_by_frequency():
    texts = ["b a b", "b c a 7", "B 3"]
    tokens = WordTokens.fit(texts, 3, lowercase=True, min_frequency=1)
    assert tokens.vocabulary.entries == ("b", "0", "a")
    assert tokens.counts.tolist() == [np.inf, np.inf, 4, 2, 2]
    assert encode(tokens, ["a 9 c B"])["ids"] == [[4, 3, 1, 2]]
    assert tokens.size == 5


def test_rare_words_are_unknown():
    tokens = WordTokens.fit(["a a b"], 10, lowercase=True, min_frequency=2)
    assert encode(tokens, ["a b"])["ids"] == [[2, 1]]


# === Pieces of words ===


def test_word_pieces_spell_the_words(training_texts):
    tokens = WordPieceTokens.fit(training_texts, **LEARNED)
    assert tokens.entries[:2] == ["[PAD]", "[UNK]"]
    assert tokens.size == len(tokens.entries) <= 300
    for word in ("brilosa", "toldur", "velament"):
        (ids,) = tokens.pieces(tf.constant([word])).to_list()
        spelled = [tokens.entries[index] for index in ids]
        assert spelled[0] + "".join(piece[2:] for piece in spelled[1:]) == word
        assert all(piece.startswith("##") for piece in spelled[1:])


def test_sentence_pieces_spell_everything(training_texts):
    """Bytes stand for what the vocabulary lacks: nothing is unknown."""
    tokens = SentencePieceTokens.fit(training_texts, **LEARNED)
    words = ["brilosa", "北京", "😀"]
    for ids in tokens.pieces(tf.constant(words)).to_list():
        assert 1 not in ids
    spelled = tokens.tokenizer.detokenize(tokens.pieces(tf.constant(words)))
    assert np.asarray(spelled).astype(str).tolist() == words


def test_sentence_pieces_are_learned_alike_every_time(training_texts):
    first, second = (
        SentencePieceTokens.fit(training_texts, **LEARNED) for _ in range(2)
    )
    assert first.model == second.model


def test_a_size_that_no_vocabulary_can_have_is_told(training_texts):
    with pytest.raises(
        DataError, match=r"vocabulary_size=10 can be learned.*tokenizer=wordpiece"
    ):
        SentencePieceTokens.fit(training_texts, 10, True, 1)


@pytest.mark.parametrize("kind", [WordPieceTokens, SentencePieceTokens])
def test_texts_without_a_word_are_told(kind):
    with pytest.raises(DataError, match=r"No .*Piece vocabulary.*training texts"):
        kind.fit(["", " "], **LEARNED)


@pytest.mark.parametrize("kind", [WordPieceTokens, SentencePieceTokens])
def test_one_word_is_enough(kind):
    tokens = kind.fit(["a"], **LEARNED)
    known, unknown = encode(tokens, ["a", "北"])["ids"]
    assert 1 not in known
    assert unknown
