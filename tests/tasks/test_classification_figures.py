import io

import numpy as np
import pytest

from seqloom.tasks import classification_figures as figures
from seqloom.tasks.classification_metrics import Bin
from seqloom.tasks.confusion import confusion_matrix
from seqloom.tasks.figure_style import ORANGE

BINS = [Bin(0.6, 0.7, 0.64, 0.5, 10), Bin(0.9, 1.0, 0.97, 1.0, 30)]
PER_TYPE = {
    "neutral": {
        "precision": 0.25,
        "recall": 0.5,
        "f1": 1 / 3,
        "support": 20,
        "predicted": 40,
    },
    "very good": {
        "precision": 0.9,
        "recall": 0.45,
        "f1": 0.6,
        "support": 1200,
        "predicted": 600,
    },
}


def texts(axes):
    return [text.get_text() for text in axes.texts]


def tick_labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=60)
    return buffer.getvalue()


def test_bars_are_shares_that_are_right_and_lines_are_mean_scores():
    above, below = figures.reliability_diagram(BINS, 0.0575).axes
    bars = [(bar.get_x(), bar.get_width(), bar.get_height()) for bar in above.patches]
    assert bars[0] == pytest.approx((0.605, 0.09, 0.5))
    assert bars[1] == pytest.approx((0.905, 0.09, 1.0))
    gaps, means = above.collections
    np.testing.assert_allclose(gaps.get_segments()[0], [[0.65, 0.5], [0.65, 0.64]])
    np.testing.assert_allclose(
        means.get_segments(),
        [[[0.605, 0.64], [0.695, 0.64]], [[0.905, 0.97], [0.995, 0.97]]],
    )
    assert [bar.get_height() for bar in below.patches] == [10, 30]


def test_the_title_says_whether_it_was_too_sure():
    above = figures.reliability_diagram(BINS, 0.0575).axes[0]
    # (10 · 0.64 + 30 · 0.97) / 40 and (10 · 0.5 + 30) / 40
    assert above.get_title("left") == (
        "Calibration error 5.8%:\n88.8% sure on average, 87.5% right"
    )


def test_labels_stand_with_their_numbers_and_scores():
    often, well = figures.label_scores(PER_TYPE).axes
    assert tick_labels(often.yaxis) == ["neutral", "very good"]  # from the bottom up
    assert texts(often) == ["20", "1,200", "40", "600"]
    assert [bar.get_width() for bar in often.patches] == [20, 1200, 40, 600]
    assert texts(well) == ["33.3%", "60.0%"]
    assert [bar.get_width() for bar in well.patches] == pytest.approx([1 / 3, 0.6])
    points = {line.get_label(): line for line in well.lines}
    assert list(points["precision"].get_xdata()) == [0.25, 0.9]
    assert list(points["recall"].get_xdata()) == [0.5, 0.45]
    assert points["precision"].get_color() == ORANGE


def test_each_name_is_once_in_the_legend():
    [legend] = figures.label_scores(PER_TYPE).legends
    names = sorted(text.get_text() for text in legend.get_texts())
    assert names == ["F1", "precision", "predicted", "recall", "true"]


def test_long_labels_do_not_overlap_under_a_confusion_matrix():
    short = confusion_matrix(["bad", "good"], np.eye(2, dtype=int), "texts")
    long = confusion_matrix(["bad", "very good"], np.eye(2, dtype=int), "texts")
    angles = [
        figure.axes[0].get_xticklabels()[0].get_rotation() for figure in (short, long)
    ]
    assert angles == [0, 90]


@pytest.mark.parametrize(
    "figure",
    [
        lambda: figures.reliability_diagram([], 0.0),
        lambda: figures.reliability_diagram([Bin(0.9, 1.0, 1.0, 0.0, 1)], 1.0),
        lambda: figures.label_scores({}),
        lambda: figures.label_scores(
            {"$ _x^ $": dict.fromkeys(PER_TYPE["neutral"], 0)}
        ),
    ],
)
def test_odd_results_are_drawn_too(figure):
    assert png(figure())
