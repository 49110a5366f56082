"""Colours told pixel by pixel, and images turned to any hue."""

import colorsys

import keras
import numpy as np
import pytest
from contracts import check_config, check_layer, check_policy, check_traced

from seqloom.layers import ColourEncoder, RandomHue
from seqloom.layers.colour import turn_matrices

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 9, 12, 3)).astype("float32")


def plain(images, layer, cell):
    """By numpy alone, cell by cell."""
    inner, outer = layer.inner, layer.outer
    x = (images - 127.5) / 64
    batch, height, width, _ = x.shape
    x = x.reshape(batch, height // 2, 2, width // 2, 2, 3).mean(axis=(2, 4))
    for dense in (inner, outer):
        x = np.maximum(x @ dense.kernel.numpy() + dense.bias.numpy(), 0)
    cell //= 2
    rows, columns = (range(0, size, cell) for size in x.shape[1:3])
    cells = [
        [x[:, r : r + cell, c : c + cell].max(axis=(1, 2)) for c in columns]
        for r in rows
    ]
    return np.array(cells).transpose(2, 0, 1, 3)


# === Colours ===


def test_contract_of_colours():
    keras.utils.set_random_seed(1)  # of few filters all may be silent by chance
    check_layer(ColourEncoder(6, cell=4), IMAGES)


def test_a_cell_has_the_most_of_what_its_pixels_have():
    layer = ColourEncoder(5, cell=4)
    images = np.concatenate([IMAGES, IMAGES[:, :3]], axis=1)  # 12 rows, 12 columns
    told = layer(images)
    assert told.shape == (2, 3, 3, 5)
    np.testing.assert_allclose(told, plain(images, layer, 4), atol=1e-5)


def test_the_last_cells_may_have_fewer_pixels():
    layer = ColourEncoder(5, cell=8)
    assert layer(IMAGES).shape == (2, 2, 2, 5)
    alone = layer(IMAGES[:, 8:, 8:])
    assert alone.shape == (2, 1, 1, 5)


def test_a_colour_is_told_alike_whatever_has_it():
    layer = ColourEncoder(8, cell=8)
    first = np.full((1, 8, 8, 3), 220.0, "float32")
    second = first.copy()
    first[0, 2:6, 2:6] = (220, 38, 38)
    second[0, 0:2, 0:6] = (220, 38, 38)
    np.testing.assert_array_equal(layer(first), layer(second))
    second[0, 0:2, 0:6] = (50, 105, 235)
    assert np.abs(layer(first) - layer(second)).max() > 1e-2


@pytest.mark.parametrize("name", ["filters", "cell"])
def test_sizes_without_sense_are_told(name):
    with pytest.raises(ValueError, match=f"ColourEncoder needs an integer {name} >= 1"):
        ColourEncoder(**{name: 0})


def test_a_cell_of_odd_size_is_told():
    with pytest.raises(
        ValueError, match="ColourEncoder needs an even cell, got cell=3"
    ):
        ColourEncoder(4, cell=3)


# === Hues ===


def test_a_turn_changes_the_hue_by_its_angle_and_keeps_grey_and_brightness():
    angles = np.array([0.0, 2 * np.pi / 3, 1.0], "float32").reshape(3, 1, 1)
    same, third, any_turn = turn_matrices(angles).numpy()
    colour = np.array([200.0, 50.0, 20.0])
    np.testing.assert_allclose(same @ colour, colour, atol=1e-3)
    # A third of the circle goes from red to green, from green to blue.
    np.testing.assert_allclose(third @ colour, [20, 200, 50], atol=1e-3)
    np.testing.assert_allclose(any_turn @ [90, 90, 90], [90, 90, 90], atol=1e-3)
    turned = any_turn @ colour
    assert turned.mean() == pytest.approx(colour.mean(), abs=1e-3)
    np.testing.assert_allclose(any_turn.T @ any_turn, np.eye(3), atol=1e-6)
    # The hue of a hexagon is not quite that of a circle.
    hues = [colorsys.rgb_to_hsv(*(rgb / 255))[0] for rgb in (colour, turned)]
    assert (hues[1] - hues[0]) * 2 * np.pi == pytest.approx(1.0, abs=0.15)


def test_only_training_turns_and_each_image_by_an_angle_of_its_own():
    layer = RandomHue(seed=3)
    np.testing.assert_array_equal(layer(IMAGES), IMAGES)
    images = np.repeat(IMAGES[:1], 2, axis=0)
    turned = layer(images, training=True).numpy()
    assert np.abs(turned[0] - turned[1]).max() > 10
    assert np.abs(turned[0] - images[0]).max() > 10
    np.testing.assert_allclose(turned.mean(-1), images.mean(-1), atol=1e-3)
    # One angle: colours stay as far apart as they were.
    lengths = [np.linalg.norm(x - x[0, 0], axis=-1) for x in (turned[0], images[0])]
    np.testing.assert_allclose(*lengths, atol=1e-2)
    again = layer(images, training=True).numpy()
    assert np.abs(again - turned).max() > 10


def test_a_seed_gives_the_same_turns():
    first, second = (RandomHue(seed=3)(IMAGES, training=True) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_contract_of_hues():
    layer = RandomHue(seed=1)
    check_config(layer)
    assert layer.compute_output_shape(IMAGES.shape) == IMAGES.shape
    check_traced(layer, [IMAGES], [layer(IMAGES)])
    check_policy(layer, [IMAGES], [layer(IMAGES)], "mixed_bfloat16")
    np.testing.assert_array_equal(layer(IMAGES.astype("uint8")), IMAGES)
