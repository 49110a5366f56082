"""Scores of classifiers: how often they are right, and whether they know it.

All take rows of predictions as the classification task writes them:

    {"text": "a fine film", "reference": "positive", "prediction": "negative",
     "score": 0.71, "probabilities": {"negative": 0.71, "neutral": 0.2, ...}}

Shares and scores are between 0 and 1, the log loss is in nats.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from seqloom.tasks.tagging_metrics import Counts

Row = Mapping[str, Any]

# What float32 adds to 1 without losing it: a softmax of float32 is no finer, and a
# probability of 0 would make the loss infinite.
LEAST_PROBABILITY = float(np.finfo(np.float32).eps)
TABLE_CHARACTERS = 1000


class ClassificationScores(NamedTuple):
    """What `score_labels` measures.

    Attributes:
        values: Flat scores, for logging.
        per_type: For each label: precision, recall, f1, support (its number in the
            references) and predicted (its number in the predictions).
    """

    values: dict[str, float]
    per_type: dict[str, dict[str, float]]


class Bin(NamedTuple):
    """Predictions with a score above `low` and up to `high`.

    Attributes:
        confidence: Their mean score.
        accuracy: The share of them that is right.
        size: Their number, never 0.
    """

    low: float
    high: float
    confidence: float
    accuracy: float
    size: int


class Calibration(NamedTuple):
    """The expected calibration error, and the bins that it comes from, without empty
    ones, from the lowest score to the highest."""

    error: float
    bins: list[Bin]


def score_labels(rows: Sequence[Row], labels: Sequence[str]) -> ClassificationScores:
    """Score predicted labels against the true ones.

        references   positive positive negative neutral
        predictions  positive negative negative negative
        values       accuracy 0.5, macro_f1 0.39, weighted_f1 0.46, ...

    `macro_f1` is the mean over all `labels`, `weighted_f1` the same weighted with their
    number in the references. A label that is never predicted, or that no reference
    has, has an F1 of 0 and counts in the macro mean like any other. Without rows every
    score is 0.

    Args:
        rows: Predictions, in any order.
        labels: All labels that the model knows.

    Raises:
        ValueError: A row has a reference or a prediction that is none of `labels`.
    """
    counts = confusion_counts(rows, labels)
    per_type = {
        label: _label_row(
            Counts(int(counts[i].sum()), int(counts[:, i].sum()), int(counts[i, i]))
        )
        for i, label in enumerate(labels)
    }
    number = max(len(rows), 1)
    f1 = [row["f1"] for row in per_type.values()]
    values = {
        "accuracy": float(np.trace(counts)) / number,
        "macro_f1": sum(f1) / max(len(f1), 1),
        "weighted_f1": float(counts.sum(axis=1) @ np.array(f1)) / number,
        "calibration_error": calibration(rows).error,
        "log_loss": log_loss(rows),
    }
    return ClassificationScores(values, per_type)


def confusion_counts(rows: Sequence[Row], labels: Sequence[str]) -> np.ndarray:
    """Count which label is taken for which.

    Returns:
        An int64 array `(K, K)` in the order of `labels`: rows are true labels, columns
        predicted ones.

    Raises:
        ValueError: A row has a reference or a prediction that is none of `labels`.
    """
    index = {label: i for i, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for number, row in enumerate(rows):
        for side in ("reference", "prediction"):
            if row[side] not in index:
                raise ValueError(
                    f"Row {number} has the {side} {row[side]!r}, which is none of the "
                    f"model's labels: {', '.join(labels)}. Leave the row out, or give "
                    "the label to the model when it is trained."
                )
        counts[index[row["reference"]], index[row["prediction"]]] += 1
    return counts


def log_loss(rows: Sequence[Row]) -> float:
    """Mean of -log of the probability that the true label got, at least
    `LEAST_PROBABILITY`; a label without a probability has 0."""
    if not rows:
        return 0.0
    true = [row["probabilities"].get(row["reference"], 0.0) for row in rows]
    return float(-np.log(np.maximum(true, LEAST_PROBABILITY)).mean())


def calibration(rows: Sequence[Row], bins: int = 10) -> Calibration:
    """How far scores are from the share of predictions that are right.

        error = sum over bins m of  |B_m| / n · |accuracy(B_m) - confidence(B_m)|

    A prediction with the score 0.7 should be right in 7 of 10 cases; predictions are
    compared in `bins` bins of equal width, (0, 0.1], (0.1, 0.2], ...

    Reference: Guo et al. 2017, https://arxiv.org/abs/1706.04599, equations 2 and 3.

    Raises:
        ValueError: `bins` is below 1, or a score is not between 0 and 1.
    """
    if bins < 1:
        raise ValueError(f"calibration needs bins >= 1, got {bins}. Try 10.")
    scores = np.array([row["score"] for row in rows], dtype=np.float64)  # (N,)
    right = np.array([row["prediction"] == row["reference"] for row in rows], bool)
    bad = np.flatnonzero(~((scores >= 0) & (scores <= 1 + LEAST_PROBABILITY)))
    if len(bad):
        raise ValueError(
            f"Row {bad[0]} has the score {scores[bad[0]]}, which is no probability: "
            "scores must lie between 0 and 1. Was a logit written?"
        )
    places = np.searchsorted(np.arange(1, bins) / bins, scores)  # (N,)
    found = []
    for place in np.unique(places):
        inside = places == place
        confidence, accuracy = scores[inside].mean(), right[inside].mean()
        found.append(
            Bin(
                place / bins,
                (place + 1) / bins,
                float(confidence),
                float(accuracy),
                int(inside.sum()),
            )
        )
    error = sum(b.size * abs(b.accuracy - b.confidence) for b in found)
    return Calibration(error / max(len(rows), 1), found)


def confident_mistakes(rows: Sequence[Row], limit: int = 50) -> list[dict[str, Any]]:
    """The wrong predictions with the highest scores, as rows of a table.

        {"text": "a fine film", "reference": "positive", "prediction": "negative",
         "score": 0.71, "reference_score": 0.09}

    Texts are cut after `TABLE_CHARACTERS` characters.

    Returns:
        `limit` rows at most, the highest `score` first.
    """
    wrong = [row for row in rows if row["prediction"] != row["reference"]]
    wrong.sort(key=lambda row: -row["score"])
    return [
        {
            "text": _cut(row["text"]),
            "reference": row["reference"],
            "prediction": row["prediction"],
            "score": float(row["score"]),
            "reference_score": float(row["probabilities"].get(row["reference"], 0.0)),
        }
        for row in wrong[:limit]
    ]


def _label_row(counts: Counts) -> dict[str, float]:
    return {
        "precision": counts.precision,
        "recall": counts.recall,
        "f1": counts.f1,
        "support": counts.reference,
        "predicted": counts.predicted,
    }


def _cut(text: str) -> str:
    if len(text) <= TABLE_CHARACTERS:
        return text
    return text[:TABLE_CHARACTERS].rstrip() + " …"
