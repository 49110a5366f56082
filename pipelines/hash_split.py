"""Split texts by what they say: the same text is always in the same split.

A corpus without splits of its own gets them here, and so do files of your own. Neither
the order of the texts nor chance has a say, so a text stays where it is when others are
added, and its duplicates are with it: none is trained on and tested on.
"""

import hashlib
import unicodedata

# Of ten buckets eight are for training, one for validation, one for test.
_DEV_BUCKET, _TEST_BUCKET, _NUM_BUCKETS = 8, 9, 10


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
    bucket = int.from_bytes(digest(text)[:8], "big") % _NUM_BUCKETS
    return {_DEV_BUCKET: "dev", _TEST_BUCKET: "test"}.get(bucket, "train")
