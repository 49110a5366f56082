"""Image encoders: from pixels to a grid of features."""

import keras
import numpy as np
from keras import ops

from seqloom.layers.arguments import check_dropout, check_positive

# Standard deviation of the first vectors of rows and of columns.
POSITION_SIZE = 0.5


@keras.saving.register_keras_serializable(package="seqloom")
class ConvolutionalEncoder(keras.layers.Layer):
    """Read images by convolutions, each of which halves the picture.

        x_0 = (image - 127.5) / 64
        x_1 = relu(Conv3x3(x_0, stride 2))
        x_n = relu(LayerNorm(Conv3x3(x_{n-1}, stride 2)))

    where the first is not normalized, which would take from a place how much it differs
    from what is around it; and then by residual ones of stride 1, whose taps lie d
    places apart, so that each place has seen what is around it:

        y_d = y + relu(LayerNorm(Conv3x3(y, dilation d)))

    Shapes: B batch, H and W pixels, C channels of the image, F the last filters.

    Args:
        filters: Channels after each halving.
        dropout: Share of whole channels that is dropped before the residual ones.
        dilations: The d of each of these. With 1 and 3, behind three halvings, a place
            sees 39 pixels to all sides.

    Call arguments:
        images: `(B, H, W, C)`, 0 to 255, integers or floats.

    Returns:
        `(B, H / 2^n, W / 2^n, F)`, rounded up, for n filters.

    Reference: Lecun et al. 1998, Gradient-based learning applied to document
    recognition, section II; the strides in place of pooling: Springenberg et al. 2015,
    https://arxiv.org/abs/1412.6806; dilation: Yu and Koltun 2016,
    https://arxiv.org/abs/1511.07122.
    """

    def __init__(self, filters=(32, 64, 128), dropout=0.0, dilations=(1, 3), **kwargs):
        super().__init__(**kwargs)
        if not filters:
            raise ValueError(
                "ConvolutionalEncoder needs at least one number of filters, got "
                f"filters={filters!r}, for example (32, 64, 128)."
            )
        for number in filters:
            check_positive(self, filters=number)
        for number in dilations:
            check_positive(self, dilations=number)
        check_dropout(self, dropout)
        self.filters = tuple(filters)
        self.dropout = dropout
        self.dilations = tuple(dilations)
        policy = self.dtype_policy
        self.halvings = [
            keras.layers.Conv2D(
                number, 3, strides=2, padding="same", dtype=policy, name=f"halve_{n}"
            )
            for n, number in enumerate(self.filters)
        ]
        self.residuals = [
            keras.layers.Conv2D(
                self.filters[-1],
                3,
                padding="same",
                dilation_rate=number,
                dtype=policy,
                name=f"residual_{n}",
            )
            for n, number in enumerate(self.dilations)
        ]
        self.norms = [
            keras.layers.LayerNormalization(dtype=policy, name=f"norm_{n}")
            for n in range(1, len(self.filters) + len(self.dilations))
        ]
        self.channel_dropout = keras.layers.SpatialDropout2D(dropout, dtype=policy)

    def build(self, images_shape):
        shape = tuple(images_shape)
        for number, halving in enumerate(self.halvings):
            halving.build(shape)
            shape = halving.compute_output_shape(shape)
            if number:
                self.norms[number - 1].build(shape)
        for residual, norm in zip(self.residuals, self._last_norms, strict=True):
            residual.build(shape)
            norm.build(shape)

    def call(self, images, training=None):
        features = (ops.cast(images, self.compute_dtype) - 127.5) / 64
        features = ops.relu(self.halvings[0](features))
        for halving, norm in zip(self.halvings[1:], self.norms, strict=False):
            features = ops.relu(norm(halving(features)))
        for residual, norm in zip(self.residuals, self._last_norms, strict=True):
            dropped = self.channel_dropout(features, training=training)
            features = features + ops.relu(norm(residual(dropped)))
        return features

    @property
    def _last_norms(self) -> list[keras.layers.Layer]:
        return self.norms[len(self.filters) - 1 :]

    def compute_output_shape(self, images_shape):
        shape = tuple(images_shape)
        for halving in self.halvings:
            shape = halving.compute_output_shape(shape)
        return shape

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "dropout": self.dropout,
            "dilations": self.dilations,
        }


