"""A set of texts against Python's own."""

import random

from seqloom.pipelines.text_set import TextSet


def test_it_is_a_set():
    draw = random.Random(1)
    texts = [str(draw.randrange(4000)) for _ in range(9000)]  # grows three times
    texts += ["", "é", "a\x00", "a", "\udc80"]
    found, expected = TextSet(), set()
    for text in texts:
        assert (text in found) == (text in expected)
        assert found.add(text) == (text not in expected)
        expected.add(text)
        assert len(found) == len(expected)
    assert all(text in found for text in expected)
    assert not any(f"{text}x" in found for text in expected)
