"""The confusion matrix that taggers and classifiers share."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from seqloom.tasks.figure_style import STYLE

# Tags such as `PRP$` are names, not formulas.
NAMES_STYLE = {**STYLE, "text.parse_math": False}


def confusion_matrix(
    labels: Sequence[str], counts: np.ndarray, unit: str = "tokens"
) -> Figure:
    """Draw which label is taken for which.

    Colours show shares of a row (of what has this true label), with their square root,
    so that rare confusions are seen; cells hold the counts. Above 20 labels only
    the confusions that make up 1 % of their row are written out.

    Args:
        labels: K names.
        counts: int array `(K, K)`, rows true, columns predicted.
        unit: What is counted: `tokens` or `texts`.

    Raises:
        ValueError: There are no labels.
    """
    counts = np.asarray(counts)
    size = len(labels)
    if not size:
        raise ValueError("A confusion matrix needs at least one label; there is none.")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)  # (K, K)
    cell = 0.75 if size <= 12 else 0.42 if size <= 25 else 0.3
    side = max(4.2, cell * size + 1.8)
    with matplotlib.rc_context({**NAMES_STYLE, "axes.grid": False}):
        figure = Figure(figsize=(side + 0.8, side + 0.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        image = axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
        _write_counts(axes, counts, shares)
        _name_rows_and_columns(axes, labels)
        right = np.trace(counts) / max(counts.sum(), 1)
        axes.set_title(f"{right:.2%} of {counts.sum():,} {unit} are right")
        bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=25, pad=0.02)
        levels = np.array([0, 0.01, 0.05, 0.2, 0.5, 1])
        bar.set_ticks(np.sqrt(levels).tolist(), labels=[f"{x:.0%}" for x in levels])
        bar.set_label("share of the true label")
        bar.outline.set_visible(False)
    return figure


def _write_counts(axes: Axes, counts: np.ndarray, shares: np.ndarray) -> None:
    size = len(counts)
    font = 9 if size <= 12 else 6.5 if size <= 25 else 6
    for row, column in np.argwhere(counts > 0):
        share = shares[row, column]
        if size > 20 and share < 0.01:
            continue
        axes.text(
            column,
            row,
            _brief(int(counts[row, column]), size),
            ha="center",
            va="center",
            fontsize=font,
            color="white" if share > 0.35 else "#222222",
        )


def _name_rows_and_columns(axes: Axes, labels: Sequence[str]) -> None:
    size = len(labels)
    ticks: dict[str, Any] = {"fontsize": 10 if size <= 12 else 8 if size <= 25 else 7}
    upright = size <= 8 and max(map(len, labels)) <= 8  # side by side in cells
    axes.set_xticks(range(size), labels, rotation=0 if upright else 90, **ticks)
    axes.set_yticks(range(size), labels, **ticks)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(size + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(size + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="minor", length=0)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")


def _brief(number: int, size: int) -> str:
    """A count that fits into its cell."""
    if size <= 12:
        return f"{number:,}"
    if number < 1000:
        return str(number)
    return f"{number / 1000:.0f}k" if number >= 9950 else f"{number / 1000:.1f}k"
