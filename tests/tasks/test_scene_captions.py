"""Captions of scenes: right, varied, and read again; other words are told of."""

import random
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqloom.tasks.scene_captions import MAX_CAPTIONS, Mention, captions, parse
from seqloom.tasks.scenes import (
    COLOURS,
    COUNTS,
    SHAPES,
    SIZES,
    TEXTURES,
    Group,
    Scene,
    sample_scene,
)

RING = Mention("ring", "red", "small", "plain", 1)
SQUARES = Mention("square", "blue", "large", "striped", 2)

RIGHT = {
    "a small red ring": ([RING], None),
    "one small plain red ring": ([RING], None),
    "there is a small red ring": ([RING], None),
    "the picture shows two big blue squares with stripes": ([SQUARES], None),
    "there are two large striped blue squares": ([SQUARES], None),
    "a small red ring left of two large striped blue squares": (
        [RING, SQUARES],
        "left",
    ),
    "two big blue squares with stripes are to the right of one small red ring": (
        [SQUARES, RING],
        "right",
    ),
    "there is a small red ring above two big blue squares with stripes": (
        [RING, SQUARES],
        "above",
    ),
    "two large striped blue squares under a small plain red ring": (
        [SQUARES, RING],
        "below",
    ),
    "on the left is a small red ring and on the right are two big striped "
    "blue squares": (
        [RING, SQUARES],
        "left",
    ),
    "two big blue squares with stripes at the bottom and a small red ring at the top": (
        [SQUARES, RING],
        "below",
    ),
    # Nobody writes so here, but there is no doubt about it.
    "  A small RED ring,\n left of two large striped blue squares. ": (
        [RING, SQUARES],
        "left",
    ),
    "an small red ring": ([RING], None),
    "two blue striped large squares": ([SQUARES], None),
}

WRONG = {
    "": ([], None, ()),
    "?!": ([], None, ()),
    "a cat": ([Mention(count=1)], None, ("cat",)),
    "small ring": ([Mention(shape="ring", size="small")], None, ()),
    "a small red": ([Mention(None, "red", "small", "plain", 1)], None, ()),
    "two small red ring": ([Mention("ring", "red", "small")], None, ("ring",)),
    "one small red rings": ([Mention("ring", "red", "small")], None, ("rings",)),
    "a small big red ring": (
        [Mention("ring", "red", None, "plain", 1)],
        None,
        ("big",),
    ),
    "a small red red ring": ([RING], None, ("red",)),
    "a small plain red ring with dots": (
        [Mention("ring", "red", "small", None, 1)],
        None,
        ("with dots",),
    ),
    "with dots a small red ring": ([RING], None, ("with", "dots")),
    "a small red with dots ring": ([RING], None, ("with", "dots")),
    "a small red ring with": ([RING], None, ("with",)),
    "a small red ring left of": ([RING], None, ("left", "of")),
    "a small red ring near two large striped blue squares": (
        [RING, SQUARES],
        None,
        ("near",),
    ),
    "a small red ring two large striped blue squares": ([RING, SQUARES], None, ()),
    "on the left a small red ring and on the left two large striped blue squares": (
        [RING, SQUARES],
        None,
        ("on", "the", "left", "and", "on", "the", "left"),
    ),
    "a small red ring above a small red ring above a small red ring": (
        [RING] * 3,
        None,
        ("above", "above"),
    ),
}


def told(caption):
    description = parse(caption)
    return list(description.groups), description.relation, description.unread


def mention(group):
    return Mention(group.shape, group.colour, group.size, group.texture, group.count)


@pytest.mark.parametrize("caption", RIGHT)
def test_right_captions(caption):
    assert told(caption) == (*RIGHT[caption], ())


@pytest.mark.parametrize("caption", WRONG)
def test_what_cannot_be_read_is_told(caption):
    assert told(caption) == WRONG[caption]


def test_every_caption_is_read_back():
    generator = random.Random(1)
    for number in range(2000):
        scene = sample_scene(generator, held_out=number % 2 == 0)
        orders = [
            ([mention(group) for group in groups], relation, ())
            for groups, relation in scene.orders
        ]
        written = captions(scene, generator)
        assert len(set(written)) == 5
        for caption in written:
            assert told(caption) in orders, caption


def test_every_group_has_captions_enough():
    generator = random.Random(2)
    for values in product(SHAPES, COLOURS, SIZES, TEXTURES, COUNTS):
        scene = Scene((Group(*values),))
        written = captions(scene, generator, MAX_CAPTIONS)
        assert len(set(written)) == MAX_CAPTIONS
        for caption in written:
            assert told(caption) == ([mention(scene.groups[0])], None, ())


def test_grammar():
    """Numbers, nouns and verbs agree, and all is in lower case without punctuation."""
    generator = random.Random(3)
    for _ in range(500):
        scene = sample_scene(generator)
        for caption in captions(scene, generator):
            words = caption.split()
            assert all(word.isascii() and word.islower() for word in words)
            assert all(word.isalpha() for word in words)
            assert caption == " ".join(words)
            for group in scene.groups:
                ending = "es" if group.shape == "cross" else "s"
                noun = group.shape + (ending if group.count > 1 else "")
                assert noun in words
            # Nothing said of a verb but right before or after its group.
            for place, word in enumerate(words):
                if word in ("is", "are"):
                    if words[place + 1] in ("a", "one", "two", "three"):
                        single = words[place + 1] in ("a", "one")
                    else:
                        numbers = [w for w in words[:place] if w in ("a", "one")]
                        single = bool(numbers)
                    assert (word == "is") == single, caption


def test_captions_vary():
    """All ways to say a thing occur, each order as often as the other."""
    generator = random.Random(4)
    ring = Group("ring", "red", "small", "plain", 1)
    squares = Group("square", "blue", "large", "striped", 2)
    scene = Scene((ring, squares), "above")
    written = [captions(scene, generator, 1)[0] for _ in range(3000)]
    for words in (
        *("a small", "one small", "small red", "small plain red", "two large"),
        *(
            "two big",
            "striped blue squares",
            "blue squares with stripes",
            "the picture",
        ),
        *(" above ", " below ", " under ", " is above ", " are under ", "there is"),
        *("there are", "at the top is", "at the top and", "at the bottom are"),
    ):
        assert sum(words in caption for caption in written) > 50, words
    first = sum(c.index("ring") < c.index("squares") for c in written)
    assert abs(first / 3000 - 0.5) < 0.05
    plain = sum("plain" in caption for caption in written)
    assert abs(plain / 3000 - 0.25) < 0.05
    assert len(set(written)) > 150


def test_repeatable():
    scene = sample_scene(random.Random(5))
    assert captions(scene, random.Random(6)) == captions(scene, random.Random(6))
    assert captions(scene, random.Random(6)) != captions(scene, random.Random(7))


VOCABULARY = sorted({word for caption in [*RIGHT, *WRONG] for word in caption.split()})


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(VOCABULARY), max_size=25).map(" ".join) | st.text())
def test_nothing_is_raised_and_nothing_invented(caption):
    """Whatever comes: what is said of groups are words of the caption."""
    description = parse(caption)
    words = caption.lower()
    for group in description.groups:
        assert group.shape is None or group.shape in words
        assert group.colour is None or group.colour in words
        assert group.count in (None, 1) or ("two", "three")[group.count - 2] in words
    if description.relation is not None:
        assert len(description.groups) == 2


@pytest.mark.parametrize("number", [0, 7])
def test_too_many(number):
    with pytest.raises(ValueError, match=f"1 to 6 captions .* got number={number}"):
        captions(sample_scene(random.Random(0)), random.Random(0), number)
