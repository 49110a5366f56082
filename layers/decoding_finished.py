"""Hypotheses that have ended, and whether better ones can still come.

Shapes: A sources, K hypotheses of each, C of their extensions, F that are kept.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from seqloom.layers.decoding_extensions import Extensions, pick
from seqloom.layers.decoding_options import END
from seqloom.layers.hypothesis_scores import length_penalty
from seqloom.layers.top_tokens import NEVER


class Finished(NamedTuple):
    """The best that ended, `(A, F)`, best first; those of -inf do not exist.

    Attributes:
        scores: float32 with all penalties.
        log_probabilities: float32 of the model.
        lengths: int32, tokens without the end.
        last: int32, the hypothesis that ended, among all of its step.
    """

    scores: Any
    log_probabilities: Any
    lengths: Any
    last: Any


def none_finished(rows, number) -> Finished:
    never = tf.fill((rows, number), NEVER)
    zeros = tf.zeros((rows, number), tf.int32)
    return Finished(never, never, zeros, zeros)


def add_ended(
    finished: Finished, extensions: Extensions, step, each, alpha, bonuses=None
) -> Finished:
    """The best of those before and those that end at `step`.

    Args:
        each: Number K of hypotheses that were extended.
        alpha: Of the length penalty.
        bonuses: `(A, K)`, added to the scores.
    """
    scores = extensions.totals / length_penalty(step + 1, alpha)
    if bonuses is not None:
        scores += pick(bonuses, extensions.parents)
    ended = Finished(
        tf.where(extensions.tokens == END, scores, NEVER),
        extensions.log_probabilities,
        tf.fill(tf.shape(scores), step),
        tf.range(tf.shape(scores)[0])[:, None] * each + extensions.parents,
    )
    both = tf.nest.map_structure(
        lambda *parts: tf.concat(parts, axis=1), finished, ended
    )  # (A, F+C)
    scores, best = tf.math.top_k(both.scores, tf.shape(finished.scores)[1])
    return pick(both, best)._replace(scores=scores)


def is_decided(finished: Finished, living, step, max_length, alpha):
    """Whether nothing that lives after `step` can come among the kept: `(A,)` bool.

    Log-probabilities only fall, and no bonus is above 0. So the best that may become
    of one is its log-probability over the largest penalty to come: that of the longest
    hypothesis, or of one that ends at once where alpha < 0.

    Args:
        living: `(A, K)` totals.
        max_length: `(A,)` int32.
    """
    lengths = tf.where(alpha >= 0, max_length + 1, step + 2)
    bound = tf.reduce_max(living, axis=1) / length_penalty(lengths, alpha)
    return bound <= finished.scores[:, -1]
