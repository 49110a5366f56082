"""A page of pictures with what a captioner wrote, and where it looked."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from seqloom.tasks.caption_panels import (
    checked_image,
    checked_weights,
    draw_look,
    draw_picture,
    draw_scale,
    fitted,
    lines_of,
    scale_of,
    write_line,
)
from seqloom.tasks.figure_style import BLUE, GREY, ORANGE
from seqloom.tasks.heat_maps import MARGIN, add_axes, style, write

MOST_PICTURES = 12
MOST_REFERENCES = 2
MOST_LOOKS = 5  # panels of a strip
COLUMNS = 2

# Inches.
PICTURE, TEXT, GAP = 1.7, 3.9, 0.15
LOOK, LOOK_GAP, WORD = 0.7, 0.1, 0.24
HEADER, COLUMN_GAP, ROW_GAP = 0.9, 0.4, 0.32
SIZE, SMALL = 10.5, 8.5  # letters of captions, and of all else, in points
LINE, SMALL_LINE = 0.2, 0.165

# Such words have no look of their own; other languages are not disturbed.
_LITTLE = (
    "a an and are as at be by for from has have his her in into is it its of on or "
    "some that the their there these this to up while with"
)
LITTLE_WORDS = frozenset(_LITTLE.split())


class CaptionedPicture(NamedTuple):
    """One picture of a contact sheet.

    Args:
        image: `(H, W, 3)` uint8.
        caption: What the model wrote.
        references: What people wrote.
        verdict: What is right or wrong of the caption, if that is known.
        right: Whether nothing is wrong; None if nobody knows.
        words: N words of the caption.
        weights: `(N, G, K)`, where each looked; None without attention.
    """

    image: np.ndarray
    caption: str
    references: Sequence[str] = ()
    verdict: str = ""
    right: bool | None = None
    words: Sequence[str] = ()
    weights: np.ndarray | None = None


def contact_sheet(
    items: Sequence[CaptionedPicture], title: str = "What the model wrote"
) -> Figure:
    """Draw pictures with their captions: bold the model's, grey the references.

    Below them small panels show where words looked that looked at little, at most
    `MOST_LOOKS`. The first `MOST_PICTURES` items are drawn.

    Raises:
        ValueError: An image or the weights of an item have another shape.
    """
    cards = [_Card(item) for item in items[:MOST_PICTURES]]
    rows = [cards[first : first + COLUMNS] for first in range(0, len(cards), COLUMNS)]
    columns = min(COLUMNS, max(1, len(cards)))
    width = 2 * MARGIN + columns * _Card.width + (columns - 1) * COLUMN_GAP
    height = HEADER + sum(_height(row) + ROW_GAP for row in rows)
    looks = [card.weights for card in cards if len(card.weights)]
    with matplotlib.rc_context(style()):
        figure = Figure(figsize=(width, max(height, HEADER + MARGIN)))
        FigureCanvasAgg(figure)
        write(figure, MARGIN, MARGIN, title, size=13, weight="bold")
        note = _note(len(items))
        write(figure, MARGIN, MARGIN + 0.27, note, size=SMALL, color=GREY)
        # Of all pictures together, so that lights can be compared.
        scale = scale_of(looks)
        if looks:
            draw_scale(figure, scale)
        top = HEADER
        for row in rows:
            for column, card in enumerate(row):
                left = MARGIN + column * (card.width + COLUMN_GAP)
                card.draw(figure, left, top, scale)
            top += _height(row) + ROW_GAP
    return figure


def _height(row: Sequence["_Card"]) -> float:
    return max(card.height for card in row)


def _note(number: int) -> str:
    if not number:
        return "There are no pictures."
    more = number - MOST_PICTURES
    return f"{more} more are not drawn." if more > 0 else ""


class _Card:
    """A picture with its texts and panels; its size is known before it is drawn."""

    width = PICTURE + GAP + TEXT

    def __init__(self, item: CaptionedPicture):
        self.image = checked_image(item.image)
        self.caption = lines_of(item.caption, TEXT, SIZE, 3, bold=True) or ["(nothing)"]
        mark = {True: "✓ ", False: "✗ ", None: ""}[item.right]
        self.verdict = lines_of(mark + item.verdict, TEXT, SMALL, 2)
        self.colour = {True: BLUE, False: ORANGE, None: GREY}[item.right]
        self.references = [
            line
            for text in item.references[:MOST_REFERENCES]
            for line in lines_of(text, TEXT, SMALL, 2)
        ]
        self.words, self.weights = peaked(item.words, item.weights)
        small = len(self.verdict) + len(self.references)
        self.above = LINE * len(self.caption) + SMALL_LINE * small  # the panels
        self.look = fitted(self.image, LOOK, LOOK)
        strip = WORD + self.look[1] if len(self.words) else 0.0
        self.size = fitted(self.image, PICTURE, PICTURE)
        self.height = max(self.size[1], self.above + strip)

    def draw(self, figure: Figure, left: float, top: float, scale: PowerNorm) -> None:
        """Draw it at a place, in inches from the left and from the top."""
        middle = left + (PICTURE - self.size[0]) / 2
        draw_picture(add_axes(figure, middle, top, *self.size), self.image)
        left += PICTURE + GAP
        base = top + 0.11  # so capital letters end where the picture does
        bold = {"size": SIZE, "weight": "bold", "color": "#111111"}
        for text in self.caption:
            write_line(figure, left, base, text, **bold)
            base += LINE
        for text in self.verdict:
            write_line(figure, left, base, text, size=SMALL, color=self.colour)
            base += SMALL_LINE
        for text in self.references:
            write_line(figure, left, base, text, size=SMALL, color=GREY)
            base += SMALL_LINE
        self._draw_looks(figure, left, top + self.above, scale)

    def _draw_looks(
        self, figure: Figure, left: float, top: float, scale: PowerNorm
    ) -> None:
        for word, weights in zip(self.words, self.weights):
            for shown in lines_of(word, LOOK + LOOK_GAP / 2, SMALL, 1):
                write_line(figure, left, top + WORD - 0.06, shown, size=SMALL)
            axes = add_axes(figure, left, top + WORD, *self.look)
            draw_look(axes, self.image, weights, scale)
            left += LOOK + LOOK_GAP


def peaked(
    words: Sequence[str], weights: np.ndarray | None, most: int = MOST_LOOKS
) -> tuple[list[str], np.ndarray]:
    """The words that looked at the least of the picture, in the order of the caption.

    These have the lowest entropy of their weights. `LITTLE_WORDS` are left out.

    Args:
        words: N words.
        weights: `(N, G, K)`; None without attention.

    Returns:
        M <= most words and `(M, G, K)`.
    """
    if weights is None:
        return [], np.zeros((0, 1, 1))
    weights = checked_weights(weights, len(words), "words")
    # Not -1, which no size can stand for where there is no word.
    flat = weights.reshape(len(words), math.prod(weights.shape[1:]))  # (N, S)
    logs = np.log(np.maximum(flat, 1e-12))
    entropies = -np.sum(flat * logs, axis=1)  # (N,)
    # What looked nowhere has no entropy either.
    telling = [i for i, word in enumerate(words) if _tells(word) and flat[i].any()]
    chosen = sorted(sorted(telling, key=lambda place: entropies[place])[:most])
    return [words[place] for place in chosen], weights[chosen]


def _tells(word: str) -> bool:
    return word.lower() not in LITTLE_WORDS and any(map(str.isalnum, word))
