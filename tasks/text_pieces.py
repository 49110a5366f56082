"""What a classifier reads of a text: pieces of words, and where the words lie.

Four ways to cut a text; each tokenizer splits it into words first, so that what is
found out about pieces can be shown on the words of the text:

    WordTokens       words of the training text; rarer ones are unknown
    WordPieceTokens  WordPiece, learned from the training text
    SentencePieceTokens  SentencePiece (unigram), learned from the training text
    PresetTokens     the vocabulary of a pretrained encoder

Ids count from 1: 0 is padding.
"""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import tensorflow as tf

from seqloom.tasks.pretrained import Pretrained, in_graph, never_empty
from seqloom.tasks.records import DataError
from seqloom.tasks.tokenization import split_at_spaces, tokenize
from seqloom.tasks.vocabulary import UNKNOWN_ID, Vocabulary
from seqloom.tasks.word_features import normalize

RESERVED = ("[PAD]", "[UNK]")
SEED = 1


class Tokens(Protocol):
    """A way to cut texts into pieces."""

    def split(self, texts) -> tuple:
        """Words of `(B,)` texts, ragged `(B, (T))`, and their first and last bytes."""

    def pieces(self, words) -> tf.RaggedTensor:
        """Ids from 1 of the pieces of `(W,)` words: ragged int32 `(W, (P))`."""

    @property
    def size(self) -> int:
        """Number of ids, padding included."""

    @property
    def counts(self) -> np.ndarray | None:
        """How often each id was seen in training, float32; None: no rare ones."""

    @property
    def resources(self) -> list:
        """What an export has to hold."""

    def save(self, folder: Path) -> None: ...


class WordTokens:
    """Words as in tagging: punctuation alone, contractions split, digits as 0.

    Args:
        vocabulary: Of normalized words.
        lowercase: Whether a word is looked up in lower case.
    """

    split = staticmethod(tokenize)
    file = "words.json"

    def __init__(self, vocabulary: Vocabulary, lowercase: bool):
        self.vocabulary = vocabulary
        self.lowercase = lowercase
        self.resources = [vocabulary.table]
        self.size = len(vocabulary)
        self.counts = vocabulary.counts_by_id()

    @classmethod
    def fit(cls, texts, vocabulary_size: int, lowercase: bool, min_frequency: int):
        words = normalize(tokenize(tf.constant(texts))[0].flat_values, lowercase)
        found = Vocabulary.fit((w.decode() for w in words.numpy()), min_frequency)
        entries, counts = found.entries[:vocabulary_size], found.counts.tolist()
        return cls(Vocabulary(entries, counts[:vocabulary_size]), lowercase)

    def pieces(self, words):
        ids = self.vocabulary.lookup(normalize(words, self.lowercase))
        return tf.RaggedTensor.from_uniform_row_length(ids, 1)

    def save(self, folder):
        self.vocabulary.save(folder / self.file)

    @classmethod
    def load(cls, folder, lowercase):
        return cls(Vocabulary.load(folder / cls.file), lowercase)


class WordPieceTokens:
    """WordPiece (Schuster & Nakajima 2012) over such words, through keras_nlp."""

    split = staticmethod(tokenize)
    counts = None
    file = "pieces.json"

    def __init__(self, entries: Sequence[str], lowercase: bool):
        import keras_nlp

        self.entries = list(entries)
        self.size = len(self.entries)
        self.tokenizer = keras_nlp.tokenizers.WordPieceTokenizer(
            self.entries, lowercase=lowercase, strip_accents=lowercase, dtype="int32"
        )
        self.resources = [self.tokenizer]
        self._tokenize = in_graph(self.tokenizer)

    @classmethod
    def fit(cls, texts, vocabulary_size: int, lowercase: bool, min_frequency: int):
        import keras_nlp

        words = tokenize(tf.constant(texts))[0]
        if not tf.size(words.flat_values):
            raise DataError(
                "No WordPiece vocabulary can be learned: there is no word in all "
                f"{len(texts)} training texts. Is data.text_column the right one?"
            )
        lines = tf.strings.reduce_join(words, axis=1, separator=" ")
        entries = keras_nlp.tokenizers.compute_word_piece_vocabulary(
            tf.data.Dataset.from_tensor_slices(lines).batch(256),
            vocabulary_size,
            reserved_tokens=list(RESERVED),
            lowercase=lowercase,
            strip_accents=lowercase,
        )
        return cls(entries, lowercase)

    def pieces(self, words):
        return never_empty(self._tokenize(words), UNKNOWN_ID)

    def save(self, folder):
        text = json.dumps(self.entries, ensure_ascii=False)
        (folder / self.file).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder, lowercase):
        entries = json.loads((folder / cls.file).read_text(encoding="utf-8"))
        return cls(entries, lowercase)


