"""Pictures of scenes, recognized again by means that know nothing of the drawing."""

import hashlib
import io
import random

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from seqloom.tasks.scene_drawing import draw, png_bytes
from seqloom.tasks.scenes import (
    COLOURS,
    SHAPES,
    TEXTURES,
    Group,
    Scene,
    sample_scene,
)

# Hues in degrees, about what people mean by the words.
HUES = {
    "red": 0,
    "orange": 30,
    "yellow": 52,
    "green": 135,
    "blue": 220,
    "purple": 280,
}


def saturation(image):
    image = image.astype(int)
    return image.max(axis=-1) - image.min(axis=-1)


def is_object(image):
    """What is colourful or dark; backgrounds are pale."""
    return (saturation(image) > 45) | (image.max(axis=-1) < 160)


def objects(image):
    """The mask of each object, cut out with its pixels: connected parts."""
    labels, number = ndimage.label(is_object(image), np.ones((3, 3)))
    found = []
    for place, box in enumerate(ndimage.find_objects(labels), start=1):
        found.append((box, labels[box] == place, image[box]))
    assert len(found) == number
    return found


def colour_of(mask, pixels):
    image = Image.fromarray(pixels[mask & (saturation(pixels) > 100)][None])
    hues = np.asarray(image.convert("HSV"))[..., 0] * (360 / 256)
    distances = {
        name: np.median(np.minimum(abs(hues - hue), 360 - abs(hues - hue)))
        for name, hue in HUES.items()
    }
    return min(distances, key=distances.get)


def shape_of(mask):
    if ndimage.binary_fill_holes(mask).sum() > mask.sum() + 3:
        return "ring"
    if mask.mean() > 0.92:
        return "square"
    middle = mask.shape[0] // 2
    top, bottom = mask[:middle].sum(), mask[-middle:].sum()
    if abs(top - bottom) < 0.12 * mask.sum():
        return "circle" if mask.mean() > 0.68 else "cross"
    return "heart" if top > bottom else "triangle"


def texture_of(mask, pixels, unit):
    """Ink goes on along a stripe; of dots, it soon ends in every direction."""
    ink = mask & (pixels.max(axis=-1) < 100)
    if ink.mean() < 0.02:
        return "plain"
    step = 3 * unit // 2
    near, far = np.s_[:-step, step:], np.s_[step:, :-step]  # one is down left of other
    told = ink[near] & mask[far]
    return "striped" if ink[far][told].mean() > 0.6 else "dotted"


def scenes(number, seed=0):
    """Half of them with held-out pairs; two groups in colours that differ."""
    generator = random.Random(seed)
    found = []
    while len(found) < number:
        scene = sample_scene(generator, held_out=len(found) % 2 == 0)
        if len({group.colour for group in scene.groups}) == len(scene.groups):
            found.append(scene)
    return found


@pytest.mark.parametrize("size", [64, 97])
def test_all_objects_are_there_apart_and_inside(size):
    for number, scene in enumerate(scenes(150)):
        image = draw(scene, size, number)
        assert image.shape == (size, size, 3)
        assert image.dtype == np.uint8
        edge = np.ones((size, size), bool)
        edge[1:-1, 1:-1] = False
        assert saturation(image)[edge].max() < 30
        counts = dict.fromkeys((group.colour for group in scene.groups), 0)
        for _, mask, pixels in objects(image):
            counts[colour_of(mask, pixels)] += 1
        assert counts == {group.colour: group.count for group in scene.groups}


