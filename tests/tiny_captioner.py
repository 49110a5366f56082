"""Captioners as small as they can be, with the vocabulary of a few scenes."""

import numpy as np

from seqloom.tasks.captioning import CaptioningTask, CaptionSearch
from seqloom.tasks.subwords import FIRST_BYTE
from seqloom.tasks.synthetic_scenes import synthetic_scenes

SCENES = synthetic_scenes("train", seed=1, number=6)
KINDS = {
    "recurrent": {"units": 8},
    "transformer": {
        "kind": "transformer",
        "units": 8,
        "num_heads": 2,
        "feed_forward_units": 8,
    },
}


def captioner(kind="recurrent", eye=None, **arguments):
    """A task and an untrained model whose captions differ from image to image."""
    task = CaptioningTask(
        "captioning",
        vocabulary_size=400,
        image_size=16,
        search=CaptionSearch(beam=3, length_penalty=0.5, max_length=7),
        eye=eye,
        model={**KINDS[kind], "filters": (4, 4, 4), **arguments},
    )
    task.fit_vocabulary(SCENES)
    model = task.build_model()
    random = np.random.default_rng(44)
    for weight in model.trainable_weights:
        if not weight.path.endswith("gamma"):
            # Large weights make all images look alike, and rounding as large as 1e-5.
            scale = 0.3 if weight.path.startswith("eye") else 0.8
            values = random.normal(0, scale, weight.shape)
            if weight.path.endswith("logits/bias"):
                # Bytes can be control characters, which terminals do not show.
                values[FIRST_BYTE : FIRST_BYTE + 256] = -50
            weight.assign(values)
    return task, model
