"""Translators as small as they can be, with the vocabulary of a few sentences."""

import numpy as np

from seqloom.tasks.records import SentencePair
from seqloom.tasks.translation import Search, TranslationTask

PAIRS = [
    ("Rhea met Ada in Oslo .", "Rhea a vu Ada à Oslo ."),
    ("Ada was not in Paris !", "Ada n'était pas à Paris !"),
    ("5 of 7 met Rhea", "5 sur 7 ont vu Rhea"),
    ("Save changes ?", "Enregistrer les modifications ?"),
]


def translator(kind="recurrent", search=None, max_length=40, scale=1.0, **arguments):
    """A task and an untrained model whose answers differ from text to text."""
    sizes = {"units": 8, "num_layers": 1}
    if kind == "transformer":
        sizes |= {"num_heads": 2, "feed_forward_units": 12}
    task = TranslationTask(
        "translation",
        vocabulary_size=320,
        max_length=max_length,
        search=search or Search(beam=3, length_penalty=0.6, max_ratio=0.5, max_extra=4),
        model={"kind": kind, "dropout": 0.0, **sizes, **arguments},
    )
    task.fit_vocabulary([SentencePair(*pair) for pair in PAIRS] * 3)
    model = task.build_model()
    random = np.random.default_rng(7)
    for weight in model.trainable_weights:
        if not weight.path.endswith("gamma"):
            weight.assign(random.normal(0, scale, weight.shape))
    return task, model
