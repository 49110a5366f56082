"""Which vectors of a sequence speak for a model's score, and which against it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf


class Attribution(NamedTuple):
    """What `integrated_gradients` finds.

    Attributes:
        values: float64 `(T,)`: what each step adds to the score, or takes from it.
        gap: Sum of `values` minus the difference that they should sum to, the score
            of the vectors minus that of the baseline. Near 0 if there are enough steps.
    """

    values: np.ndarray
    gap: float


def integrated_gradients(
    score_of: Callable[[tf.Tensor], tf.Tensor],
    vectors,
    baseline,
    steps: int = 50,
    batch_size: int = 25,
) -> Attribution:
    """Share a score out among the vectors of one sequence.

        values[t] = sum over d of (x[t, d] - x'[t, d])
                    · integral over a from 0 to 1 of  dF(x' + a (x - x')) / dx[t, d]

    The integral is a sum over `steps` points by the midpoint rule, which is exact for
    linear and quadratic functions F.

    Shapes: N sequences, T steps, D features.

    Args:
        score_of: Vectors `(N, T, D)` to scores `(N,)`, differentiable, each sequence
            by itself: without dropout or batch statistics. N differs between calls.
        vectors: float `(T, D)`, such as the embeddings of a text's tokens.
        baseline: float `(T, D)`, or anything that broadcasts to it: vectors that say
            nothing, such as 0 or the embedding of padding.
        steps: Points on the way from baseline to vectors.
        batch_size: Points that go through `score_of` at once.

    Raises:
        ValueError: Shapes or numbers do not fit, or the scores do not depend on the
            vectors.

    Reference: Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365, equations 1
    and 3 (points in the middle of their steps) and proposition 1 (the gap is 0).
    """
    vectors = tf.convert_to_tensor(vectors, tf.float32)
    if vectors.shape.rank != 2:
        raise ValueError(
            "integrated_gradients takes the vectors of one sequence, (T, D), got the "
            f"shape {tuple(vectors.shape)}. Call it for each sequence of a batch."
        )
    for name, number in (("steps", steps), ("batch_size", batch_size)):
        if number < 1:
            raise ValueError(f"integrated_gradients needs {name} >= 1, got {number}.")
    baseline = tf.convert_to_tensor(baseline, tf.float32)
    if not _broadcasts(baseline.shape, vectors.shape):
        raise ValueError(
            f"The baseline of shape {tuple(baseline.shape)} does not fit the vectors "
            f"of shape {tuple(vectors.shape)}. Give one vector, or one for each step."
        )
    baseline = tf.broadcast_to(baseline, vectors.shape)
    difference = vectors - baseline
    places = (np.arange(steps, dtype=np.float32) + 0.5) / steps
    total = np.zeros(vectors.shape, np.float64)
    for first in range(0, steps, batch_size):
        part = places[first : first + batch_size, None, None]  # (N, 1, 1)
        total += _gradients(score_of, baseline + part * difference)
    values = (total / steps * difference.numpy()).sum(axis=-1)  # (T,)
    low, high = _scores(score_of, tf.stack([baseline, vectors])).numpy()
    return Attribution(values, float(values.sum() - (float(high) - float(low))))


def _gradients(score_of: Callable, points: tf.Tensor) -> np.ndarray:
    """Sum over the N points of the gradient of their scores: `(T, D)`."""
    with tf.GradientTape() as tape:
        tape.watch(points)
        scores = _scores(score_of, points)
    gradients = tape.gradient(scores, points)  # (N, T, D)
    if gradients is None:
        raise ValueError(
            "The scores do not depend on the vectors: there is no gradient. Does "
            "score_of use what it is given, in TensorFlow throughout?"
        )
    return gradients.numpy().astype(np.float64).sum(axis=0)  # (T, D)


def _scores(score_of: Callable, points: tf.Tensor) -> tf.Tensor:
    scores = tf.convert_to_tensor(score_of(points))
    if scores.shape != points.shape[:1]:
        raise ValueError(
            f"score_of gave the shape {tuple(scores.shape)} for {points.shape[0]} "
            "sequences: it must give one number for each. Choose one label's score."
        )
    return tf.cast(scores, tf.float32)


def _broadcasts(shape: tf.TensorShape, target: tf.TensorShape) -> bool:
    try:
        return tf.broadcast_static_shape(shape, target) == target
    except ValueError:
        return False
