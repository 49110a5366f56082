"""Pictures of what a tagger gets right and wrong.

Every function takes counts and scores and returns a matplotlib figure; nothing is
written and no window is opened.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, PercentFormatter

from seqloom.tasks.confusion import NAMES_STYLE, confusion_matrix
from seqloom.tasks.figure_style import BLUE, GREY, ORANGE

__all__ = [
    "confusion_counts",
    "confusion_matrix",
    "entity_type",
    "known_and_unknown_words",
    "type_scores",
]


def entity_type(tag: str) -> str:
    """The type that an IOB2 tag stands for: `B-PER` and `I-PER` are `PER`."""
    return tag[2:] if tag[:2] in ("B-", "I-") else tag


def confusion_counts(
    references: Sequence[Sequence[str]],
    predictions: Sequence[Sequence[str]],
    spans: bool,
) -> tuple[list[str], np.ndarray]:
    """Count which tag is taken for which, token by token.

    Args:
        references: True tags, a sequence for each sentence.
        predictions: Predicted tags of the same tokens.
        spans: Whether the tags are IOB2; then entity types are compared, without
            their `B-` and `I-`.

    Returns:
        The labels, the most frequent first but `O` at the end, and an int64 array
        `(K, K)` of counts: rows are true labels, columns predicted ones.

    Raises:
        ValueError: A sentence has not as many predictions as references.
    """
    label = entity_type if spans else str
    pairs: dict[tuple[str, str], int] = {}
    for number, (truth, guess) in enumerate(zip(references, predictions, strict=True)):
        if len(truth) != len(guess):
            raise ValueError(
                f"Sentence {number} has {len(truth)} tags but {len(guess)} predicted "
                "ones; a confusion matrix needs one prediction for each token."
            )
        for pair in zip(map(label, truth), map(label, guess), strict=True):
            pairs[pair] = pairs.get(pair, 0) + 1
    totals: dict[str, int] = {}
    for (truth, guess), count in pairs.items():
        totals[truth] = totals.get(truth, 0) + count
        totals.setdefault(guess, 0)
    labels = sorted(
        totals, key=lambda name: (spans and name == "O", -totals[name], name)
    )
    index = {name: i for i, name in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for (truth, guess), count in pairs.items():
        counts[index[truth], index[guess]] = count
    return labels, counts


def type_scores(
    frequencies: Mapping[str, int], f1: Mapping[str, float], unit: str = "entities"
) -> Figure:
    """Draw how often each type occurs beside how well it is found.

    Args:
        frequencies: Number of true entities, or tokens, of each type.
        f1: F1 of each type, from 0 to 1; a type may be missing.
        unit: What is counted: `entities` or `tokens`.
    """
    names = sorted(frequencies, key=lambda name: (frequencies[name], name))
    rows = np.arange(len(names))
    with matplotlib.rc_context({**NAMES_STYLE, "axes.grid.axis": "x"}):
        height = 1.5 + 0.32 * max(2, len(names))
        figure = Figure(figsize=(8.5, height), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2, sharey=True)
        numbers = [frequencies[name] for name in names]
        left.barh(rows, numbers, color=GREY, height=0.7)
        for row, number in zip(rows, numbers, strict=True):
            left.annotate(f"{number:,}", (number, row), **_BESIDE)
        left.set_yticks(rows, names)
        left.set_xlabel(unit)
        left.set_title("How often")
        left.xaxis.set_major_formatter(EngFormatter(sep=""))
        left.margins(x=0.18)
        for row, name in zip(rows, names, strict=True):
            if name in f1:
                right.barh(row, f1[name], color=BLUE, height=0.7)
                right.annotate(f"{f1[name]:.1%}", (f1[name], row), **_BESIDE)
        right.set_xlim(0, 1.12)
        right.set_xticks([0, 0.25, 0.5, 0.75, 1])
        right.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        right.set_xlabel("F1")
        right.set_title("How well")
        for axes in (left, right):
            axes.tick_params(axis="y", length=0)
            axes.set_ylim(-0.6, max(len(names), 1) - 0.4)
    return figure


def known_and_unknown_words(
    scores: Mapping[str, float], numbers: Mapping[str, int], metric: str = "accuracy"
) -> Figure:
    """Draw how much worse words are tagged that training never showed.

    Args:
        scores: Score, from 0 to 1, under `all`, `known` and `unknown`.
        numbers: Number of tokens (or entities) under the same names.
        metric: Name of the score.
    """
    names = [name for name in ("unknown", "known", "all") if name in scores]
    rows = np.arange(len(names))
    colours = {"unknown": ORANGE, "known": BLUE, "all": GREY}
    with matplotlib.rc_context({**NAMES_STYLE, "axes.grid.axis": "x"}):
        figure = Figure(figsize=(7, 1.3 + 0.5 * len(names)), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for row, name in zip(rows, names, strict=True):
            score = scores[name]
            axes.barh(row, score, color=colours[name], height=0.65)
            axes.annotate(f"{score:.1%}", (score, row), **_BESIDE)
        labels = [
            f"{name} words\n({numbers[name]:,})" if name in numbers else f"{name} words"
            for name in names
        ]
        axes.set_yticks(rows, labels)
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(0, 1.1)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_xlabel(metric.replace("f1", "F1"))
        axes.set_title(_known_title(scores))
    return figure


_BESIDE: dict[str, Any] = {
    "xytext": (4, 0),
    "textcoords": "offset points",
    "va": "center",
    "fontsize": 9,
    "color": "#333333",
}


def _known_title(scores: Mapping[str, float]) -> str:
    if "known" not in scores or "unknown" not in scores:
        return "Words that training showed, and others"
    gap = 100 * (scores["known"] - scores["unknown"])
    word = "lower" if gap >= 0 else "higher"
    return f"Words unseen in training score {abs(gap):.1f} points {word}"
