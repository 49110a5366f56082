"""Colours of images: told without shapes, and turned so that shapes stand alone."""

import math

import keras
import numpy as np
from keras import ops

from seqloom.layers.arguments import check_positive

GREY = np.full((3, 3), 1 / 3)  # keeps the part of a colour that is grey
# Turns a colour by a quarter around grey: the cross product with (1, 1, 1) / sqrt(3).
QUARTER = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)


@keras.saving.register_keras_serializable(package="seqloom")
class RandomHue(keras.layers.Layer):
    """In training, turn the colours of each image around grey by any angle.

        output = R(a) image,   R(a) = G + cos(a) (I - G) + sin(a) Q,   a ~ U(0, 2 pi)

    with the projection G onto grey and the quarter turn Q around it (Rodrigues), one
    angle for an image. What is grey stays, and so does the mean of the three channels;
    single channels can leave 0 to 255. What reads the output learns edges, shapes and
    textures in every colour, and nothing that hangs on one.

    Shapes: B batch, H and W pixels.

    Args:
        seed: Of the angles; None draws one.

    Call arguments:
        images: `(B, H, W, 3)`, RGB, integers or floats.
        training: Whether to turn; otherwise the images stay as they are.

    Returns:
        `(B, H, W, 3)` in the dtype of the computation.

    Reference: the colour distortion of Chen et al. 2020,
    https://arxiv.org/abs/2002.05709, appendix A, here of the hue alone and by any
    angle.
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seeds = keras.random.SeedGenerator(seed)

    def build(self, images_shape):
        pass

    def call(self, images, training=None):
        images = ops.cast(images, self.compute_dtype)
        if not training:
            return images
        rows = ops.shape(images)[0]
        angles = keras.random.uniform((rows, 1, 1), 0.0, 2 * math.pi, seed=self.seeds)
        turns = turn_matrices(angles)  # (B, 3, 3)
        turns = ops.cast(turns, self.compute_dtype)
        return ops.einsum("bhwc,bdc->bhwd", images, turns)

    def compute_output_shape(self, images_shape):
        return tuple(images_shape)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


def turn_matrices(angles):
    """R(a) of `RandomHue`, `(B, 3, 3)`, for `(B, 1, 1)` angles in radians."""
    colour = np.eye(3) - GREY
    grey, colour, quarter = (m.astype("float32") for m in (GREY, colour, QUARTER))
    return grey + ops.cos(angles) * colour + ops.sin(angles) * quarter


@keras.saving.register_keras_serializable(package="seqloom")
class ColourEncoder(keras.layers.Layer):
    """Tell which colours there are in each cell of an image, and nothing of shapes.

        y = relu(W_2 relu(W_1 (x - 127.5) / 64 + b_1) + b_2)
        output = max over a cell of y

    where x is the mean of 2 x 2 pixels, which is a quarter of the work. Each is looked
    at alone, so a colour is told alike whatever has it.

    Shapes: B batch, H and W pixels, C channels of the image, F filters.

    Args:
        filters: Features F of a cell.
        cell: Pixels of each side of a cell, an even number; at the right and at the
            bottom there may be fewer.

    Call arguments:
        images: `(B, H, W, C)`, 0 to 255, integers or floats.

    Returns:
        `(B, H / cell, W / cell, F)`, rounded up.

    Reference: convolutions of single pixels: Lin et al. 2014,
    https://arxiv.org/abs/1312.4400, section 3.
    """

    def __init__(self, filters=32, cell=8, **kwargs):
        super().__init__(**kwargs)
        check_positive(self, filters=filters, cell=cell)
        if cell % 2:
            raise ValueError(f"ColourEncoder needs an even cell, got cell={cell}.")
        self.filters = filters
        self.cell = cell
        policy = self.dtype_policy
        self.mean = keras.layers.AveragePooling2D(2, padding="same", dtype=policy)
        self.inner = keras.layers.Dense(
            filters, activation="relu", dtype=policy, name="inner"
        )
        self.outer = keras.layers.Dense(
            filters, activation="relu", dtype=policy, name="outer"
        )
        self.most = keras.layers.MaxPooling2D(cell // 2, padding="same", dtype=policy)

    def build(self, images_shape):
        self.inner.build(images_shape)
        self.outer.build((*images_shape[:-1], self.filters))

    def call(self, images):
        x = self.mean((ops.cast(images, self.compute_dtype) - 127.5) / 64)
        return self.most(self.outer(self.inner(x)))

    def compute_output_shape(self, images_shape):
        shape = self.mean.compute_output_shape(tuple(images_shape))
        return self.most.compute_output_shape((*shape[:-1], self.filters))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "cell": self.cell}
