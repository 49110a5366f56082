"""Subwords: texts to ids and back, in the graph, in training and after reloading."""

import itertools
import os
import subprocess
import sys
from collections import Counter

import keras
import numpy as np
import pytest
import sentencepiece
import tensorflow as tf

from seqloom.tasks.records import DataError
from seqloom.tasks.subword_sampling import BPESampler, UnigramSampler
from seqloom.tasks.subwords import BEGIN, END, Subwords
from seqloom.tasks.synthetic_texts import synthetic_texts

ODD = [
    "",
    " ",
    "two  spaces,  a   tail  ",
    "  a head",
    "a line\nand\ta tab\r\n",
    "%(name)s is  %d%% of {0}",
    "« a\u00a0» … ½ ﬁ e\u0301 é",
    "😀 👨‍👩‍👧 北京 Zoë",
    "a\x00b\x01\x7f",
    "\ufeffx\u200b\u2028y\U0010fffd",
    "<s> </s> <0x41> <unk> <pad>",
    "not " * 300,
]


@pytest.fixture(scope="module")
def training_texts():
    return [record.text for record in synthetic_texts("train", num_texts=300)]


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def subwords(request, training_texts):
    return Subwords.fit(training_texts, 500, request.param)


def ragged(rows):
    return tf.ragged.constant(rows, tf.int32, ragged_rank=1)


def decode(subwords, ids):
    """Through a graph, as evaluation and export do."""
    texts = tf.function(subwords.decode)(ids)
    return [text.decode() for text in texts.numpy().ravel()]


# === Ids and texts ===


def test_ids_are_those_of_sentencepiece(subwords, training_texts):
    library = sentencepiece.SentencePieceProcessor(model_proto=subwords.model)
    texts = [*ODD, *training_texts]
    ids = subwords.encode(tf.constant(texts))
    assert ids.dtype == tf.int32
    assert ids.to_list() == library.encode(texts)
    assert subwords.size == library.get_piece_size() == 500
    specials = ["<pad>", "<unk>", "<s>", "</s>"]
    assert subwords.pieces(range(4)) == specials


def test_no_text_is_changed(subwords, training_texts):
    texts = [*ODD, *training_texts]
    ids = subwords.encode(tf.constant(texts))
    assert decode(subwords, ids) == texts
    assert decode(subwords, ids.to_tensor()) == texts  # padded
    assert tf.reduce_min(ids) > END
    assert ids[0].shape == [0]


def test_no_texts(subwords):
    ids = subwords.encode(tf.constant([], tf.string))
    assert ids.to_list() == []
    assert decode(subwords, ids) == []
    assert subwords.sample([], [1], 0.5) == []


def test_invalid_bytes_are_replaced(subwords):
    broken = tf.constant([b"a\xff\xfe b", b"\xe2\x82", b"\xc3"])
    ids = subwords.encode(broken)
    assert decode(subwords, ids) == ["a�� b", "�", "�"]


def test_the_space_sign_is_written_as_underscore(subwords):
    ids = subwords.encode(tf.constant(["snake▁case"]))
    assert decode(subwords, ids) == ["snake_case"]
    sampled = subwords.sample(["snake▁case"], [1], 0.5)
    assert decode(subwords, ragged(sampled)) == ["snake_case"]


def test_specials_are_not_written(subwords):
    words = subwords.encode(tf.constant(["again and"])).to_list()[0]
    rows = [[BEGIN, *words, END, 0, 0], [BEGIN, END, 0], [0], [], [*words, 1]]
    found = decode(subwords, ragged(rows))
    assert found == ["again and", "", "", "", "again and ⁇ "]
    dense = tf.reshape(ragged(rows[:4]).to_tensor(), [2, 2, -1])
    assert decode(subwords, dense) == found[:4]


def test_bytes_are_joined(subwords):
    library = sentencepiece.SentencePieceProcessor(model_proto=subwords.model)
    euro = [library.piece_to_id(f"<0x{byte:02X}>") for byte in "€".encode()]
    assert subwords.pieces(euro) == ["<0xE2>", "<0x82>", "<0xAC>"]
    assert decode(subwords, ragged([euro, euro[:2]])) == ["€", "�"]


def test_pieces_spell_the_text(subwords):
    ids = subwords.encode(tf.constant(["again the toldur"]))[0].numpy()
    assert "".join(subwords.pieces(ids)) == "▁again▁the▁toldur"


def test_seeding_keras_later_does_no_harm(subwords, training_texts):
    before = subwords.encode(tf.constant(training_texts)).to_list()
    keras.utils.set_random_seed(3)
    assert subwords.encode(tf.constant(training_texts)).to_list() == before


