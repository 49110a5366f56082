"""Words as pieces of a pretrained vocabulary, against keras_nlp called by hand."""

import numpy as np
import pytest
import tensorflow as tf
from tiny_preset import VOCABULARY, bert, byte_tokenizer, roberta, tokenizer

from seqloom.tasks.pretrained import MAX_PIECES, Pretrained, never_empty

WORDS = ["fine", "Film", "films", "unfine", "paris.", "don't", "a", "北京", "q" * 10]


@pytest.fixture(scope="module")
def pretrained():
    return Pretrained(tokenizer(), bert)


def spelled(pieces):
    return [[VOCABULARY[index] for index in row] for row in pieces.to_list()]


def test_pieces_are_those_of_the_tokenizer_alone(pretrained):
    """In one graph call, and word by word in keras_nlp's own way."""
    expected = [pretrained.tokenizer.tokenize(word) for word in WORDS]
    expected = [np.asarray(ids).tolist() for ids in expected]
    assert pretrained.pieces(tf.constant(WORDS)).to_list() == expected
    assert len({tuple(ids) for ids in expected}) == len(WORDS)


def test_pieces_by_hand(pretrained):
    found = pretrained.pieces(tf.constant(["fine", "Films", "a.", "北"]))
    assert found.dtype == tf.int32
    assert spelled(found) == [["fine"], ["film", "##s"], ["a", "."], ["[UNK]"]]


@pytest.mark.parametrize("word", ["", " ", "\u200b"])
def test_a_word_without_anything_to_read_is_the_unknown_piece(pretrained, word):
    found = pretrained.pieces(tf.constant(["fine", word, "film"]))
    assert spelled(found) == [["fine"], ["[UNK]"], ["film"]]


def test_long_words_are_cut_to_the_most_pieces(pretrained):
    words = ["b" + "z" * (MAX_PIECES + n) for n in (-2, -1, 0, 20)] + ["b" * 10_000]
    found = pretrained.pieces(tf.constant(words))
    assert found.row_lengths().numpy().tolist() == [MAX_PIECES - 1] + [
        MAX_PIECES
    ] * 3 + [1]
    assert spelled(found)[3] == ["b"] + ["##z"] * (MAX_PIECES - 1)
    assert spelled(found)[4] == ["[UNK]"]


def test_no_words_have_no_pieces(pretrained):
    found = pretrained.pieces(tf.constant([], tf.string))
    assert found.shape.as_list() == [0, None]


def test_byte_pairs_spell_the_space_before_a_word():
    pretrained = Pretrained(byte_tokenizer(), roberta)
    words = ["fine", "a", "zfine", "Zë", ""]
    ids = pretrained.tokenizer
    expected = [ids.tokenize(" " + word) for word in words[:4]]
    expected = [np.asarray(row).tolist() for row in expected]
    found = pretrained.pieces(tf.constant(words)).to_list()
    assert found[:4] == expected
    assert found[0] == [ids.token_to_id("Ġfine")]
    assert found[4] == [ids.token_to_id("Ġ")]


def test_the_encoder_puts_the_tokenizer_s_ids_around(pretrained):
    encoder = pretrained.encoder()
    names = [VOCABULARY[i] for i in (encoder.start_id, encoder.end_id)]
    assert [*names, VOCABULARY[encoder.padding_id]] == ["[CLS]", "[SEP]", "[PAD]"]
    assert encoder.window == 16
    other = Pretrained(byte_tokenizer(), roberta).encoder()
    assert (other.start_id, other.end_id, other.padding_id) == (0, 2, 1)


def test_a_saved_copy_cuts_and_encodes_alike(tmp_path):
    strip = type(tokenizer())(VOCABULARY, lowercase=True, strip_accents=True)
    first = Pretrained(strip, bert, lora_rank=2)
    first.save(tmp_path)
    again = Pretrained.load(tmp_path)
    words = tf.constant([*WORDS, "Zoë", "été", "", "z" * 40])
    assert again.pieces(words).to_list() == first.pieces(words).to_list()
    assert spelled(again.pieces(words))[9] == ["zoe"]
    assert (again.frozen, again.lora_rank) == (False, None)
    plain, copy = bert(), again.encoder()
    assert not any(weight.name.startswith("lora") for weight in copy.weights)
    copy.set_weights(Pretrained(strip, lambda: plain).encoder().get_weights())
    ids = tf.constant([[7, 8, 9]])
    expected = Pretrained(strip, lambda: plain).encoder()(ids)
    np.testing.assert_array_equal(copy(ids), expected)


def test_a_tokenizer_without_special_pieces_is_refused():
    import keras_nlp

    words = keras_nlp.tokenizers.WordPieceTokenizer(VOCABULARY, oov_token="[UNK]")
    with pytest.raises(
        ValueError,
        match="WordPieceTokenizer has none of the special tokens cls_token_id",
    ):
        Pretrained(words, bert).encoder()


def test_empty_rows_are_filled_in_place():
    rows = tf.ragged.constant([[5, 6], [], [7], []], dtype=tf.int32)
    assert never_empty(rows, 1).to_list() == [[5, 6], [1], [7], [1]]
