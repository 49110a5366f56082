"""What a tagger sees of a word: its id, characters, casing shape, and affixes."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf

from seqloom.tasks.vocabulary import Vocabulary, replace_rare

AFFIX_LENGTHS = (2, 3, 4)
NUM_AFFIXES = 2 * len(AFFIX_LENGTHS)
MIN_AFFIX_FREQUENCY = 5
MIN_SHAPE_FREQUENCY = 5


class WordFeatures:
    """Strings to the integer features of a tagger, all in the graph.

    For the word `Paris-2024`, with `lowercase=True`:

        word       paris-0000      digits become 0, case is dropped
        characters P a r i s - 2 0 2 4
        shape      +x-d            + capital, ++ capitals, x lower case, d digits
        affixes    2<pa 2>24 3<par 3>024 4<pari 4>2024

    Args:
        words, characters, shapes, affixes: Vocabularies of the four views.
        lowercase: Whether the word id ignores case.
        max_characters: Characters of a longer word beyond this are not read.
    """

    VIEWS = ("words", "characters", "shapes", "affixes")

    def __init__(
        self,
        words: Vocabulary,
        characters: Vocabulary,
        shapes: Vocabulary,
        affixes: Vocabulary,
        lowercase: bool = True,
        max_characters: int = 20,
    ):
        self.words = words
        self.characters = characters
        self.shapes = shapes
        self.affixes = affixes
        self.lowercase = lowercase
        self.max_characters = max_characters

    @property
    def tables(self) -> list:
        """The lookup tables, which a SavedModel has to hold."""
        return [getattr(self, view).table for view in self.VIEWS]

    def __call__(self, words) -> dict:
        """Features of `(W,)` strings: `(W,)`, `(W, C)`, `(W,)`, `(W, 6)` int32."""
        # Invalid UTF-8 becomes U+FFFD here, since not every op below bears it.
        words = tf.strings.unicode_transcode(words, "UTF-8", "UTF-8")
        characters = tf.strings.unicode_split(words, "UTF-8")[:, : self.max_characters]
        characters = characters.to_tensor("", shape=[None, self.max_characters])
        char_ids = self.characters.lookup(characters)
        return {
            "word_ids": self.words.lookup(normalize(words, self.lowercase)),
            "char_ids": tf.where(characters == "", 0, char_ids),
            "shape_ids": self.shapes.lookup(shape(words)),
            "affix_ids": self.affixes.lookup(affixes(words)),  # (W, 6)
        }

    def replace_rare(self, word_ids, strength: float, seed):
        """Turn rare words into the unknown one; see `vocabulary.replace_rare`."""
        return replace_rare(word_ids, self.words.counts_by_id(), strength, seed)

    def save(self, folder: Path) -> None:
        for view in self.VIEWS:
            getattr(self, view).save(folder / f"{view}.json")

    @classmethod
    def load(
        cls, folder: Path, lowercase: bool = True, max_characters: int = 20
    ) -> "WordFeatures":
        words, characters, shapes, affixes = (
            Vocabulary.load(folder / f"{view}.json") for view in cls.VIEWS
        )
        return cls(words, characters, shapes, affixes, lowercase, max_characters)

    @classmethod
    def fit(
        cls,
        words: Iterable[str],
        min_frequency: int = 1,
        lowercase: bool = True,
        max_characters: int = 20,
    ) -> "WordFeatures":
        """Learn the four vocabularies from the words of a training text."""
        tokens = tf.constant(list(words))
        return cls(
            words=Vocabulary.fit(_strings(normalize(tokens, lowercase)), min_frequency),
            characters=Vocabulary.fit(
                _strings(tf.strings.unicode_split(tokens, "UTF-8").flat_values)
            ),
            shapes=Vocabulary.fit(_strings(shape(tokens)), MIN_SHAPE_FREQUENCY),
            affixes=Vocabulary.fit(_strings(affixes(tokens)), MIN_AFFIX_FREQUENCY),
            lowercase=lowercase,
            max_characters=max_characters,
        )


def normalize(words, lowercase: bool):
    """The form under which a word is looked up: digits as 0, maybe lower-cased."""
    if lowercase:
        words = tf.strings.lower(words, encoding="utf-8")
    return tf.strings.regex_replace(words, r"\p{Nd}", "0")


def shape(words):
    """Casing shape: `U.S.` gives `+.+.`, `EU` `++`, `McDonald` `+x+x`, `3.5` `d.d`."""
    for pattern, symbol in (
        (r"\p{Lu}{2,}", "++"),
        (r"\p{Lu}", "+"),
        (r"[\p{Ll}\p{Lo}\p{Lm}]+", "x"),
        (r"\p{Nd}+", "d"),
    ):
        words = tf.strings.regex_replace(words, pattern, symbol)
    return words


def affixes(words):
    """First and last 2 to 4 characters of `(W,)` words, marked by kind: `(W, 6)`."""
    words = tf.strings.lower(words, encoding="utf-8")
    length = tf.strings.length(words, unit="UTF8_CHAR")
    found = []
    for size in AFFIX_LENGTHS:
        kept = tf.minimum(length, size)
        first = tf.strings.substr(words, tf.zeros_like(kept), kept, unit="UTF8_CHAR")
        last = tf.strings.substr(words, length - kept, kept, unit="UTF8_CHAR")
        found += [tf.strings.join([f"{size}<", first])]
        found += [tf.strings.join([f"{size}>", last])]
    return tf.stack(found, axis=-1)  # (W, 6)


def _strings(tensor) -> list[str]:
    return [item.decode("utf-8") for item in np.ravel(tensor.numpy())]
