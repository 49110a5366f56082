"""Where a translation looked while it was written, as heat maps.

Every function takes pieces and weights and returns a matplotlib figure; nothing is
written and no window is opened. Letters that no installed font has are drawn as
squares, and pieces go from left to right in any script.
"""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from seqloom.tasks.figure_style import GREY
from seqloom.tasks.heat_maps import (
    HEADER,
    MARGIN,
    NARROWEST,
    SMALL,
    add_axes,
    draw_weights,
    label,
    longest,
    page,
    style,
    text_width,
    write,
)
from seqloom.tasks.highlights_figure import drawable

MOST_EXAMPLES = 12
MOST_PIECES = 40  # of a sentence

# Inches.
WIDEST, GAP, CELL, HEADING = 13.0, 0.45, 0.25, 0.34
SIZE, LARGE = 9.0, 11.0  # of pieces and titles, in points


class Alignment(NamedTuple):
    """One translation and the weights of its attention.

    Args:
        source: S pieces that were read.
        target: T pieces that were written.
        weights: `(T, S)`, each from 0 to 1.
        title: What stands above it.
    """

    source: Sequence[str]
    target: Sequence[str]
    weights: np.ndarray
    title: str = ""


def alignment(
    source_pieces: Sequence[str],
    target_pieces: Sequence[str],
    weights: np.ndarray,
    title: str = "",
) -> Figure:
    """Draw where the decoder looked: rows are written pieces, columns read ones.

    Of a longer sentence the first `MOST_PIECES` are drawn, and a note says so.

    Args:
        source_pieces: S pieces.
        target_pieces: T pieces.
        weights: `(T, S)`, each from 0 to 1.
        title: What stands above, such as the score.

    Raises:
        ValueError: The weights are not `(T, S)`.
    """
    return alignments([Alignment(source_pieces, target_pieces, weights, title)])


def alignments(examples: Sequence[Alignment]) -> Figure:
    """Draw the first `MOST_EXAMPLES` as `alignment` does, on one page.

    Raises:
        ValueError: The weights of an example are not `(T, S)`.
    """
    panels = [_Panel(example) for example in examples[:MOST_EXAMPLES]]
    width, height, places = _flow(panels)
    with matplotlib.rc_context(style()):
        note = _note(len(examples))
        figure = page(width, height, "Where each written piece looked", note)
        for panel, (left, top) in zip(panels, places, strict=True):
            panel.draw(figure, left, top)
    return figure


class _Panel:
    """One heat map with labels; its size is known before it is drawn."""

    def __init__(self, example: Alignment):
        self.title, self.cut = drawable(example.title), _cut_note(example)
        weights = _checked(example.weights, len(example.target), len(example.source))
        self.weights = weights[:MOST_PIECES, :MOST_PIECES]
        self.source = [label(piece) for piece in example.source[:MOST_PIECES]]
        self.target = [label(piece) for piece in example.target[:MOST_PIECES]]
        self.left = 0.12 + longest(self.target, SIZE)
        self.above = 0.12 + longest(self.source, SIZE)
        if self.title or self.cut:
            self.above += HEADING
        heading = text_width(self.title, LARGE) + 0.15 + text_width(self.cut, SMALL)
        self.width = max(self.left + CELL * len(self.source), heading)
        self.height = self.above + CELL * len(self.target)

    def draw(self, figure: Figure, left: float, top: float) -> None:
        """Draw it at a place, in inches from the left and from the top."""
        write(figure, left, top, self.title, size=LARGE, weight="bold")
        beside = text_width(self.title, LARGE) + 0.15 if self.title else 0.0
        write(figure, left + beside, top + 0.02, self.cut, size=SMALL, color=GREY)
        rows, columns = self.weights.shape
        if not (rows and columns):
            return
        place = (left + self.left, top + self.above, CELL * columns, CELL * rows)
        axes = add_axes(figure, *place)
        draw_weights(axes, self.weights)
        axes.set_xticks(range(columns), self.source, rotation=90, fontsize=SIZE)
        axes.set_yticks(range(rows), self.target, fontsize=SIZE)


def _flow(panels: Sequence[_Panel]) -> tuple[float, float, list[tuple[float, float]]]:
    """Width and height of the page, and the places: from the left, line by line."""
    places = []
    x, y, line, widest = MARGIN, HEADER, 0.0, NARROWEST
    for panel in panels:
        if x > MARGIN and x + panel.width > WIDEST - MARGIN:
            x, y, line = MARGIN, y + line + GAP, 0.0
        places.append((x, y))
        widest = max(widest, x + panel.width + MARGIN)
        x += panel.width + GAP
        line = max(line, panel.height)
    return widest, y + line + MARGIN, places


def _note(number: int) -> str:
    if not number:
        return "There are no examples."
    more = number - MOST_EXAMPLES
    return f"{more} more are not drawn." if more > 0 else ""


def _cut_note(example: Alignment) -> str:
    """What was left out of an example, if anything."""
    sides = {"source": len(example.source), "target": len(example.target)}
    long = [f"{n} {side}" for side, n in sides.items() if n > MOST_PIECES]
    return f"the first {MOST_PIECES} of {' and of '.join(long)} pieces" if long else ""


def _checked(weights: np.ndarray, rows: int, columns: int) -> np.ndarray:
    weights = np.asarray(weights, dtype=float)
    if weights.shape != (rows, columns):
        raise ValueError(
            f"{rows} target pieces and {columns} source pieces need weights of the "
            f"shape {(rows, columns)}, got {weights.shape}. Cut the padding off both."
        )
    return weights
