"""Scenes and the corpus of them: what is held out, what splits share, what repeats."""

import io
import random
from collections import Counter
from itertools import product

import numpy as np
import pytest
from PIL import Image

from seqloom.tasks.records import CaptionedImage
from seqloom.tasks.scene_drawing import draw
from seqloom.tasks.scenes import (
    BACKGROUNDS,
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
from seqloom.tasks.synthetic_scenes import SceneImage, synthetic_scenes

RING = Group("ring", "red", "small", "plain", 1)
SQUARES = Group("square", "blue", "large", "dotted", 2)

# Written out, so that nobody changes the rule, and with it all scores, by accident.
HELD_OUT = {
    *[("red", "circle"), ("orange", "square"), ("yellow", "triangle")],
    *[("green", "ring"), ("blue", "cross"), ("purple", "heart")],
    *[("striped", "orange"), ("dotted", "yellow")],
}


def pairs(scene):
    return {
        pair
        for group in scene.groups
        for pair in ((group.colour, group.shape), (group.texture, group.colour))
    }


@pytest.fixture(scope="module")
def corpus():
    numbers = {"train": 1000, "dev": 200, "test": 300}
    return {
        split: synthetic_scenes(split, seed=5, number=number, size=48)
        for split, number in numbers.items()
    }


def test_groups_are_held_out_by_the_rule():
    for shape, colour, texture in product(SHAPES, COLOURS, TEXTURES):
        group = Group(shape, colour, "small", texture, 1)
        wanted = bool({(colour, shape), (texture, colour)} & HELD_OUT)
        assert group.held_out == wanted, group
        assert Scene((group,)).held_out == wanted
        if (shape, colour) != ("ring", "red"):
            assert Scene((RING, group), "above").held_out == wanted


def test_samples_have_held_out_pairs_or_none():
    generator = random.Random(1)
    for held_out in (False, True):
        scenes = [sample_scene(generator, held_out) for _ in range(2000)]
        assert all(bool(pairs(scene) & HELD_OUT) == held_out for scene in scenes)
        # As many of both kinds have two groups: their scores can be compared.
        two = sum(len(scene.groups) == 2 for scene in scenes)
        assert abs(two / 2000 - 2 / 3) < 0.04
        assert {scene.relation for scene in scenes} == {None, *RELATIONS}
        assert {scene.background for scene in scenes} == set(BACKGROUNDS)


def test_a_scene_told_the_other_way_round():
    scene = Scene((RING, SQUARES), "left")
    assert scene.orders == (((RING, SQUARES), "left"), ((SQUARES, RING), "right"))
    below = Scene((RING, SQUARES), "below")
    assert below.orders[1] == ((SQUARES, RING), "above")
    assert Scene((RING,)).orders == (((RING,), None),)


def test_training_sees_all_but_what_is_held_out(corpus):
    for split in ("train", "dev"):
        assert not any(record.held_out for record in corpus[split])
        assert not any(pairs(record.scene) & HELD_OUT for record in corpus[split])
    groups = [group for record in corpus["train"] for group in record.scene.groups]
    for name, values in {
        "shape": SHAPES,
        "colour": COLOURS,
        "size": SIZES,
        "texture": TEXTURES,
        "count": COUNTS,
    }.items():
        counted = Counter(getattr(group, name) for group in groups)
        assert set(counted) == set(values)
        assert min(counted.values()) > 0.6 * len(groups) / len(values)
    seen = set().union(*(pairs(record.scene) for record in corpus["train"]))
    assert seen == {*product(COLOURS, SHAPES), *product(TEXTURES, COLOURS)} - HELD_OUT


def test_half_of_test_is_held_out(corpus):
    flags = [record.held_out for record in corpus["test"]]
    assert sum(flags) == 150
    assert flags == [bool(pairs(record.scene) & HELD_OUT) for record in corpus["test"]]
    seen = set().union(*(pairs(record.scene) for record in corpus["test"]))
    assert seen >= HELD_OUT


def test_no_description_is_in_two_splits(corpus):
    opposite = {"left": "right", "right": "left", "above": "below", "below": "above"}
    told = {}
    for split, records in corpus.items():
        told[split] = set()
        for scene in (record.scene for record in records):
            told[split].add((scene.groups, scene.relation))
            turned = (scene.groups[::-1], opposite.get(scene.relation))
            told[split].add(turned)
    assert not told["train"] & told["dev"]
    assert not told["train"] & told["test"]
    assert not told["dev"] & told["test"]


def test_records(corpus):
    assert set(CaptionedImage._fields) < set(SceneImage._fields)  # read like any other
    record = corpus["test"][6]
    assert (record.name, record.where) == ("test-0007.png", "synthetic/scenes/test:7")
    assert len(set(record.captions)) == 5
    image = Image.open(io.BytesIO(record.image.read()))
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (48, 48))
    wanted = draw(record.scene, 48, "test 5 7")
    np.testing.assert_array_equal(np.asarray(image), wanted)


def test_repeatable_and_different_between_seeds(corpus):
    first = synthetic_scenes("train", seed=5, number=20, size=48)
    assert first == corpus["train"][:20]
    other = synthetic_scenes("train", seed=6, number=20, size=48)
    assert [one.scene for one in other] != [one.scene for one in first]
    assert len({one.image.read() for one in first}) == 20
    assert synthetic_scenes("dev", number=0) == []


def test_what_is_no_scene():
    with pytest.raises(ValueError, match="no split 'valid'. Choose from train, dev, t"):
        synthetic_scenes("valid")
    with pytest.raises(ValueError, match="colour of a group is 'pink'. .* red, orange"):
        Group("ring", "pink", "small", "plain", 1)
    with pytest.raises(ValueError, match="count of a group is 4. Choose from 1, 2, 3"):
        Group("ring", "red", "small", "plain", 4)
    with pytest.raises(ValueError, match=r"with 2 group\(s\) is None. .* left, right"):
        Scene((RING, SQUARES))
    with pytest.raises(ValueError, match=r"with 1 group\(s\) is 'left'. .* None"):
        Scene((RING,), "left")
    with pytest.raises(ValueError, match="number of groups of a scene is 0"):
        Scene(())
    with pytest.raises(ValueError, match="background of a scene is 'sky'"):
        Scene((RING,), None, "sky")
    with pytest.raises(ValueError, match="must differ in shape or colour"):
        Scene((RING, Group("ring", "red", "large", "striped", 2)), "left")