class SentencePieceTokens:
    """SentencePiece (Kudo & Richardson 2018) over words between spaces.

    Learned by its own trainer, with a fixed seed on one thread; bytes stand for
    characters that the vocabulary lacks.
    """

    split = staticmethod(split_at_spaces)
    counts = None
    file = "pieces.model"

    def __init__(self, model: bytes):
        import keras_nlp

        self.model = model
        self.tokenizer = keras_nlp.tokenizers.SentencePieceTokenizer(
            proto=model, dtype="int32"
        )
        self.size = self.tokenizer.vocabulary_size()
        self.resources = [self.tokenizer]
        self._tokenize = in_graph(self.tokenizer)

    @classmethod
    def fit(cls, texts, vocabulary_size: int, lowercase: bool, min_frequency: int):
        import sentencepiece

        sentencepiece.set_random_generator_seed(SEED)
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=model,
                vocab_size=vocabulary_size,
                hard_vocab_limit=False,
                byte_fallback=True,
                pad_id=0,
                unk_id=UNKNOWN_ID,
                bos_id=-1,
                eos_id=-1,
                num_threads=1,
                normalization_rule_name="nmt_nfkc_cf" if lowercase else "nmt_nfkc",
                minloglevel=2,
            )
        except (RuntimeError, OSError) as error:
            raise DataError(
                f"No SentencePiece vocabulary of model.vocabulary_size="
                f"{vocabulary_size} can be learned from the training texts: {error}. "
                "Try another size, or model.tokenizer=wordpiece."
            ) from error
        return cls(model.getvalue())

    def pieces(self, words):
        return never_empty(self._tokenize(words), UNKNOWN_ID)

    def save(self, folder):
        (folder / self.file).write_bytes(self.model)

    @classmethod
    def load(cls, folder, lowercase):
        return cls((folder / cls.file).read_bytes())


class PresetTokens:
    """Pieces of a pretrained encoder, of words between spaces; ids go up by one."""

    split = staticmethod(split_at_spaces)
    counts = None

    def __init__(self, pretrained: Pretrained):
        self.pretrained = pretrained
        self.size = pretrained.tokenizer.vocabulary_size() + 1
        self.resources = [pretrained.tokenizer]

    def pieces(self, words):
        return self.pretrained.pieces(words) + 1

    def save(self, folder):
        self.pretrained.save(folder / "preset")

    @classmethod
    def load(cls, folder, lowercase):
        return cls(Pretrained.load(folder / "preset"))


TOKENIZERS = {
    "words": WordTokens,
    "wordpiece": WordPieceTokens,
    "sentencepiece": SentencePieceTokens,
}


def encode(tokens: Tokens, texts, max_length: int) -> dict:
    """Cut `(B,)` texts into words and pieces, in the graph.

    Returns:
        ids: ragged int32 `(B, (S))`, at the most `max_length` pieces, never none: an
            empty text is one unknown piece.
        words: ragged int64 `(B, (S))`, the number of the word, among all words of all
            texts, that each piece is part of; -1 for that of an empty text.
        starts, ends: ragged int64 `(B, (T))`, bytes where all words lie.
        truncated: bool `(B,)`, whether there are pieces that are not read.
    """
    words, starts, ends = tokens.split(texts)
    pieces = tokens.pieces(words.flat_values)  # (W, (P))
    owners = pieces.value_rowids()
    splits = tf.gather(pieces.row_splits, words.row_splits)  # of texts in pieces
    ids, numbers = (
        tf.RaggedTensor.from_row_splits(flat, splits, validate=False)
        for flat in (pieces.flat_values, owners)
    )
    truncated = ids.row_lengths() > max_length
    empty = tf.cast(ids.row_lengths() == 0, tf.int64)

    def filled(rows, value):
        flat = tf.fill([tf.reduce_sum(empty)], tf.cast(value, rows.dtype))
        fill = tf.RaggedTensor.from_row_lengths(flat, empty, validate=False)
        return tf.concat([rows[:, :max_length], fill], axis=1)

    return {
        "ids": filled(ids, UNKNOWN_ID),
        "words": filled(numbers, -1),
        "starts": starts,
        "ends": ends,
        "truncated": truncated,
    }
