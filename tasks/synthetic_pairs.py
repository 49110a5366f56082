"""Synthetic twins of translation: made from a seed, learnable within a minute.

The target is the source, word for word (copy), or its words from the last to the first
(reverse). The words are a closed list of ten, and sentences have two to five of them:
few enough to be kept in mind by a decoder without attention. A sentence of test is
never one of training, though all its words are. A translator that misses 99 % of such
sentences has a fault: copy asks where to look, reverse how to find a place that the
order of the source does not give away.

    source    mivo tarp lusk mivo
    copy      mivo tarp lusk mivo
    reverse   mivo lusk tarp mivo
"""

import random

from seqloom.tasks.records import SentencePair

KINDS = ("copy", "reverse")
SIZES = {"train": 4000, "dev": 200, "test": 200}
MIN_WORDS, MAX_WORDS = 2, 5
WORDS = (
    *("balo", "dorn", "fiju", "gump", "jasu"),
    *("lusk", "mivo", "quon", "tarp", "wozy"),
)


def synthetic_pairs(
    kind: str, split: str, seed: int = 0, num_pairs: int | None = None
) -> list[SentencePair]:
    """Make the pairs of a split; the same arguments always give the same ones.

    All sentences of all splits differ.

    Args:
        kind: "copy" or "reverse"; the sources of both are the same.
        split: "train", "dev" or "test".
        seed: Seed of the generator.
        num_pairs: Only the first so many; defaults to 4,000 of training, 200 of the
            others.
    """
    if kind not in KINDS:
        raise ValueError(
            f"There is no synthetic twin {kind!r} of translation. Choose from "
            f"{', '.join(KINDS)}."
        )
    pairs = []
    for number, words in enumerate(_sentences(split, seed)[:num_pairs], start=1):
        target = words if kind == "copy" else words[::-1]
        where = f"synthetic/{kind}/{split}:{number}"
        pairs.append(SentencePair(" ".join(words), " ".join(target), where))
    return pairs


def _sentences(split: str, seed: int) -> list[tuple[str, ...]]:
    """Deal the sentences out like cards, so that every split has its share of lengths.

    There are few short sentences that differ: a split drawn before the others would
    take them all.
    """
    generator = random.Random(f"pairs {seed}")
    sentences: dict[tuple[str, ...], None] = {}
    while len(sentences) < sum(SIZES.values()):
        length = generator.randint(MIN_WORDS, MAX_WORDS)
        sentences[tuple(generator.choices(WORDS, k=length))] = None
    dealt: dict[str, list[tuple[str, ...]]] = {name: [] for name in SIZES}
    for number, words in enumerate(sentences):
        hand = {0: "dev", 1: "test"}.get(number % 22, "train")
        dealt[hand].append(words)
    return dealt[split]