def test_shapes_and_sizes():
    for number, scene in enumerate(scenes(100, seed=1)):
        groups = {group.colour: group for group in scene.groups}
        for _, mask, pixels in objects(draw(scene, 128, number)):
            group = groups[colour_of(mask, pixels)]
            assert shape_of(mask) == group.shape, (number, scene)
            assert ("large" if max(mask.shape) > 28 else "small") == group.size


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", ["small", "large"])
def test_textures(shape, size):
    for colour in COLOURS:
        for texture in TEXTURES:
            scene = Scene((Group(shape, colour, size, texture, 1),))
            ((_, mask, pixels),) = objects(draw(scene, 256))
            assert shape_of(mask) == shape
            assert texture_of(mask, pixels, 4) == texture
            # Ink leaves enough of the colour.
            (_, mask, pixels), *more = objects(draw(scene, 64))
            assert not more
            assert colour_of(mask, pixels) == colour
            ink = pixels[mask].max(axis=-1) < 110
            assert 0.1 < ink.mean() < 0.6 or (texture == "plain" and not ink.any())


@pytest.mark.parametrize(
    "relation, axis, sign",
    [("left", 1, 1), ("right", 1, -1), ("above", 0, 1), ("below", 0, -1)],
)
def test_relations_cannot_be_mistaken(relation, axis, sign):
    found = [scene for scene in scenes(400, seed=2) if scene.relation == relation]
    assert len(found) > 40
    for number, scene in enumerate(found):
        image = draw(scene, 64, number)
        places = {group.colour: [] for group in scene.groups}
        for box, mask, pixels in objects(image):
            span = [(side.start, side.stop) for side in box]
            places[colour_of(mask, pixels)].append(span)
        first, second = (np.array(places[group.colour]) for group in scene.groups)
        # (objects, axis, begin and end)
        if sign < 0:
            first, second = second, first
        assert first[:, axis, 1].max() + 3 <= second[:, axis, 0].min()
        apart = (second.mean(axis=(0, 2)) - first.mean(axis=(0, 2)))[[axis, 1 - axis]]
        assert abs(apart[1]) <= 0.6 * apart[0]


def test_objects_are_all_over_the_picture():
    ever = np.zeros((64, 64), bool)
    for number, scene in enumerate(scenes(400, seed=3)):
        ever |= is_object(draw(scene, 64, number))
    assert ever[6:-6, 2:-2].all()
    assert ever[2:-2, 6:-6].mean() > 0.95


@pytest.mark.parametrize(
    "background, least, most",
    [("solid", 1, 1), ("gradient", 9, 256), ("noise", 3, 4), ("stripes", 2, 2)],
)
def test_backgrounds_are_pale_and_vary(background, least, most):
    scene = Scene((Group("circle", "blue", "small", "plain", 1),), None, background)
    images = np.stack([draw(scene, 64, seed) for seed in range(30)])
    pale = ~ndimage.binary_dilation(is_object(images), np.ones((1, 5, 5)))
    assert images[pale].min() > 195
    assert saturation(images)[pale].max() < 30
    corners = images[:, ::63, ::63].reshape(30, -1)
    assert len({corner.tobytes() for corner in corners}) > 5
    numbers = [len(np.unique(image[dry], axis=0)) for image, dry in zip(images, pale)]
    assert min(numbers) >= least
    assert max(numbers) <= most


def test_edges_are_smooth():
    scene = Scene((Group("circle", "blue", "large", "plain", 1),))
    image = draw(scene, 64)
    between = (saturation(image) > 30) & (saturation(image) < 170)
    assert 20 < between.sum() < 80


def test_the_same_pixels_everywhere():
    generator = random.Random(7)
    digest = hashlib.sha256()
    for number in range(100):
        scene = sample_scene(generator, number % 2 == 0)
        image = draw(scene, 64, f"seed {number}")
        assert (image == draw(scene, 64, f"seed {number}")).all()
        assert (image != draw(scene, 64, f"seed {number + 1}")).any()
        digest.update(image.tobytes())
    assert digest.hexdigest()[:16] == "7bc248384b384f5f"


def test_png_files_hold_the_pixels():
    image = draw(scenes(1)[0], 80)
    data = png_bytes(image)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), image)
    assert data == png_bytes(image)


def test_too_small():
    with pytest.raises(ValueError, match="size=47: .* Set it to 48 or more"):
        draw(scenes(1)[0], 47)
