"""What every exported model is asked: the inputs of golden examples."""

import numpy as np
import tensorflow as tf

GOLDEN_TEXTS: tuple[bytes, ...] = (
    b"Rhea met Ada in Paris.",
    "Zoë Müller didn't visit Łódź, Kraków or 北京 on 3.5.2024".encode(),
    "Ada ❤️ Paris 👩‍👩‍👧 👍🏽 !!".encode(),
    b"",
    b" \t\n",
    b'"U.S. shares rose 1,000 points," Mr. Ng of Reuters said...',
    ("In Oslo, Kim Ng paid $3.5 to Acme Corp. " * 250).encode(),  # 10,000 characters
    b"x" * 300,
    b"Ada \xff\xfe met \xe2\x82 Rhea in \xc3",  # no valid UTF-8
    b"Ada\x00 met\x01 Rhea",
)
# Other numbers than those of any config, with their types.
GOLDEN_SEARCH = {
    "beam": {"int32": 3},
    "n_best": {"int32": 2},
    "length_penalty": {"float32": 0.5},
    "max_length": {"int32": 30},
}


def golden_images() -> list[bytes]:
    """Images of all kinds, and bytes that are none; always the same.

    Coloured, grey and with transparency, wider than high and higher than wide, a lone
    pixel, a JPEG, an image that is cut off, nothing, and a text.
    """
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    photo = np.kron(coarse, np.ones((12, 12, 1), np.uint8))  # (72, 96, 3)
    png = tf.io.encode_png(photo).numpy()
    return [
        png,
        tf.io.encode_jpeg(photo, quality=90).numpy(),
        tf.io.encode_png(photo[:, :20, :1]).numpy(),
        tf.io.encode_png(np.concatenate([photo, photo[..., :1]], axis=-1)).numpy(),
        tf.io.encode_png(photo[:1, :1]).numpy(),
        png[: len(png) // 2],
        b"",
        b"Rhea met Ada in Paris.",
    ]
