"""What each head of each layer looks at, as a page of small heat maps."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seqloom.tasks.heat_maps import (
    HEADER,
    MARGIN,
    NARROWEST,
    add_axes,
    draw_weights,
    label,
    longest,
    page,
    style,
)

MOST_PIECES = 24  # of a text: with more, eight maps in a row leave every screen


def self_attention(
    pieces: Sequence[str], weights: np.ndarray, title: str = "Encoder self-attention"
) -> Figure:
    """Draw how the pieces of one text look at each other, in each layer and head.

    Args:
        pieces: T pieces.
        weights: `(L, H, T, T)` of L layers with H heads each.
        title: What kind of attention it is.

    Raises:
        ValueError: The weights are not `(L, H, T, T)`.
    """
    return attention_heads(pieces, pieces, weights, title)


def attention_heads(
    queries: Sequence[str],
    values: Sequence[str],
    weights: np.ndarray,
    title: str = "Cross-attention",
) -> Figure:
    """Draw how queries look at values: a row of heat maps a layer, one for each head.

    Of longer texts the first `MOST_PIECES` are drawn, and a note says so.

    Args:
        queries: T pieces, the rows of each map.
        values: S pieces, its columns.
        weights: `(L, H, T, S)` of L layers with H heads each.
        title: What kind of attention it is.

    Raises:
        ValueError: The weights are not `(L, H, T, S)`.
    """
    weights = np.asarray(weights, dtype=float)
    sizes = (len(queries), len(values))
    if weights.ndim != 4 or weights.shape[2:] != sizes:
        raise ValueError(
            f"Weights of {sizes[0]} queries and {sizes[1]} values are (layers, heads, "
            f"{sizes[0]}, {sizes[1]}), got {weights.shape}. Cut the padding off both, "
            "and pass one sentence at a time."
        )
    long = max(sizes)
    note = (
        f"the first {MOST_PIECES} of up to {long} pieces" if long > MOST_PIECES else ""
    )
    weights = weights[:, :, :MOST_PIECES, :MOST_PIECES]
    rows = [label(piece) for piece in queries[:MOST_PIECES]]
    columns = [label(piece) for piece in values[:MOST_PIECES]]
    with matplotlib.rc_context(style()):
        return _draw_heads(rows, columns, weights, title, note)


def _draw_heads(
    rows: Sequence[str],
    columns: Sequence[str],
    weights: np.ndarray,
    title: str,
    note: str,
) -> Figure:
    layers, heads, *sizes = weights.shape
    cell = min(0.16, max(0.115, 1.5 / max(*sizes, 1)))
    size = 72 * cell * 0.72  # letters that fit into their cell
    height, width = (max(cell * number, 0.6) for number in sizes)
    left = 0.45 + longest(rows, size)
    above = HEADER + 0.4 + longest(columns, size)
    across, down = width + 0.14, height + 0.14
    page_width = max(left + heads * across + MARGIN, NARROWEST)
    figure = page(page_width, above + layers * down + MARGIN, title, note)
    for layer in range(layers):
        for head in range(heads):
            place = (left + head * across, above + layer * down, width, height)
            axes = add_axes(figure, *place)
            draw_weights(axes, weights[layer, head])
            _name_heads(axes, rows, columns, layer, head, size)
    return figure


def _name_heads(
    axes: Axes,
    rows: Sequence[str],
    columns: Sequence[str],
    layer: int,
    head: int,
    size: float,
) -> None:
    """Pieces stand at the first map of a row and of a column; so do the numbers."""
    if layer == 0:
        axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=size)
        axes.set_title(f"head {head + 1}", fontsize=10, pad=4)
    if head == 0:
        axes.set_yticks(range(len(rows)), rows, fontsize=size)
        axes.set_ylabel(f"layer {layer + 1}", fontsize=10, weight="bold")
