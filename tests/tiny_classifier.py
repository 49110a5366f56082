"""Classifiers as small as they can be, of every encoder."""

import numpy as np
from tiny_preset import WINDOW, bert

from seqloom.layers import PretrainedEncoder
from seqloom.tasks.classifier import build_classifier

VOCABULARY, LABELS = 40, 3


def classifier(encoder="recurrent", pooling="attention", **arguments):
    """A classifier whose every weight is large enough to matter."""
    pretrained = None
    if encoder == "pretrained":
        own = {k: arguments.pop(k) for k in ("lora_rank", "frozen") if k in arguments}
        pretrained = PretrainedEncoder(
            bert(), 2, 3, 0, window=WINDOW, name="pretrained", **own
        )
        arguments["encoder"] = "none"
    settings = {"encoder": encoder, "units": 8, "word_units": 6, "num_heads": 2}
    settings |= {"feed_forward_units": 12, "pooling": pooling, "dropout": 0.0}
    model = build_classifier(
        VOCABULARY, LABELS, pretrained, **{**settings, **arguments}
    )
    random = np.random.default_rng(7)
    given = {weight.path for weight in pretrained.weights} if pretrained else ()
    for weight in model.trainable_weights:
        if weight.path not in given and not weight.path.endswith("gamma"):
            weight.assign(random.normal(0, 0.6, weight.shape))
    return model
