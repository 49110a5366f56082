"""How a model that writes likes the references: what is known without a search."""

import math
from collections.abc import Sequence

import tensorflow as tf


def reference_scores(labels, logits) -> tuple:
    """In the graph: log-probability, pieces, and pieces that came first, `(B,)` each.

    Args:
        labels: `(B, T)` int32, padded with 0.
        logits: `(B, T, V)` of each of them, under the ones before.
    """
    real = tf.cast(labels != 0, tf.float32)  # (B, T)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    best = tf.argmax(logits, axis=-1, output_type=tf.int32)
    right = tf.cast(best == labels, tf.float32) * real
    return (
        -tf.reduce_sum(losses * real, axis=1),
        tf.reduce_sum(real, axis=1),
        tf.reduce_sum(right, axis=1),
    )


def reference_columns(found, reference, pieces, right) -> dict:
    """Columns of a row of predictions: of what was written, and of its reference."""
    return {
        "log_probability": round(float(found), 4),
        "reference_log_probability": round(float(reference), 4),
        "reference_pieces": int(pieces),
        "reference_pieces_right": int(right),
    }


def reference_values(rows: Sequence[dict]) -> dict[str, float]:
    """Perplexity and accuracy over all pieces of the references of such rows."""
    pieces = max(sum(row["reference_pieces"] for row in rows), 1)
    found = sum(row["reference_log_probability"] for row in rows)
    right = sum(row["reference_pieces_right"] for row in rows)
    return {
        "perplexity": math.exp(min(-found / pieces, 700.0)),
        "piece_accuracy": right / pieces,
    }