def test_a_saved_model_has_all_it_needs(subwords, training_texts, tmp_path):
    class Copy(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def serve(self, texts):
            return subwords.decode(subwords.encode(texts))

    copy = Copy()
    copy.resources = subwords.resources
    tf.saved_model.save(copy, str(tmp_path))
    again = tf.saved_model.load(str(tmp_path))
    texts = [*ODD, *training_texts[:9]]
    found = again.serve(tf.constant(texts)).numpy()
    assert [text.decode() for text in found] == texts


def test_a_saved_vocabulary_cuts_alike(subwords, training_texts, tmp_path):
    subwords.save(tmp_path, "source")
    again = Subwords.load(tmp_path, "source")
    texts = [*ODD, *training_texts]
    ids = subwords.encode(tf.constant(texts)).to_list()
    assert again.encode(tf.constant(texts)).to_list() == ids
    sampled = subwords.sample(texts, [1], 0.3)
    assert again.sample(texts, [1], 0.3) == sampled
    path = str(tmp_path / "source.model")
    assert sentencepiece.SentencePieceProcessor(model_file=path).encode(texts) == ids


# === Learning ===


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_learning_repeats(training_texts, kind):
    first = Subwords.fit(training_texts, 400, kind)
    assert Subwords.fit(iter(training_texts), 400, kind).model == first.model
    assert b".tsv" not in first.model  # no path of this machine


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_few_texts_give_few_pieces(kind):
    subwords = Subwords.fit(["ab ab abc"] * 20, 8000, kind)
    assert 260 < subwords.size < 280
    assert decode(subwords, subwords.encode(tf.constant(["cab!"]))) == ["cab!"]


def test_long_texts_are_learned_from():
    """The library leaves out texts of more than 4192 bytes."""
    subwords = Subwords.fit(["zebra stripes " * 500, "a"], 300)
    assert len(subwords.encode(tf.constant(["zebra"]))[0]) < 5


def test_case_is_ignored_if_it_should_be(training_texts):
    texts = ["BRILOSA Äöß", "brilosa äöß"]
    for lowercase in (True, False):
        subwords = Subwords.fit(training_texts, 400, lowercase=lowercase)
        ids = subwords.encode(tf.constant(texts))
        expected = [texts[1]] * 2 if lowercase else texts
        assert decode(subwords, ids) == expected
        sampled = subwords.sample(texts, [1], 0.3)
        assert decode(subwords, ragged(sampled)) == expected


def test_what_cannot_be_learned(training_texts):
    with pytest.raises(ValueError, match="no kind 'word'. Set it to one of unigram, b"):
        Subwords.fit(training_texts, 400, "word")
    message = "vocabulary_size=265 can be learned .* 265 vs .* Try another size"
    with pytest.raises(DataError, match=message):
        Subwords.fit(training_texts, 265)
    with pytest.raises(DataError, match="there must be any. .* look at the texts"):
        Subwords.fit(["", ""], 400)


# === Sampling ===

UNIGRAM = {"▁": (260, -2.0), "a": (261, -1.5), "b": (262, -2.5), "ab": (263, -1.0)}
UNIGRAM |= {"▁a": (264, -1.2), "ba": (265, -3.0), "▁ab": (266, -2.2)}
MERGES = {"ab": (264, 0.0), "▁a": (265, -1.0), "▁ab": (266, -2.0), "ba": (267, -3.0)}
MERGES |= {"aba": (268, -4.0), "▁": (261, -5.0), "a": (262, -6.0), "b": (263, -7.0)}
MERGES |= {"aa": (260, -8.0)}


def normalize(texts):
    return ["▁" + text.replace(" ", "▁") if text else "" for text in texts]


def unigram_cuts(text, alpha):
    """The probability of each cut, by going through all of them."""
    weights = {}
    for ends in itertools.product([False, True], repeat=len(text) - 1):
        places = [0, *(i + 1 for i, end in enumerate(ends) if end), len(text)]
        parts = [text[a:b] for a, b in itertools.pairwise(places)]
        known = [part for part in parts if part in UNIGRAM or part == "é"]
        if known == parts:
            scores = [UNIGRAM.get(part, (0, -3.0 - 10.0))[1] for part in parts]
            weights[tuple(parts)] = np.exp(alpha * sum(scores))
    return {parts: w / sum(weights.values()) for parts, w in weights.items()}


def bpe_cuts(parts, alpha):
    """The same for dropout, by going through all sets of dropped merges."""
    merges = [
        (-MERGES[a + b][1], i)
        for i, (a, b) in enumerate(itertools.pairwise(parts))
        if a + b in MERGES
    ]
    found = Counter()
    for kept in itertools.product([False, True], repeat=len(merges)):
        chance = float(np.prod([1 - alpha if keep else alpha for keep in kept]))
        left = [merge for merge, keep in zip(merges, kept, strict=True) if keep]
        if not left:
            found[parts] += chance
            continue
        i = min(left)[1]
        merged = (*parts[:i], parts[i] + parts[i + 1], *parts[i + 2 :])
        for cut, share in bpe_cuts(merged, alpha).items():
            found[cut] += chance * share
    return found


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("word", ["ababaab", "aéb"])
def test_unigram_cuts_have_their_probability(word, alpha):
    spelling = {"é": tuple(4 + byte for byte in "é".encode())}
    spelling |= {piece: (number,) for piece, (number, _) in UNIGRAM.items()}
    expected = {
        tuple(i for part in parts for i in spelling[part]): chance
        for parts, chance in unigram_cuts("▁" + word, alpha).items()
    }
    sampler = UnigramSampler(UNIGRAM, 4, normalize)
    check_frequencies(sampler, word, alpha, expected)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("word", ["ababa", "aaba"])
def test_bpe_cuts_have_their_probability(word, alpha):
    expected = {
        tuple(MERGES[part][0] for part in parts): chance
        for parts, chance in bpe_cuts(tuple("▁" + word), alpha).items()
    }
    check_frequencies(BPESampler(MERGES, 4, normalize), word, alpha, expected)


def check_frequencies(sampler, word, alpha, expected):
    """Both for texts of many words and for many texts, within 5 deviations."""
    assert sum(expected.values()) == pytest.approx(1)
    draws = 20_000
    [long] = sampler.sample([" ".join([word] * draws)], [7], alpha)
    spaces = [cut[0] for cut in expected]
    starts = [i for i, number in enumerate(long) if number in spaces]
    words = [tuple(long[a:b]) for a, b in itertools.pairwise([*starts, len(long)])]
    texts = [tuple(ids) for ids in sampler.sample([word] * draws, [7], alpha)]
    for found in (words, texts):
        assert len(found) == draws
        counts = Counter(found)
        assert set(counts) <= set(expected)
        for cut, chance in expected.items():
            deviation = (draws * chance * (1 - chance)) ** 0.5
            assert abs(counts[cut] - draws * chance) < 5 * deviation + 1


def test_samples_are_cuts_of_the_text(subwords, training_texts):
    texts = [*ODD, *training_texts]
    for alpha in (0.0, 0.1, 0.5, 1.0):
        sampled = subwords.sample(texts, [1, 2], alpha)
        assert decode(subwords, ragged(sampled)) == texts


def test_the_least_random_sample_is_encode(training_texts):
    texts = [*ODD, *training_texts]
    bpe = Subwords.fit(training_texts, 500, "bpe")
    assert bpe.sample(texts, [1], 0.0) == bpe.encode(tf.constant(texts)).to_list()
    unigram = Subwords.fit(training_texts, 500)
    library = sentencepiece.SentencePieceProcessor(model_proto=unigram.model)
    sampled = unigram.sample(texts, [1], 1e4)
    best = unigram.encode(tf.constant(texts)).to_list()
    for found, ids in zip(sampled, best, strict=True):  # cuts may be equally good
        scores = [sum(map(library.get_score, row)) for row in (found, ids)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-3)


def test_the_most_random_sample_is_characters(training_texts):
    bpe = Subwords.fit(training_texts, 500, "bpe")
    [ids] = bpe.sample(["again the"], [1], 1.0)
    assert bpe.pieces(ids) == list("▁again▁the")


def test_samples_depend_on_seed_and_place_alone(subwords, training_texts):
    texts = training_texts[:50]
    first = subwords.sample(texts, [1, 0], 0.3)
    others = ["x " * 40, *texts[1:20], *["y"] * 10, *texts[30:]]
    again = subwords.sample(others, [1, 0], 0.3)
    assert again[1:20] == first[1:20]
    assert again[30:] == first[30:]
    assert subwords.sample(texts, [1, 0], 0.3) == first
    assert subwords.sample(texts, [1, 1], 0.3) != first
    twice = subwords.sample(["not again and again"] * 20, [1, 0], 0.3)
    assert len({tuple(ids) for ids in twice}) > 1


def test_samples_are_equal_in_every_process():
    code = (
        "from seqloom.tasks.subword_sampling import *\n"
        f"unigram, merges, texts = {UNIGRAM!r}, {MERGES!r}, ['▁abab▁é▁', '▁bab']\n"
        "a = UnigramSampler(unigram, 4, list).sample(texts, [3, 1], 0.2)\n"
        "b = BPESampler(merges, 4, list).sample(texts, [3, 1], 0.5)\n"
        "print([a, b])"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
    texts = ["▁abab▁é▁", "▁bab"]
    unigram = UnigramSampler(UNIGRAM, 4, list).sample(texts, [3, 1], 0.2)
    bpe = BPESampler(MERGES, 4, list).sample(texts, [3, 1], 0.5)
    assert found.pop().strip() == str([unigram, bpe])


def test_bad_alpha(training_texts):
    with pytest.raises(ValueError, match=r"alpha >= 0, got -0.1: .* Try 0.2"):
        Subwords.fit(training_texts, 400).sample(["a"], [1], -0.1)
    bpe = Subwords.fit(training_texts, 400, "bpe")
    with pytest.raises(ValueError, match=r"0 <= alpha <= 1, got 1.5: .* Try 0.1"):
        bpe.sample(["a"], [1], 1.5)
