"""Split texts by what they say: the same text is always in the same split.

A corpus without splits of its own gets them here, and so do files of your own. Neither
the order of the texts nor chance has a say, so a text stays where it is when others are
added, and its duplicates are with it: none is trained on and tested on.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np

# Of ten buckets eight are for training, one for validation, one for test.
_NUM_BUCKETS = 10
_BUCKETS = {8: "dev", 9: "test"}


def normalize(text: str) -> str:
    """The text as far as duplicates go: NFKC, casefolded, blanks collapsed to one."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def digest(text: str) -> bytes:
    """SHA-256 of the normalized text; its order has nothing to do with the label."""
    return hashlib.sha256(normalize(text).encode("utf-8")).digest()


def split_of(text: str) -> str:
    """ "train", "dev" or "test", in the long run 80, 10 and 10 of a hundred texts.

        bucket = first 8 bytes of digest(text), big end first, modulo 10
        0 to 7: train, 8: dev, 9: test

    For example "A fine film." and " a  FINE film." are both in "train".
    """
    return _BUCKETS.get(_key(text) % _NUM_BUCKETS, "train")


def split_rows(texts: Iterable[str], names: Sequence[str]) -> dict[str, np.ndarray]:
    """The numbers of the texts of each split, "train" and those of `names`.

    They are sorted by `digest` (its first 8 bytes, and texts that are equal as they
    come); training has the texts of a split that is not asked for. The texts are read
    once and not kept.

    Returns:
        `(n,)` int64 for each split.
    """
    keys = np.fromiter(map(_key, texts), np.uint64)  # (N,)
    order = np.argsort(keys, kind="stable")
    buckets = keys[order] % _NUM_BUCKETS
    split = {name: buckets == b for b, name in _BUCKETS.items() if name in names}
    split["train"] = ~np.any([*split.values()], axis=0)
    return {name: order[split[name]] for name in ("train", *names)}


def _key(text: str) -> int:
    return int.from_bytes(digest(text)[:8], "big")
