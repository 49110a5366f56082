"""IOB2 rules as lists of bool."""

from itertools import pairwise, product

import pytest

from seqloom.layers import iob2_constraints
from seqloom.layers.constraints import impossible_length


def test_literal():
    allowed, start, end = iob2_constraints(["B-A", "I-A", "O"])
    assert allowed == [[True, True, True], [True, True, True], [True, False, True]]
    assert start == [True, False, True]
    assert end == [True, True, True]


def test_types_do_not_mix():
    tags = ["B-A", "B-A-B", "I-A", "I-A-B", "O"]
    allowed, _, _ = iob2_constraints(tags)
    followers = {
        tag: {tags[j] for j, free in enumerate(row) if free}
        for tag, row in zip(tags, allowed, strict=True)
    }
    assert "I-A-B" in followers["B-A-B"]
    assert "I-A-B" not in followers["B-A"] | followers["I-A"] | followers["O"]


def test_tag_that_is_not_iob2_is_named():
    with pytest.raises(ValueError, match=r"'E-A' is not an IOB2 tag"):
        iob2_constraints(["B-A", "E-A", "O"])


def test_impossible_length_agrees_with_enumeration():
    rules = product([False, True], repeat=8)
    for a, b, c, d, *ends in rules:
        allowed, start, end = [[a, b], [c, d]], ends[:2], ends[2:]
        possible = [
            any(
                start[path[0]]
                and end[path[-1]]
                and all(allowed[i][j] for i, j in pairwise(path))
                for path in product(range(2), repeat=length)
            )
            for length in range(1, 7)
        ]
        expected = None if all(possible) else possible.index(False) + 1
        assert impossible_length(allowed, start, end) == expected
