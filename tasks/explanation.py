"""Which words of a text a classifier attended to, and which spoke for its answer."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from seqloom.tasks.attribution import integrated_gradients
from seqloom.tasks.highlights import HighlightedText

STEPS = 32
# Longer texts need more memory than a look at them is worth.
MOST_PIECES = 128


def choose_examples(
    rows: Sequence[dict], number: int = 3, seed: int = 0
) -> list[tuple[str, dict]]:
    """Rows worth a look, each with what it is an example of.

    They are the right answers that were surest, the wrong ones that were surest, and
    some drawn by chance.
    """
    surest = sorted(rows, key=lambda row: -row["score"])
    right = [row for row in surest if row["prediction"] == row["reference"]]
    wrong = [row for row in surest if row["prediction"] != row["reference"]]
    drawn = random.Random(seed).sample(list(rows), min(number, len(rows)))
    groups = {
        "surest, and right": right[:number],
        "surest, but wrong": wrong[:number],
        "drawn at random": drawn,
    }
    return [(heading, row) for heading, group in groups.items() for row in group]


def explain(
    model, encode: Callable, row: dict, label_id: int, heading: str = ""
) -> HighlightedText:
    """A row of predictions with the attention and the gradients of its words.

    Args:
        model: A `Classifier`.
        encode: Texts to pieces and their words; see `text_pieces.encode`.
        row: A row of predictions.
        label_id: The id of the label that it predicts.
    """
    encoded = encode(tf.constant([row["text"]]))
    ids = encoded["ids"].values[:MOST_PIECES]  # (S,)
    numbers = encoded["words"].values[:MOST_PIECES].numpy()
    attention = model({"piece_ids": ids[None]}, training=False)["weights"][0].numpy()
    gradients = piece_gradients(model, ids, label_id)
    num_words = int(encoded["starts"].row_lengths()[0])
    raw = row["text"].encode()
    return HighlightedText(
        text=row["text"],
        reference=row["reference"],
        prediction=row["prediction"],
        score=row["score"],
        spans=[
            (_characters(raw, start), _characters(raw, end))
            for start, end in zip(
                encoded["starts"].values.numpy(),
                encoded["ends"].values.numpy(),
                strict=True,
            )
        ],
        attention=_by_word(attention, numbers, num_words),
        gradients=_by_word(gradients, numbers, num_words),
        heading=heading,
    )


def piece_gradients(model, ids, label_id: int) -> np.ndarray:
    """Integrated gradients `(S,)` of a label's probability, for `(S,)` pieces.

    The vectors that the embedding gives stand for the pieces, zeros for the baseline.
    What a pretrained encoder puts around a text is left out of the answer.
    """
    embedding = model.embedding

    def score_of(vectors):
        rows = tf.tile(ids[None], [tf.shape(vectors)[0], 1])  # (N, S)
        with replaced_output(embedding, lambda found: tf.cast(vectors, found.dtype)):
            logits = model({"piece_ids": rows}, training=False)["logits"]
        return tf.nn.softmax(logits)[:, label_id]

    seen = []

    def keep(found):
        seen.append(found)
        return found

    with replaced_output(embedding, keep):
        model({"piece_ids": ids[None]}, training=False)
    values = integrated_gradients(score_of, seen[0][0], 0.0, STEPS).values
    around = len(values) - len(ids)  # start and end
    return values[around // 2 : len(values) - around // 2]


@contextmanager
def replaced_output(layer, replace: Callable) -> Iterator[None]:
    """Let a layer give `replace(output)` instead of its output."""
    call = layer.call
    layer.call = lambda *args, **kwargs: replace(call(*args, **kwargs))
    try:
        yield
    finally:
        del layer.call


def _by_word(values, numbers, num_words: int) -> list[float]:
    """Values of pieces, summed for each of the words they are parts of."""
    sums = np.zeros(num_words)
    read = numbers >= 0
    np.add.at(sums, numbers[read], np.asarray(values)[read])
    return sums.tolist()


def _characters(raw: bytes, end: int) -> int:
    return len(raw[:end].decode("utf-8", "replace"))
