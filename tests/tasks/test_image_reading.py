"""Reading images: against Pillow, and what happens to bytes that are no image."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from seqloom.tasks.image_reading import (
    decode_image,
    decode_images,
    decode_what_can_be,
    vary_images,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)


def encoded(kind="PNG", mode="RGB", pixels=PIXELS):
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def bomb():
    """A PNG of a hundred bytes that claims to have 10 gigapixels."""

    def chunk(kind, body):
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")


def by_pillow(data, size):
    image = Image.open(io.BytesIO(data)).convert("RGB")
    channels = [
        image.getchannel(name).convert("F").resize((size, size), Image.BILINEAR)
        for name in "RGB"
    ]
    return np.stack([np.asarray(channel) for channel in channels], axis=-1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [5, 16])
def test_images_are_what_pillow_makes_of_them(kind, mode, size):
    data = encoded(kind, mode)
    image = decode_image(data, size)
    assert image.shape == (size, size, 3)
    np.testing.assert_allclose(image, by_pillow(data, size), atol=2)


def test_sixteen_bits_and_a_single_pixel():
    deep = Image.fromarray(PIXELS[..., 0].astype("uint16") * 257)
    buffer = io.BytesIO()
    deep.save(buffer, "PNG")
    image = decode_image(buffer.getvalue(), 20)
    flat = decode_image(encoded(mode="L", pixels=PIXELS[..., 0]), 20)
    np.testing.assert_allclose(image, flat, atol=1)
    pixel = decode_image(encoded(pixels=PIXELS[:1, :1]), 4).numpy()
    np.testing.assert_array_equal(pixel, np.broadcast_to(PIXELS[0, 0], (4, 4, 3)))


BAD = {
    "empty": b"",
    "text": b"a cat on a mat",
    "cut JPEG": encoded("JPEG")[:200],
    "cut PNG": encoded("PNG")[:200],
    "broken JPEG": b"\xff\xd8\xff" + b"\0" * 90,
    "GIF": encoded("GIF"),
    "bomb": bomb(),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_image_fails(name):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_image(BAD[name], 4)


def test_in_a_batch_the_others_are_read(tmp_path):
    good = [encoded("PNG"), encoded("JPEG"), encoded("PNG", "L")]
    data = [good[0], *BAD.values(), good[1], good[2]]

    class Reading(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="images")])
        def read(self, images):
            found, pixels = decode_what_can_be(images, 6)
            return {"found": found, "pixels": pixels}

    module = Reading()
    tf.saved_model.save(module, str(tmp_path), signatures={"read": module.read})
    read = tf.saved_model.load(str(tmp_path)).signatures["read"]
    answer = read(images=tf.constant(data))
    assert answer["found"].numpy().tolist() == [True, *[False] * len(BAD), True, True]
    pixels = answer["pixels"].numpy()
    np.testing.assert_array_equal(
        pixels[[0, -2, -1]], decode_images(tf.constant(good), 6)
    )
    assert not pixels[1:-2].any()
    for nothing in ([], list(BAD.values())):
        answer = read(images=tf.constant(nothing, tf.string))
        assert answer["pixels"].shape == (len(nothing), 6, 6, 3)
        assert not answer["found"].numpy().any()


def test_varied_images_keep_their_sides_and_their_colours():
    """A red left and a blue right half stay so; the same seed gives the same."""
    image = np.zeros((40, 16, 16, 3), "float32")
    image[:, :, :8, 0] = 200
    image[:, :, 8:, 2] = 200
    varied = vary_images(image, [1, 2]).numpy()
    assert varied.min() >= 0
    assert varied.max() <= 255
    left, right = varied[:, :, :5], varied[:, :, 11:]
    assert (left[..., 0] > left[..., 2] + 100).all()
    assert (right[..., 2] > right[..., 0] + 100).all()
    assert len({one.tobytes() for one in varied}) == 40
    np.testing.assert_array_equal(vary_images(image, [1, 2]), varied)
    assert np.abs(vary_images(image, [1, 3]) - varied).max() > 1
