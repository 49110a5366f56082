import io

import numpy as np
import pytest
from toy_ladder import ToyRuns, write_predictions

from seqloom.pipelines.ladder_figures import (
    Curve,
    Length,
    score_against_time,
    score_by_length,
)
from seqloom.pipelines.ladder_scores import curve, scores_by_length
from seqloom.pipelines.rungs import Rung
from seqloom.pipelines.settings import resolve


@pytest.fixture
def quiet(tmp_path):
    """Settings that keep all runs in one folder, without tracking."""
    return [f"runs_dir={tmp_path}", "tracking.enabled=false"]


@pytest.fixture
def runs(tmp_path):
    return ToyRuns(tmp_path)


def test_a_curve_is_the_validations_over_the_minutes(runs, quiet):
    run = runs.add(resolve("sentiment", "gru", quiet))
    one = Rung("gru", "gru", resolve("sentiment", "gru")).with_run(run)
    # 120 seconds for 200 steps, of which 50 and 200 were validated.
    assert curve(one, "accuracy") == ("gru", [0.5, 2.0], [0.4, 0.75], 2.0, 0.75)
    run.append_history([{"step": 201, "val_accuracy": 0.5, "seconds": 300.0}])
    assert curve(one, "accuracy").minutes == [0.5, 2.0, 5.0]


def test_bleu_by_length_is_that_of_the_run():
    per_type = {"1-5": {"bleu": 30.0, "count": 4}, "6-10": {"bleu": 20.0, "count": 9}}
    metrics = {"test": {"bleu": 25.0}, "test_per_type": per_type}
    one = Rung("a", "a", resolve("sentiment", "gru"), None, metrics)
    lengths = scores_by_length(one)
    assert lengths == {"1-5": (30.0, 4), "6-10": (20.0, 9)}


def test_labels_are_counted_by_the_length_of_their_text(runs, quiet):
    resolved = resolve("sentiment", "gru", quiet)
    one = Rung("gru", "gru", resolved).with_run(runs.add(resolved))
    lengths = scores_by_length(one)
    assert lengths == {"1-5": (0.5, 2), "6-10": (1.0, 1), "31+": (1.0, 1)}
    assert list(lengths) == ["1-5", "6-10", "31+"]


def test_tags_are_counted_one_by_one(runs, quiet):
    resolved = resolve("sentiment", "gru", quiet)
    run = runs.add(resolved)
    random = np.random.default_rng(0)
    rows = []
    for size in random.integers(1, 30, 40):
        tags = random.integers(0, 2, (2, size)).astype(str).tolist()
        words = ["w"] * int(size)
        rows.append({"tokens": words, "reference": tags[0], "prediction": tags[1]})
    write_predictions(run, rows)
    lengths = scores_by_length(Rung("gru", "gru", resolved).with_run(run))
    inside = [row for row in rows if 11 <= len(row["tokens"]) <= 15]
    pairs = [p for row in inside for p in zip(row["reference"], row["prediction"])]
    right = sum(a == b for a, b in pairs) / len(pairs)
    assert lengths["11-15"] == (pytest.approx(right), len(inside))


def drawn_lines(axes, marker_only=False):
    kept = [
        line for line in axes.lines if (line.get_linestyle() == "None") == marker_only
    ]
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in kept]


def legend_texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


CURVES = [
    Curve("rnn", [1, 2], [10.0, 15.0], 2.0, 14.5),
    Curve("transformer", [2, 8], [20.0, 38.0], 8.5, 38.4),
]


def test_scores_stand_against_minutes_and_the_test_score_at_the_end():
    figure = score_against_time(CURVES, "bleu")
    [axes] = figure.axes
    assert drawn_lines(axes) == [([1, 2], [10.0, 15.0]), ([2, 8], [20.0, 38.0])]
    assert drawn_lines(axes, marker_only=True) == [([2.0], [14.5]), ([8.5], [38.4])]
    assert legend_texts(figure) == ["transformer  38.40", "rnn  14.50"]
    title = "transformer is best: 38.40 BLEU after 8.5 minutes"
    assert axes.get_title("left") == title
    assert axes.get_xscale() == "linear"


def test_of_a_loss_the_lowest_is_best():
    [axes] = score_against_time(CURVES, "perplexity").axes
    assert axes.get_title("left").startswith("rnn is best: 14.50 perplexity after 2.0")


def test_minutes_far_apart_are_on_a_logarithmic_scale():
    far = [CURVES[0]._replace(end=0.2), CURVES[1]]
    assert score_against_time(far, "bleu").axes[0].get_xscale() == "log"


def test_scores_by_length_are_lines_in_the_order_of_lengths():
    lines = {
        "rnn": {
            "1-5": Length(0.8, 40),
            "6-10": Length(0.5, 900),
            "31+": Length(0.9, 3),
        },
        "transformer": {"1-5": Length(0.81, 40), "6-10": Length(0.75, 900)},
    }
    figure = score_by_length(lines, "accuracy")
    [axes] = figure.axes
    assert drawn_lines(axes) == [([0, 1, 2], [0.8, 0.5, 0.9]), ([0, 1], [0.81, 0.75])]
    ticks = [text.get_text() for text in axes.get_xticklabels()]
    assert ticks == ["1–5\n40", "6–10\n900", "31+\n3"]
    assert len(axes.patches) == 1  # the ground of lengths that are too rare
    title = "At 6–10 words: transformer 75.00, rnn 50.00 % accuracy"
    assert axes.get_title("left") == title


@pytest.mark.parametrize(
    "figure",
    [
        lambda: score_against_time([], "bleu"),
        lambda: score_against_time([Curve("$a_b^", [], [], None, 0.0)], "loss"),
        lambda: score_by_length({}, "bleu"),
        lambda: score_by_length({"a": {"1-5": Length(0.0, 1)}}, "accuracy"),
        lambda: score_against_time(CURVES * 6, "accuracy"),
    ],
)
def test_odd_ladders_are_drawn_too(figure):
    buffer = io.BytesIO()
    figure().savefig(buffer, dpi=50)
    assert buffer.getvalue().startswith(b"\x89PNG")
