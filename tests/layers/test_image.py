"""Image encoders against plain convolutions; what they promise of size and place."""

import keras
import keras_nlp
import numpy as np
import pytest
import tensorflow as tf
from contracts import check_config, check_gradients, check_layer, check_saving, squares

from seqloom.layers import ConvolutionalEncoder, GridPosition, PretrainedImageEncoder

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 9, 12, 3)).astype("float32")


def plain(images, layer):
    """By tf.nn and numpy alone."""

    def normalized(x, norm):
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        scaled = (x - mean) / np.sqrt(variance + norm.epsilon)
        return scaled * norm.gamma.numpy() + norm.beta.numpy()

    def convolved(x, convolution, strides=1, dilation=1):
        kernel, bias = convolution.kernel.numpy(), convolution.bias.numpy()
        there = tf.nn.conv2d(x, kernel, strides, "SAME", dilations=dilation)
        return there.numpy() + bias

    first, *halvings = layer.halvings
    x = np.maximum(convolved((images - 127.5) / 64, first, 2), 0)
    for convolution, norm in zip(halvings, layer.norms, strict=False):
        x = np.maximum(normalized(convolved(x, convolution, 2), norm), 0)
    for convolution, norm, dilation in zip(
        layer.residuals, layer.norms[1:], layer.dilations, strict=True
    ):
        near = normalized(convolved(x, convolution, dilation=dilation), norm)
        x = x + np.maximum(near, 0)
    return x


def convolutional(**arguments):
    layer = ConvolutionalEncoder((4, 5), **arguments)
    layer(IMAGES)
    random = np.random.default_rng(1)
    layer.set_weights([random.normal(size=w.shape) for w in layer.weights])
    return layer


def test_contract_of_convolutions():
    check_layer(ConvolutionalEncoder((4, 5)), IMAGES)


def test_convolutions_halve_each_time_and_equal_plain_ones():
    layer = convolutional()
    grid = layer(IMAGES)
    assert grid.shape == (2, 3, 3, 5)  # 9 to 5 to 3 rows, 12 to 6 to 3 columns
    np.testing.assert_allclose(grid, plain(IMAGES, layer), atol=1e-4)


def test_a_place_sees_as_far_as_the_dilations_reach():
    layer = ConvolutionalEncoder((4, 4, 4), dilations=(1, 3))
    image = np.full((1, 128, 128, 3), 100.0, "float32")
    before = layer(image).numpy()
    image[0, 68, 68] = 0.0  # inside the place (8, 8)
    changed = np.abs(layer(image) - before).max(axis=(0, 3)) > 0
    rows, columns = np.nonzero(changed)
    # Four places to each side by the dilations, and one more by the halvings.
    for places in (rows, columns):
        assert 3 <= places.min() <= 4 and 12 <= places.max() <= 13


def test_whole_numbers_are_read_as_pixels():
    layer = convolutional()
    np.testing.assert_array_equal(layer(IMAGES), layer(IMAGES.astype("uint8")))


def test_dropout_is_for_training_only():
    layer = convolutional(dropout=0.5)
    still = convolutional()
    np.testing.assert_array_equal(layer(IMAGES), still(IMAGES))
    dropped = layer(IMAGES, training=True)
    assert np.abs(dropped - still(IMAGES)).max() > 1e-3


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ((), "ConvolutionalEncoder needs at least one number of filters, got filters="),
        ((8, 0), "ConvolutionalEncoder needs an integer filters >= 1, got filters=0"),
    ],
)
def test_wrong_filters_are_told(filters, message):
    with pytest.raises(ValueError, match=message):
        ConvolutionalEncoder(filters)


# === Positions ===


def test_each_place_gets_the_vectors_of_its_row_and_its_column():
    grid = np.random.default_rng(2).normal(size=(2, 3, 4, 5)).astype("float32")
    layer = GridPosition()
    placed = layer(grid).numpy()
    rows, columns = layer.rows.numpy()[:, 0], layer.columns.numpy()[0]
    for row, column in np.ndindex(3, 4):
        expected = grid[:, row, column] + rows[row] + columns[column]
        np.testing.assert_allclose(placed[:, row, column], expected, atol=1e-6)
    vectors = (placed - grid)[0].reshape(-1, 5)
    apart = np.abs(vectors[:, None] - vectors).max(axis=2)  # (12, 12)
    assert apart[~np.eye(12, dtype=bool)].min() > 0.01
    check_config(GridPosition())
    check_gradients(layer, [grid], squares)


def test_places_start_with_vectors_like_those_of_their_neighbours():
    keras.utils.set_random_seed(3)
    layer = GridPosition()
    layer.build((None, 8, 8, 500))
    for vectors in (layer.rows.numpy()[:, 0], layer.columns.numpy()[0]):
        assert vectors.std() == pytest.approx(0.5, abs=0.03)
        from_first = np.linalg.norm(vectors - vectors[0], axis=1)
        assert (np.diff(from_first) > 0).all()
    assert np.abs(layer.rows[:, 0] - layer.columns[0]).max() > 0.1


def test_a_grid_of_unknown_size_is_told():
    with pytest.raises(ValueError, match=r"rows and columns are known, got the shape"):
        GridPosition()(keras.Input((None, 4, 5)))


# === Pretrained ===


@pytest.fixture
def backbone():
    keras.utils.set_random_seed(3)
    return keras_nlp.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
        image_shape=(16, 16, 3),
    )


PICTURES = np.random.default_rng(4).integers(0, 256, (2, 16, 16, 3)).astype("float32")


def test_a_backbone_reads_preprocessed_pixels(backbone):
    layer = PretrainedImageEncoder(backbone, scale=1 / 128, offset=[-1.0, 0.0, 1.0])
    grid = layer(PICTURES)
    expected = backbone(PICTURES / 128 + np.array([-1.0, 0.0, 1.0], "float32"))
    np.testing.assert_allclose(grid, expected, atol=1e-5)
    assert layer.compute_output_shape(PICTURES.shape) == grid.shape
    check_saving(layer, [PICTURES], [grid])


def test_a_frozen_backbone_learns_nothing_and_keeps_its_statistics(backbone):
    layer = PretrainedImageEncoder(backbone)
    before = [weight.numpy() for weight in layer.weights]
    still = layer(PICTURES)
    np.testing.assert_array_equal(layer(PICTURES, training=True), still)
    assert layer.trainable_weights == []
    for weight, value in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_a_backbone_that_is_not_frozen_learns(backbone):
    layer = PretrainedImageEncoder(backbone, frozen=False)
    assert layer.trainable_weights
    moving = [w for w in layer.weights if "moving_mean" in w.path]
    before = [weight.numpy() for weight in moving]
    layer(PICTURES, training=True)
    changed = [
        np.abs(weight - value).max() > 0
        for weight, value in zip(moving, before, strict=True)
    ]
    assert all(changed)
