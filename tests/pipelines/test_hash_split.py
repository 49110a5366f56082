"""Splits by a hash of the text: pinned, fair, and the same for duplicates."""

import hashlib

import pytest

from seqloom.pipelines.hash_split import normalize, split_of


@pytest.mark.parametrize(
    ("text", "split"),
    # Pinned, as a change would mix what runs were trained and tested on.
    [("a fine film.", "train"), ("d", "test"), ("text 0", "dev"), ("text 1", "train")],
)
def test_pinned(text, split):
    bucket = int(hashlib.sha256(text.encode()).hexdigest()[:16], 16) % 10
    assert split == ("train" if bucket < 8 else ("dev", "test")[bucket - 8])
    assert split_of(text) == split


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("  A  fine\t film.\n", "a fine film."),
        ("ＦＩＮＥ\u00a0film", "fine film"),
        ("ﬁne straße", "FINE STRASSE"),
        ("cafe\u0301", "CAFÉ"),
    ],
)
def test_duplicates_stay_together(text, same):
    assert normalize(text) == normalize(same)
    assert split_of(text) == split_of(same)
    assert normalize(text) != normalize(text + " film")


def test_shares():
    texts = [f"text {number}" for number in range(5000)]
    shares = [
        sum(split_of(text) == name for text in texts) / len(texts)
        for name in ("train", "dev", "test")
    ]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.015)
