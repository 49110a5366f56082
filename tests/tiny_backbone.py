"""An image backbone that has learned nothing: a preset folder of a few kilobytes."""

from pathlib import Path

import keras_nlp
import numpy as np

FILTERS = 5
SCALE, OFFSET = 1 / 64, [-2.0, -1.5, -1.0]


def vgg(seed=0, **options):
    """A VGG that halves images twice, with weights that make every pixel matter."""
    backbone = keras_nlp.models.VGGBackbone([1, 1], [4, FILTERS], **options)
    random = np.random.default_rng(seed)
    for weight in backbone.weights:
        weight.assign(random.normal(0, 0.4, weight.shape))
    return backbone


def save_tiny_backbone(folder: Path, seed=0, converter=True) -> Path:
    """Write a preset as keras_nlp does, with the preprocessing or without."""
    folder.mkdir(parents=True, exist_ok=True)
    vgg(seed).save_to_preset(str(folder))
    if converter:
        save_converter(folder, scale=SCALE, offset=OFFSET)
    return folder


def save_converter(folder: Path, **options) -> None:
    keras_nlp.layers.VGGImageConverter(**options).save_to_preset(str(folder))
