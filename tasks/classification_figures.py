"""Pictures of what a classifier gets right, and of how sure it was.

Every function takes scores and returns a matplotlib figure; nothing is written and no
window is opened. The confusion matrix is in confusion.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from seqloom.tasks.classification_metrics import Bin
from seqloom.tasks.confusion import NAMES_STYLE
from seqloom.tasks.figure_style import BLUE, GREY, ORANGE

SHARES = [0, 0.25, 0.5, 0.75, 1]
PERCENT = PercentFormatter(1, decimals=0)
PALE_BLUE = "#9CC9E4"
BESIDE: dict[str, Any] = {
    "xytext": (4, 0),
    "textcoords": "offset points",
    "va": "center",
    "fontsize": 9,
    "color": "#333333",
}

Columns = Mapping[str, np.ndarray]


def reliability_diagram(bins: Sequence[Bin], error: float) -> Figure:
    """Draw whether predictions with a score of 70 % are right in 70 % of cases.

    Above, a bar is the share of right predictions in a bin, and the line over it their
    mean score; the calibration error is the mean gap. Below, how many there are.

    Args:
        bins: Bins of `classification_metrics.calibration`, without empty ones.
        error: Expected calibration error, from 0 to 1.
    """
    with matplotlib.rc_context(NAMES_STYLE):
        figure = Figure(figsize=(5.4, 6.4), layout="constrained")
        FigureCanvasAgg(figure)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.6, 1])
        above.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        if bins:
            _draw_bins(above, bins)
        above.set_ylim(0, 1.02)
        above.set_yticks(SHARES)
        above.yaxis.set_major_formatter(PERCENT)
        above.set_ylabel("right")
        above.set_title(_reliability_title(bins, error))
        for low, high, _, _, size in bins:
            below.bar((low + high) / 2, size, width=0.9 * (high - low), color=GREY)
        below.set_xlim(0, 1)
        below.set_xticks(SHARES)
        below.xaxis.set_major_formatter(PERCENT)
        below.set_ylim(0, 1.05 * max([1, *(b.size for b in bins)]))
        below.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        below.yaxis.set_major_formatter(EngFormatter(sep=""))
        below.set_ylabel("texts")
        below.set_xlabel("score of the prediction")
    return figure


def _draw_bins(axes: Axes, bins: Sequence[Bin]) -> None:
    middles = [(b.low + b.high) / 2 for b in bins]
    widths = [0.9 * (b.high - b.low) for b in bins]
    right = [b.accuracy for b in bins]
    sure = [b.confidence for b in bins]
    axes.bar(middles, right, widths, color=PALE_BLUE, label="share that is right")
    axes.vlines(middles, right, sure, color=ORANGE, linewidth=1.2)
    ends = [(m - w / 2, m + w / 2) for m, w in zip(middles, widths, strict=True)]
    axes.hlines(sure, *zip(*ends), color=ORANGE, linewidth=2.5, label="mean score")
    axes.legend(loc="upper left")


def _reliability_title(bins: Sequence[Bin], error: float) -> str:
    total = sum(b.size for b in bins)
    if not total:
        return "No predictions"
    sure = sum(b.size * b.confidence for b in bins) / total
    right = sum(b.size * b.accuracy for b in bins) / total
    return (
        f"Calibration error {error:.1%}:\n{sure:.1%} sure on average, {right:.1%} right"
    )


def label_scores(
    per_type: Mapping[str, Mapping[str, float]], unit: str = "texts"
) -> Figure:
    """Draw how often each label occurs and is predicted, and how well it is found.

    Args:
        per_type: For each label: precision, recall, f1, support and predicted, as in
            `ClassificationScores.per_type`.
        unit: What is counted.
    """
    names = sorted(per_type, key=lambda name: (per_type[name]["support"], name))
    rows = np.arange(len(names))
    columns = {
        key: np.array([per_type[name][key] for name in names], dtype=float)
        for key in ("support", "predicted", "precision", "recall", "f1")
    }
    with matplotlib.rc_context({**NAMES_STYLE, "axes.grid.axis": "x"}):
        height = 1.8 + 0.5 * max(2, len(names))
        figure = Figure(figsize=(8.5, height), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2, sharey=True)
        _draw_frequencies(left, rows, columns)
        _draw_scores(right, rows, columns)
        left.set_yticks(rows, names)
        left.set_xlabel(unit)
        for axes in (left, right):
            axes.tick_params(axis="y", length=0)
            axes.set_ylim(-0.6, max(len(names), 1) - 0.4)
        figure.legend(loc="outside lower center", ncols=5)
    return figure


def _draw_frequencies(axes: Axes, rows: np.ndarray, columns: Columns) -> None:
    for key, colour, place in (("support", GREY, 0.2), ("predicted", BLUE, -0.2)):
        name = "true" if key == "support" else key
        axes.barh(rows + place, columns[key], color=colour, height=0.36, label=name)
        for row, number in zip(rows, columns[key], strict=True):
            axes.annotate(f"{int(number):,}", (number, row + place), **BESIDE)
    axes.set_title("How often")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlim(0, 1.18 * max([1, *columns["support"], *columns["predicted"]]))


def _draw_scores(axes: Axes, rows: np.ndarray, columns: Columns) -> None:
    axes.barh(rows, columns["f1"], color=PALE_BLUE, height=0.7, label="F1")
    for key, marker, colour in (
        ("precision", "D", ORANGE),
        ("recall", "o", "#222222"),
    ):
        axes.plot(columns[key], rows, marker, color=colour, markersize=6, label=key)
    ends = np.max([columns[key] for key in ("f1", "precision", "recall")], axis=0)
    for row, end, score in zip(rows, ends, columns["f1"], strict=True):
        axes.annotate(f"{score:.1%}", (end, row), **BESIDE | {"xytext": (7, 0)})
    axes.set_xlim(0, 1.15)
    axes.set_xticks(SHARES)
    axes.xaxis.set_major_formatter(PERCENT)
    axes.set_title("How well: F1")
