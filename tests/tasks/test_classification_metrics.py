import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqloom.tasks.classification_metrics import (
    calibration,
    confident_mistakes,
    confusion_counts,
    log_loss,
    score_labels,
)

LABELS = ["negative", "neutral", "positive"]


def row(reference, prediction, score, text="a film", **others):
    return {
        "text": text,
        "reference": reference,
        "prediction": prediction,
        "score": score,
        "probabilities": {prediction: score, **others},
    }


FOUR = [
    row("positive", "positive", 0.8),
    row("positive", "negative", 0.6, positive=0.3),
    row("negative", "negative", 0.9),
    row("neutral", "negative", 0.5, neutral=0.25),
]

# The probabilities of three labels, and which of them is the true one.
answers = st.lists(
    st.tuples(
        st.lists(st.floats(0.01, 1), min_size=3, max_size=3), st.sampled_from(LABELS)
    ),
    min_size=1,
    max_size=30,
)


def rows_of(pairs):
    rows = []
    for weights, reference in pairs:
        chances = np.array(weights) / sum(weights)
        best = int(chances.argmax())
        found = dict(zip(LABELS, chances.tolist()))
        rows.append(
            row(reference, LABELS[best], chances[best]) | {"probabilities": found}
        )
    return rows


# === Worked by hand ===


def test_four_predictions():
    values, per_type = score_labels(FOUR, LABELS)
    assert values["accuracy"] == 0.5
    # negative: 1 of 3 predicted is right, 1 of 1 found; positive: 1 of 1, 1 of 2.
    assert per_type["negative"] == {
        "precision": pytest.approx(1 / 3),
        "recall": 1.0,
        "f1": 0.5,
        "support": 1,
        "predicted": 3,
    }
    assert per_type["positive"]["f1"] == pytest.approx(2 / 3)
    assert per_type["neutral"]["f1"] == 0
    assert values["macro_f1"] == pytest.approx((1 / 2 + 0 + 2 / 3) / 3)
    assert values["weighted_f1"] == pytest.approx((1 / 2 + 0 + 2 * 2 / 3) / 4)
    logs = [math.log(p) for p in (0.8, 0.3, 0.9, 0.25)]
    assert values["log_loss"] == pytest.approx(-sum(logs) / 4)
    # Each is alone in its bin: 0.2 + 0.6 + 0.1 + 0.5.
    assert values["calibration_error"] == pytest.approx(1.4 / 4)


def test_confusions_have_true_labels_in_rows():
    counts = confusion_counts(FOUR, LABELS)
    assert counts.tolist() == [[1, 0, 0], [1, 0, 0], [1, 0, 1]]
    assert counts.dtype == np.int64


def test_a_known_label_that_is_nowhere_counts_in_the_macro_mean():
    rows = [row("a", "a", 1.0), row("b", "b", 1.0)]
    scores = score_labels(rows, ["a", "b", "c"])
    assert scores.values["macro_f1"] == pytest.approx(2 / 3)
    assert scores.values["weighted_f1"] == 1
    assert scores.per_type["c"] == dict.fromkeys(
        ["precision", "recall", "f1", "support", "predicted"], 0
    )


def test_bins_are_open_below_and_closed_above():
    # 0.7 belongs to (0.6, 0.7], 0.71 to (0.7, 0.8].
    rows = [
        row("a", "a", 0.7),
        row("a", "b", 0.61),
        row("a", "a", 0.71),
        row("a", "a", 1.0),
    ]
    error, bins = calibration(rows)
    assert [(b.low, b.high, b.size) for b in bins] == [
        (0.6, 0.7, 2),
        (0.7, 0.8, 1),
        (0.9, 1.0, 1),
    ]
    assert [b.accuracy for b in bins] == [0.5, 1, 1]
    assert [b.confidence for b in bins] == pytest.approx([0.655, 0.71, 1])
    assert error == pytest.approx((2 * 0.155 + 0.29 + 0) / 4)


def test_one_bin_compares_the_means():
    error, [only] = calibration(FOUR, bins=1)
    assert error == pytest.approx(abs(0.5 - 2.8 / 4))
    assert (only.low, only.high, only.size) == (0, 1, 4)


