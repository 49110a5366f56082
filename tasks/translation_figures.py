"""Pictures of how well sentences are translated; those of attention come along.

Every function takes scores or rows and returns a matplotlib figure; nothing is written
and no window is opened.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from seqloom.tasks.alignment_figure import Alignment, alignment, alignments
from seqloom.tasks.classification_figures import PALE_BLUE
from seqloom.tasks.confusion import NAMES_STYLE
from seqloom.tasks.figure_style import BLUE, GREY, ORANGE
from seqloom.tasks.heads_figure import attention_heads, self_attention

__all__ = [
    "Alignment",
    "alignment",
    "alignments",
    "attention_heads",
    "bleu_by_length",
    "self_attention",
    "translation_lengths",
]

FEW = 30  # sentences: with fewer, a BLEU says little


def bleu_by_length(per_type: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw how BLEU changes with the length of the source sentence.

    Bars of fewer than `FEW` sentences are pale.

    Args:
        per_type: For each range of lengths, such as `6-10`, in order: bleu, from 0 to
            100, and count, as in `TranslationScores.per_type`.
    """
    names = list(per_type)
    columns = np.arange(len(names))
    scores = [float(per_type[name]["bleu"]) for name in names]
    counts = [int(per_type[name]["count"]) for name in names]
    with matplotlib.rc_context({**NAMES_STYLE, "axes.grid.axis": "y"}):
        width = max(5.6, 1.5 + 0.85 * len(names))
        figure = Figure(figsize=(width, 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        colours = [BLUE if count >= FEW else PALE_BLUE for count in counts]
        axes.bar(columns, scores, width=0.72, color=colours)
        for column, score in zip(columns, scores, strict=True):
            axes.annotate(f"{score:.1f}", (column, score), **_ABOVE)
        labels = [
            f"{length_name(name)}\n{count:,}"
            for name, count in zip(names, counts, strict=True)
        ]
        axes.set_xticks(columns, labels)
        axes.tick_params(axis="x", length=0)
        axes.set_ylim(0, 1.12 * max([1.0, *scores]))
        axes.set_xlabel("words of the source sentence, and how many have so many")
        axes.set_ylabel("BLEU")
        axes.set_title(_length_title(per_type))
        _explain_pale(axes, counts)
    return figure


_ABOVE: dict[str, Any] = {
    "xytext": (0, 3),
    "textcoords": "offset points",
    "ha": "center",
    "fontsize": 9,
    "color": "#333333",
}


def length_name(name: str) -> str:
    """A range of lengths as it is written: `6-10` with a dash."""
    return name.replace("-", "–")


def _length_title(per_type: Mapping[str, Mapping[str, float]]) -> str:
    names = [name for name, row in per_type.items() if row["count"] >= FEW]
    if len(names) < 2:
        return "BLEU by length" if per_type else "There are no sentences"
    short, long = names[0], names[-1]
    first, last = per_type[short]["bleu"], per_type[long]["bleu"]
    return (
        f"BLEU {first:.1f} at {length_name(short)} words, "
        f"{last:.1f} at {length_name(long)}"
    )


def _explain_pale(axes: Axes, counts: Sequence[int]) -> None:
    if any(count < FEW for count in counts):
        axes.text(
            1,
            0.99,
            f"pale: fewer than {FEW} sentences",
            transform=axes.transAxes,
            ha="right",
            va="top",
            fontsize=8.5,
            color=GREY,
        )


def translation_lengths(rows: Sequence[Mapping[str, str]]) -> Figure:
    """Draw how long translations are beside their references, in words.

    What ends too early lies below the diagonal, what repeats itself above it; a
    triangle at the upper edge stands for a translation that is longer still.

    Args:
        rows: Each with `reference` and `prediction`.
    """
    references, predictions = (
        np.array([len(row[side].split()) for row in rows], dtype=float)
        for side in ("reference", "prediction")
    )
    with matplotlib.rc_context(NAMES_STYLE):
        figure = Figure(figsize=(5.2, 5.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        limit = 1.2 * max([5.0, *references])
        axes.plot([0, limit], [0, limit], color=GREY, linewidth=1, zorder=1)
        _draw_pairs(axes, references, predictions, limit)
        _draw_medians(axes, references, predictions)
        axes.set_xlim(0, limit)
        axes.set_ylim(0, limit)
        axes.set_aspect("equal")
        axes.set_xlabel("words of the reference")
        axes.set_ylabel("words of the translation")
        share = predictions.sum() / max(references.sum(), 1)
        title = f"Translations have {share:.0%} of the references' words"
        axes.set_title(title if rows else "There are no sentences")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower right")
    return figure


def _draw_pairs(
    axes: Axes, references: np.ndarray, predictions: np.ndarray, limit: float
) -> None:
    """A point a sentence, moved a little, so that equal ones are seen."""
    alpha = float(np.clip(250 / max(len(references), 1), 0.15, 0.8))
    look: dict[str, Any] = {"color": BLUE, "markeredgewidth": 0, "linestyle": "none"}
    shift = np.random.default_rng(0).uniform(-0.35, 0.35, (2, len(references)))
    inside = predictions < limit
    x, y = (references + shift[0])[inside], (predictions + shift[1])[inside]
    axes.plot(x, y, marker="o", markersize=4, alpha=alpha, **look)
    if not inside.all():
        above = references[~inside]
        edge = np.full(len(above), 0.98 * limit)
        name = f"{len(above):,} longer still"
        axes.plot(above, edge, marker="^", markersize=8, label=name, **look)


def _draw_medians(axes: Axes, references: np.ndarray, predictions: np.ndarray) -> None:
    """The median translation of each length that enough references have."""
    lengths, counts = np.unique(references, return_counts=True)
    lengths = lengths[counts >= 5]
    if len(lengths) < 2:
        return
    medians = [np.median(predictions[references == length]) for length in lengths]
    axes.plot(lengths, medians, color=ORANGE, label="median translation")
