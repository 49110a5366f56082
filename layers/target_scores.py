"""How probable a decoder calls given texts."""

from typing import Any, NamedTuple

import tensorflow as tf

from seqloom.layers.decoding_options import BEGIN, END, PADDING, require
from seqloom.layers.hypothesis_scores import coverage_score, length_penalty


class TargetScores(NamedTuple):
    """Scores of B given texts of at most T tokens.

    Attributes:
        scores: `(B,)` float32 with the penalties.
        log_probabilities: `(B,)` float32, of the tokens and the end.
        token_log_probabilities: `(B, T+1)` float32, of each token, then of the end; 0
            after it.
    """

    scores: Any
    log_probabilities: Any
    token_log_probabilities: Any


def score(
    decoder,
    target_ids,
    memory,
    memory_mask=None,
    initial_state=None,
    length_penalty=0.0,
    coverage_penalty=0.0,
) -> TargetScores:
    """Score given texts as `generate` scores what it finds.

    Args:
        decoder: Called with `(targets, memory, memory_mask, initial_state)`, it gives
            logits `(B, T+1, V)` and attention `(B, T+1, S)`.
        target_ids: `(B, T)` int32 without begin and end, padded with 0 on the right.
        memory: `(B, S, D)`, what the encoder read.
        memory_mask: `(B, S)` bool, True at real steps; without it all are.
        initial_state: Of the decoder, where it takes one.
        length_penalty, coverage_penalty: As in `DecodingOptions`.

    Reference: Wu et al. 2016, https://arxiv.org/abs/1609.08144, equation 14.
    """
    require(
        coverage_penalty >= 0,
        "score needs coverage_penalty >= 0, got coverage_penalty={}.",
        coverage_penalty,
    )
    targets, labels = _shifted(tf.cast(target_ids, tf.int32))
    logits, attention = decoder(
        targets,
        memory,
        memory_mask=memory_mask,
        initial_state=initial_state,
        training=False,
    )
    real = labels != PADDING  # (B, T+1)
    chosen = tf.gather(logits, labels, batch_dims=2)  # (B, T+1)
    gains = tf.where(real, chosen - tf.reduce_logsumexp(logits, axis=-1), 0.0)
    total = tf.reduce_sum(gains, axis=1)  # (B,)
    coverage = tf.where(real[..., None], attention, 0.0)  # (B, T+1, S)
    coverage = tf.reduce_sum(coverage, axis=1)  # (B, S)
    if memory_mask is None:
        memory_mask = tf.ones_like(coverage, tf.bool)
    scores = total / _penalty(labels, length_penalty)
    scores += coverage_penalty * coverage_score(coverage, memory_mask)
    return TargetScores(scores, total, gains)


def _shifted(target_ids):
    """What the decoder reads and what it should say, `(B, T+1)` each."""
    lengths = tf.math.count_nonzero(target_ids, axis=1, dtype=tf.int32)  # (B,)
    targets = tf.pad(target_ids, [[0, 0], [1, 0]], constant_values=BEGIN)
    labels = tf.pad(target_ids, [[0, 0], [0, 1]])
    ends = tf.range(tf.shape(labels)[1]) == lengths[:, None]  # (B, T+1)
    return targets, tf.where(ends, END, labels)


def _penalty(labels, alpha):
    lengths = tf.math.count_nonzero(labels, axis=1, dtype=tf.int32)
    return length_penalty(lengths, alpha)
