"""What the figures of attention share: heat maps of weights, placed in inches."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text

from seqloom.tasks.confusion import NAMES_STYLE
from seqloom.tasks.figure_style import GREY
from seqloom.tasks.highlights_figure import drawable, fonts

MOST_CHARACTERS = 18  # of one piece

# Inches.
NARROWEST, MARGIN, HEADER = 7.2, 0.25, 0.75
SMALL = 8.0  # letters of notes, in points

COLOURS = "Blues"
# Square roots of the weights, so that small ones are seen, too.
SCALE = PowerNorm(0.5, vmin=0.0, vmax=1.0)
LEVELS = (0.0, 0.02, 0.1, 0.25, 0.5, 1.0)


def style() -> dict[str, Any]:
    """The look of the figures, in letters of all scripts that are installed."""
    return {**NAMES_STYLE, "font.family": list(fonts())}


def page(width: float, height: float, title: str, note: str = "") -> Figure:
    """A figure with its title at the left and the scale of the colours at the right."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    write(figure, MARGIN, MARGIN, title, size=13, weight="bold")
    write(figure, MARGIN, MARGIN + 0.28, note, size=SMALL, color=GREY)
    left = width - MARGIN - min(2.6, 0.3 * width)
    mark = write(figure, left - 0.2, MARGIN, "weight", size=SMALL, color="#333333")
    mark.set_horizontalalignment("right")
    scale = add_axes(figure, left, MARGIN, width - MARGIN - left - 0.15, 0.13)
    colours = ScalarMappable(SCALE, COLOURS)
    bar = figure.colorbar(colours, cax=scale, orientation="horizontal")
    bar.set_ticks(LEVELS, labels=[f"{level:.0%}" for level in LEVELS])
    bar.ax.tick_params(length=0, labelsize=SMALL, pad=2)
    bar.outline.set_visible(False)
    return figure


def draw_weights(axes: Axes, weights: np.ndarray) -> None:
    """Draw a heat map without names; there is room for them above and at the left."""
    axes.imshow(weights, cmap=COLOURS, norm=SCALE, aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.grid(False)
    axes.spines[:].set(visible=True, linewidth=0.6, color="#C8C8C8")


def write(figure: Figure, left: float, top: float, text: str, **style: Any) -> Text:
    """Write a text below a place, in inches from the left and from the top."""
    width, height = figure.get_size_inches()
    return figure.text(left / width, 1 - top / height, text, va="top", **style)


def add_axes(
    figure: Figure, left: float, top: float, width: float, height: float
) -> Axes:
    """Axes whose upper left corner is at a place, in inches as their size."""
    page_width, page_height = figure.get_size_inches()
    bottom = page_height - top - height
    return figure.add_axes(
        (
            left / page_width,
            bottom / page_height,
            width / page_width,
            height / page_height,
        )
    )


def label(piece: str) -> str:
    """A piece as it can be written beside a cell: short, and in letters there are."""
    text = " ".join(drawable(piece).split())
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"


def text_width(text: str, size: float) -> float:
    """Inches that a text takes."""
    font = FontProperties(family=list(fonts()), size=size)
    return _renderer().get_text_width_height_descent(text, font, False)[0] / 72


def longest(texts: Sequence[str], size: float) -> float:
    """Inches that the longest text takes; 0 if there is none."""
    return max((text_width(text, size) for text in texts), default=0.0)


@lru_cache(maxsize=1)
def _renderer():
    return FigureCanvasAgg(Figure(dpi=72)).get_renderer()
