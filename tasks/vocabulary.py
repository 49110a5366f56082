"""Vocabularies: strings to ids, inside and outside the graph."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from seqloom.tasks.records import DataError

PADDING_ID = 0
UNKNOWN_ID = 1
NUM_RESERVED = 2


class Vocabulary:
    """A fixed list of strings with in-graph lookup.

    Id 0 is padding and id 1 every unknown string; the entries follow from id 2 in
    the order given, for example `Vocabulary(["the", "cat"])` gives `the` 2, `cat` 3.

    Args:
        entries: Distinct strings.
        counts: How often each entry occurred in training, in the same order;
            rare-word replacement reads it. Optional.
    """

    def __init__(self, entries: Sequence[str], counts: Sequence[int] | None = None):
        self.entries = tuple(entries)
        self.counts = np.asarray(counts or [1] * len(self.entries), np.int64)
        if len(set(self.entries)) != len(self.entries):
            raise DataError("A vocabulary names an entry twice: entries must differ.")
        # Lookups are made in eager mode once, so that no tf.data graph owns them.
        with tf.init_scope():
            # A table cannot be empty: one without entries knows no string anyway.
            keys = tf.constant(self.entries or ("",), tf.string)
            first = NUM_RESERVED if self.entries else UNKNOWN_ID
            ids = tf.range(first, first + len(keys), dtype=tf.int32)
            self.table = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(keys, ids), UNKNOWN_ID
            )

    def __len__(self) -> int:
        """Number of ids, padding and unknown included."""
        return NUM_RESERVED + len(self.entries)

    def lookup(self, strings):
        """Ids, int32, in the shape of the string tensor given."""
        return self.table.lookup(strings)

    def counts_by_id(self) -> np.ndarray:
        """Training counts as float32 `(len(self),)`; infinite for reserved ids."""
        reserved = np.full([NUM_RESERVED], np.inf, np.float32)
        return np.concatenate([reserved, self.counts.astype(np.float32)])

    def save(self, path: Path) -> None:
        content = {"entries": self.entries, "counts": self.counts.tolist()}
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(content["entries"], content["counts"])

    @classmethod
    def fit(cls, strings: Iterable[str], min_frequency: int = 1) -> "Vocabulary":
        """All strings that occur `min_frequency` times, the most frequent first."""
        counts = Counter(strings)
        kept = [item for item in counts.items() if item[1] >= min_frequency]
        kept.sort(key=lambda item: (-item[1], item[0]))
        return cls([entry for entry, _ in kept], [count for _, count in kept])


def replace_rare(ids, counts: np.ndarray, strength: float, seed):
    """Turn known ids into the unknown one with probability a / (a + count).

    Args:
        ids: int32 of any shape.
        counts: float32, how often each id was seen in training.
        strength: The number a.
        seed: `(2,)` int32; the same seed draws the same.

    Reference: Kiperwasser & Goldberg 2016, https://arxiv.org/abs/1603.04351,
    section 4 ("word dropout").
    """
    seen = tf.gather(tf.constant(counts), ids)
    draw = tf.random.stateless_uniform(tf.shape(ids), seed)
    return tf.where(draw < strength / (strength + seen), UNKNOWN_ID, ids)
