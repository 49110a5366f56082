"""The check of captions: nothing wrong passes, nothing right fails."""

import random
from dataclasses import fields, replace

import pytest

from seqloom.tasks.scene_captions import captions
from seqloom.tasks.scene_check import PARTS, SceneCheck, check, summarize
from seqloom.tasks.scenes import (
    COLOURS,
    COUNTS,
    RELATIONS,
    SHAPES,
    SIZES,
    TEXTURES,
    Group,
    Scene,
    sample_scene,
)

RING = Group("ring", "red", "small", "plain", 1)
SQUARES = Group("square", "blue", "large", "striped", 2)
SCENE = Scene((RING, SQUARES), "left")
ALONE = Scene((RING,))

VALUES = {
    "shape": SHAPES,
    "colour": COLOURS,
    "size": SIZES,
    "texture": TEXTURES,
    "count": COUNTS,
}


def scenes(number, seed=0):
    generator = random.Random(seed)
    return [sample_scene(generator, place % 2 == 0) for place in range(number)]


def changed_scenes(scene):
    """All scenes that differ in one thing, and the name of the part."""
    for place, group in enumerate(scene.groups):
        for name, values in VALUES.items():
            for value in values:
                if value == getattr(group, name):
                    continue
                groups = list(scene.groups)
                groups[place] = replace(group, **{name: value})
                if len({(one.shape, one.colour) for one in groups}) == len(groups):
                    part = "objects" if name == "shape" else name
                    yield replace(scene, groups=tuple(groups)), part
    if scene.relation:
        for relation in RELATIONS:
            if relation != scene.relation:
                yield replace(scene, relation=relation), "relation"


def test_right_captions_are_correct():
    generator = random.Random(1)
    for scene in scenes(500):
        for caption in captions(scene, generator):
            found = check(caption, scene)
            assert found.correct, caption
            assert found.wrong == ()
            assert (found.relation is None) == (len(scene.groups) == 1)


def test_every_single_change_is_found_and_named():
    generator = random.Random(2)
    number = 0
    for scene in scenes(100, seed=1):
        for other, part in changed_scenes(scene):
            (caption,) = captions(other, generator, 1)
            found = check(caption, scene)
            assert found.wrong == (part,), (caption, scene)
            assert not found.correct
            number += 1
    assert number > 2000


def test_the_order_does_not_matter():
    generator = random.Random(3)
    for scene in scenes(200, seed=2):
        if scene.relation:
            groups, relation = scene.orders[1]
            turned = replace(scene, groups=groups, relation=relation)
            wrong = replace(scene, groups=groups)
            for caption in captions(turned, generator):
                assert check(caption, scene).correct
            for caption in captions(wrong, generator):
                assert check(caption, scene).wrong == ("relation",)


def mutations(caption):
    """Captions with one word too many, one too few, or one said twice."""
    words = caption.split()
    for place, word in enumerate(words):
        yield [*words[: place + 1], *words[place:]]
        yield [*words[:place], "very", *words[place:]]
        # Without these, a caption may still be one, and say the same.
        if word not in ("plain", "is", "are"):
            yield [*words[:place], *words[place + 1 :]]


def test_captions_with_a_slip_are_not_correct():
    generator = random.Random(4)
    for scene in scenes(150, seed=3):
        for caption in captions(scene, generator, 2):
            for words in mutations(caption):
                assert not check(" ".join(words), scene).correct, words


@pytest.mark.parametrize(
    "caption, wrong",
    {
        # A group is missing, so that nothing is right of it.
        "a small red ring": PARTS,
        "": PARTS,
        "a cat on a mat": PARTS,
        # Or there is one too many.
        "a small red ring left of two large striped blue squares above a small red "
        "ring": (
            "objects",
            "relation",
        ),
        # What belongs to one is said of the other.
        "a small blue ring left of two large striped red squares": ("colour",),
        "a large red ring left of two small striped blue squares": ("size",),
        "a small striped red ring left of two large blue squares": ("texture",),
        "two small red rings left of a large striped blue square": ("count",),
        "a small red square left of two large striped blue rings": ("objects",),
        "two large striped blue squares left of a small red ring": ("relation",),
        "a small red ring and two large striped blue squares": ("relation",),
        # A bit of each.
        "two small red rings right of two large blue hearts": (
            *("objects", "texture", "count", "relation"),
        ),
        # Wrong numbers of a noun.
        "a small red rings left of two large striped blue squares": ("count",),
    }.items(),
)
def test_what_is_wrong_is_named(caption, wrong):
    found = check(caption, SCENE)
    assert found.wrong == tuple(wrong)
    assert not found.correct


def test_an_invented_group():
    found = check("a small red ring left of two large striped blue squares", ALONE)
    assert found.wrong == ("objects",)
    assert found.relation is None
    babble = "a small red ring " * 20
    assert check(babble, ALONE).wrong == ("objects",)


def test_unread_words_make_a_caption_wrong_and_are_told():
    found = check("a small red ring on a mat", ALONE)
    assert not found.correct
    assert found.wrong == ("objects",)  # what "a" begins
    found = check("a very small red ring", ALONE)
    assert not found.correct
    found = check("well a small red ring", ALONE)
    assert (found.wrong, found.unread, found.correct) == ((), ("well",), False)


def test_shares():
    right = SceneCheck(*[True] * 6)
    alone = replace(right, relation=None)
    pale = replace(right, colour=False, count=False)
    turned = replace(right, relation=False)
    babble = replace(alone, unread=("well",))
    shares = summarize(
        [right, alone, pale, turned, babble], [True, False, True, False, False]
    )
    assert shares == pytest.approx(
        {
            "correct": 2 / 5,
            "correct_seen": 1 / 3,
            "correct_held_out": 1 / 2,
            "objects": 1,
            "colour": 4 / 5,
            "size": 1,
            "texture": 1,
            "count": 4 / 5,
            "relation": 2 / 3,
            "readable": 4 / 5,
        }
    )
    assert set(PARTS) < {field.name for field in fields(SceneCheck)}
    assert not any(summarize([], []).values())
    with pytest.raises(ValueError, match="shorter"):
        summarize([right, right], [True])