def test_a_true_label_without_any_probability_has_a_finite_loss():
    impossible = row("a", "b", 1.0, a=0.0)
    assert log_loss([impossible]) == pytest.approx(23 * math.log(2))  # float32's eps
    assert log_loss([row("a", "b", 1.0)]) == log_loss([impossible])


def test_no_rows_score_nothing():
    values, per_type = score_labels([], LABELS)
    assert values == dict.fromkeys(values, 0)
    assert list(per_type) == LABELS
    assert calibration([]) == (0, [])
    assert confident_mistakes([]) == []


def test_the_surest_mistakes_come_first():
    assert confident_mistakes([*FOUR, row("neutral", "positive", 0.99)]) == [
        {
            "text": "a film",
            "reference": "neutral",
            "prediction": "positive",
            "score": 0.99,
            "reference_score": 0.0,
        },
        {
            "text": "a film",
            "reference": "positive",
            "prediction": "negative",
            "score": 0.6,
            "reference_score": 0.3,
        },
        {
            "text": "a film",
            "reference": "neutral",
            "prediction": "negative",
            "score": 0.5,
            "reference_score": 0.25,
        },
    ]
    assert len(confident_mistakes(FOUR, limit=1)) == 1


def test_long_texts_are_cut_in_the_table():
    [mistake] = confident_mistakes([row("a", "b", 0.9, text="x" * 100_000)])
    assert mistake["text"] == "x" * 1000 + " …"


# === Against a short loop, and scikit-learn ===


@given(answers, st.integers(1, 12))
@settings(deadline=None)
def test_calibration_of_any_answers(pairs, number):
    rows = rows_of(pairs)
    expected = 0.0
    for m in range(number):
        inside = [r for r in rows if m / number < r["score"] <= (m + 1) / number]
        right = sum(r["prediction"] == r["reference"] for r in inside)
        expected += abs(right - sum(r["score"] for r in inside))
    found = calibration(rows, number)
    assert found.error == pytest.approx(expected / len(rows))
    assert sum(b.size for b in found.bins) == len(rows)


@given(answers)
@settings(deadline=None, max_examples=30)
def test_agrees_with_scikit_learn(pairs):
    metrics = pytest.importorskip("sklearn.metrics")
    rows = rows_of(pairs)
    true, guessed = [[r[side] for r in rows] for side in ("reference", "prediction")]
    values, per_type = score_labels(rows, LABELS)
    known = {"labels": LABELS, "zero_division": 0}
    for average in ("macro", "weighted"):
        expected = metrics.f1_score(true, guessed, average=average, **known)
        assert values[f"{average}_f1"] == pytest.approx(expected)
    assert values["accuracy"] == pytest.approx(metrics.accuracy_score(true, guessed))
    chances = [[r["probabilities"][label] for label in LABELS] for r in rows]
    expected = metrics.log_loss(true, chances, labels=LABELS)
    assert values["log_loss"] == pytest.approx(expected)
    columns = metrics.precision_recall_fscore_support(true, guessed, **known)
    for name, column in zip(("precision", "recall", "f1", "support"), columns):
        assert [per_type[label][name] for label in LABELS] == pytest.approx(column)


# === Bad input ===


@pytest.mark.parametrize("side", ["reference", "prediction"])
def test_an_unknown_label_is_refused(side):
    rows = [*FOUR, FOUR[0] | {side: "boring"}]
    with pytest.raises(ValueError, match=f"Row 4 has the {side} 'boring', which is"):
        score_labels(rows, LABELS)


@pytest.mark.parametrize("score", [float("nan"), -0.1, 3.2])
def test_scores_that_are_no_probabilities_are_refused(score):
    with pytest.raises(ValueError, match=f"Row 1 has the score {score}, which is no"):
        calibration([FOUR[0], FOUR[0] | {"score": score}])


def test_bins_are_at_least_one():
    with pytest.raises(ValueError, match="needs bins >= 1, got 0"):
        calibration(FOUR, bins=0)