@keras.saving.register_keras_serializable(package="seqloom")
class PretrainedImageEncoder(keras.layers.Layer):
    """Read images with a keras_nlp image backbone.

        output = backbone(scale * image + offset)

    Shapes: B batch, H and W pixels, G and K rows and columns of the grid, D its
    features.

    Args:
        backbone: A keras_nlp image backbone (EfficientNet, ResNet, ...), or its
            serialized form.
        scale, offset: Of its preprocessing, from pixels between 0 and 255: a number, or
            one for each channel; a keras_nlp `ImageConverter` has them.
        frozen: Train nothing of the backbone. Its batch normalization then uses what
            it has seen in its own training; while it is trained, its statistics are
            those of the batch.

    Call arguments:
        images: `(B, H, W, 3)`, 0 to 255, RGB.

    Returns:
        `(B, G, K, D)`.
    """

    def __init__(self, backbone, scale=1.0, offset=0.0, frozen=True, **kwargs):
        super().__init__(**kwargs)
        if isinstance(backbone, dict):
            backbone = keras.saving.deserialize_keras_object(backbone)
        self.backbone = backbone
        self.scale = scale
        self.offset = offset
        self.frozen = frozen
        backbone.trainable = not frozen

    def build(self, images_shape):
        pass  # the backbone is built

    def call(self, images, training=None):
        images = ops.cast(images, self.compute_dtype)
        images = images * ops.cast(self.scale, self.compute_dtype)
        images = images + ops.cast(self.offset, self.compute_dtype)
        return self.backbone(images, training=training and not self.frozen)

    def compute_output_shape(self, images_shape):
        return self.backbone.compute_output_shape(tuple(images_shape))

    def get_config(self):
        return {
            **super().get_config(),
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "scale": self.scale,
            "offset": self.offset,
            "frozen": self.frozen,
        }


@keras.saving.register_keras_serializable(package="seqloom")
class GridPosition(keras.layers.Layer):
    """Add to each place of a grid a vector of its row and one of its column.

        output[b, i, j] = input[b, i, j] + row[i] + column[j]

    A convolution alone hardly knows where it is, and attention not at all: both are
    needed to say what is left of what.

    Shapes: B batch, G rows, K columns, D features; G and K must be known.

    Call arguments:
        grid: `(B, G, K, D)`.

    Returns:
        `(B, G, K, D)`.

    Reference: the sum of a vector for each axis, learned, of Dosovitskiy et al. 2021,
    https://arxiv.org/abs/2010.11929, appendix D.4 (there the two are concatenated).
    """

    def build(self, grid_shape):
        _, rows, columns, features = grid_shape
        if rows is None or columns is None:
            raise ValueError(
                "GridPosition needs a grid whose rows and columns are known, got the "
                f"shape {tuple(grid_shape)}. Give the images one size."
            )
        self.rows = self.add_weight(
            name="rows", shape=(rows, 1, features), initializer=_waves(0)
        )
        self.columns = self.add_weight(
            name="columns", shape=(1, columns, features), initializer=_waves(1)
        )

    def call(self, grid):
        return grid + self.rows + self.columns

    def compute_output_shape(self, grid_shape):
        return tuple(grid_shape)


def _waves(axis):
    """An initializer of weights that change smoothly along an axis.

        weight[i] = sum_k z_k cos(pi k (i + 1/2) / n) / k,   k = 1, 2, 3

    for n places and normal z_k `(D,)`. As large as features are: what is small at first
    is long overlooked. And as smooth as places are: of independent vectors it would
    have to be learned for each two of them which is left of which.
    """
    normal = keras.initializers.RandomNormal(stddev=1.0)

    def initialize(shape, dtype=None):
        number = np.arange(1, 4)  # k
        middles = (np.arange(shape[axis]) + 0.5) / shape[axis]
        waves = np.cos(np.pi * number * middles[:, None]) / number  # (n, 3)
        waves *= POSITION_SIZE / np.sqrt(np.sum(0.5 / number**2))
        directions = normal((len(number), shape[-1]), dtype)  # (3, D)
        waves = ops.matmul(ops.cast(waves, dtype), directions)  # (n, D)
        return ops.reshape(waves, shape)

    return initialize
