"""Images from bytes, in the graph: decoded, brought to one size, varied in training."""

import tensorflow as tf

# More would need gigabytes to decode: a file of a few bytes can claim any size.
MAX_PIXELS = 50_000_000
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_SIZE = 16, 8  # where width and height stand in a PNG file, and how long they are


def decode_image(data, size: int):
    """Decode one image and squash it to a square.

    Args:
        data: Scalar string, the bytes of a JPEG or PNG file.
        size: Pixels on each side.

    Returns:
        `(size, size, 3)` float32 from 0 to 255, RGB. Grey images become coloured ones,
        transparency is left out.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs: these are no such bytes,
            they are cut off, or the image has more than `MAX_PIXELS`.
    """
    is_jpeg = tf.io.is_jpeg(data)
    is_png = tf.equal(tf.strings.substr(data, 0, len(_PNG_START)), _PNG_START)
    check = tf.debugging.assert_equal(is_jpeg | is_png, True, "no JPEG and no PNG")
    with tf.control_dependencies([check]):
        data = tf.identity(data)
    shape = tf.cond(is_jpeg, lambda: _jpeg_size(data), lambda: _png_size(data))
    pixels = tf.reduce_prod(shape)
    check = tf.debugging.assert_less_equal(
        pixels, tf.constant(MAX_PIXELS, tf.int64), "the image is too large"
    )
    with tf.control_dependencies([check]):
        data = tf.identity(data)
    # As exact as other decoders; the default trades that for a little speed.
    image = tf.cond(
        is_jpeg,
        lambda: tf.io.decode_jpeg(data, 3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_png(data, 3),
    )
    image.set_shape([None, None, 3])
    image = tf.image.resize(image, [size, size], antialias=True)
    return tf.clip_by_value(image, 0.0, 255.0)


def decode_images(data, size: int):
    """As `decode_image` for `(B,)` strings: `(B, size, size, 3)`."""
    return tf.map_fn(
        lambda one: decode_image(one, size),
        data,
        fn_output_signature=tf.TensorSpec([size, size, 3], tf.float32),
    )


def decode_what_can_be(data, size: int) -> tuple:
    """Decode a batch in which some may be no images.

    Args:
        data: `(B,)` strings.

    Returns:
        Which are images, `(B,)` bool, and `(B, size, size, 3)` float32, black for those
        that are none.
    """
    number = tf.size(data)
    # A graph cannot catch an error, but a dataset can leave out what fails.
    places, images = (
        tf.data.Dataset.from_tensor_slices((tf.range(number), data))
        .map(lambda place, one: (place, decode_image(one, size)))
        .ignore_errors()
        .batch(tf.cast(tf.maximum(number, 1), tf.int64))
        .reduce(
            (tf.zeros([0], tf.int32), tf.zeros([0, size, size, 3])),
            lambda before, found: found,
        )
    )
    places = places[:, None]  # (C, 1)
    read = tf.scatter_nd(places, tf.ones([tf.shape(places)[0]], tf.bool), [number])
    shape = tf.stack([number, size, size, 3])
    return read, tf.scatter_nd(places, images, shape)


def vary_images(images, seed):
    """Vary images a little, so that left, right and colours stay what they are.

    Each is cut to between 85 and 100 % of its height and of its width, at any place,
    and brought to its size again; brightness and contrast change by up to 10 %.

    Args:
        images: `(B, H, W, 3)` float32 from 0 to 255.
        seed: `(2,)` integers; the same ones vary in the same way.

    Returns:
        The same shape and range.
    """
    seeds = tf.random.split(tf.cast(seed, tf.int32), 4)
    rows = tf.shape(images)[0]
    sides = tf.random.stateless_uniform([rows, 2], seeds[0], 0.85, 1.0)
    first = tf.random.stateless_uniform([rows, 2], seeds[1]) * (1 - sides)
    boxes = tf.concat([first, first + sides], axis=1)  # (B, 4)
    size = tf.shape(images)[1:3]
    images = tf.image.crop_and_resize(images, boxes, tf.range(rows), size)
    shape = [rows, 1, 1, 1]
    brightness = tf.random.stateless_uniform(shape, seeds[2], -25.5, 25.5)
    contrast = tf.random.stateless_uniform(shape, seeds[3], 0.9, 1.1)
    mean = tf.reduce_mean(images, axis=(1, 2), keepdims=True)  # (B, 1, 1, 3)
    images = (images - mean) * contrast + mean + brightness
    return tf.clip_by_value(images, 0.0, 255.0)


def _jpeg_size(data):
    return tf.cast(tf.io.extract_jpeg_shape(data)[:2], tf.int64)


def _png_size(data):
    start, length = _PNG_SIZE
    # Of a file that is cut off there may be less to read, which is an error, too.
    sides = tf.io.decode_raw(tf.strings.substr(data, start, length), tf.uint8)  # (8,)
    sides = tf.cast(tf.reshape(sides, (2, 4)), tf.int64)
    return tf.reduce_sum(sides * [1 << 24, 1 << 16, 1 << 8, 1], axis=1)
