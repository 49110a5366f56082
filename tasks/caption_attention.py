"""Where a captioner looked at each word that it wrote, as pictures."""

import re
import unicodedata
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
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
from seqloom.tasks.figure_style import GREY
from seqloom.tasks.heat_maps import HEADER, MARGIN, SMALL, add_axes, style, write
from seqloom.tasks.subword_sampling import SPACE

MOST_WORDS = 23  # with the plain picture, four full lines
PANELS = 6  # of a line

# Inches.
PANEL, TALLEST, GAP, LINE_GAP, WORD = 1.6, 2.0, 0.12, 0.2, 0.22
SIZE, LARGE = 10.5, 13.0  # of words and title, in points

# In these nobody writes spaces, so a piece is as much of a word as there is.
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
_BYTE = re.compile("<0x([0-9A-F]{2})>")


def attention_by_word(
    image: np.ndarray, words: Sequence[str], weights: np.ndarray, title: str = ""
) -> Figure:
    """Draw a picture plain, then once for each word, light where the model looked.

    All panels have one scale, which stands at the upper right. Of a longer caption the
    first `MOST_WORDS` are drawn, and a note says so.

    Args:
        image: `(H, W, 3)` uint8.
        words: N words.
        weights: `(N, G, K)`, of each word on the places of a grid over the picture.
        title: What stands above, such as the caption.

    Raises:
        ValueError: The image or the weights have another shape.

    Reference: Xu et al. 2015, https://arxiv.org/abs/1502.03044, figure 2.
    """
    image = checked_image(image)
    weights = checked_weights(weights, len(words), "words")[:MOST_WORDS]
    width, height = fitted(image, PANEL, TALLEST)
    lines = -(-(1 + len(weights)) // PANELS)
    page_width = 2 * MARGIN + PANELS * PANEL + (PANELS - 1) * GAP
    page_height = HEADER + lines * (WORD + height + LINE_GAP) + MARGIN - LINE_GAP
    scale = scale_of([weights])
    with matplotlib.rc_context(style()):
        figure = Figure(figsize=(page_width, page_height))
        FigureCanvasAgg(figure)
        _draw_heading(figure, title, len(words))
        draw_scale(figure, scale)
        for place in range(1 + len(weights)):
            row, column = divmod(place, PANELS)
            left = MARGIN + column * (PANEL + GAP) + (PANEL - width) / 2
            top = HEADER + row * (WORD + height + LINE_GAP)
            axes = add_axes(figure, left, top + WORD, width, height)
            if place == 0:
                draw_picture(axes, image)
                continue
            draw_look(axes, image, weights[place - 1], scale)
            for word in lines_of(words[place - 1], PANEL, SIZE, 1):
                write_line(figure, left, top + WORD - 0.07, word, size=SIZE)
    return figure


def _draw_heading(figure: Figure, title: str, number: int) -> None:
    room = figure.get_size_inches()[0] - 2 * MARGIN - 3.3  # the scale is on the right
    note = f"the first {MOST_WORDS} of {number} words" if number > MOST_WORDS else ""
    if number == 0:
        note = "There are no words."
    for line in lines_of(title, room, LARGE, 1, bold=True):
        write(figure, MARGIN, MARGIN, line, size=LARGE, weight="bold")
    write(figure, MARGIN, MARGIN + 0.27, note, size=SMALL, color=GREY)


def words_of(
    pieces: Sequence[str], weights: np.ndarray
) -> tuple[list[str], np.ndarray]:
    """Join pieces to words, whose weights are the means of those of their pieces.

        pieces   "▁two", "▁dog", "s", "▁in", "▁caf", "<0xC3>", "<0xA9>", "s"
        words    "two", "dogs", "in", "cafés"

    Bytes that make no letters together become U+FFFD. In scripts without spaces each
    piece is a word.

    Args:
        pieces: T pieces of SentencePiece.
        weights: `(T, G, K)`.

    Returns:
        W words and `(W, G, K)`.

    Raises:
        ValueError: The weights are not of so many pieces.
    """
    weights = checked_weights(weights, len(pieces), "pieces")
    words: list[tuple[str, list[int]]] = []
    for text, places in _letters(pieces):
        if not words or text.startswith(SPACE) or _is_unspaced(text):
            words.append((text, places))
        else:
            before, others = words[-1]
            words[-1] = (before + text, others + places)
    named = [(text.replace(SPACE, " ").strip(), places) for text, places in words]
    named = [(text, places) for text, places in named if text]
    means = [weights[places].mean(axis=0) for _, places in named]
    shape = (len(named), *weights.shape[1:])
    return [text for text, _ in named], np.reshape(means, shape)  # (W, G, K)


def _letters(pieces: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Texts and the places of their pieces: one each, but for runs of bytes."""
    found: list[tuple[str, list[int]]] = []
    run: list[tuple[int, int]] = []  # bytes and their places
    for place, piece in enumerate([*pieces, ""]):
        byte = _BYTE.fullmatch(piece)
        if byte:
            run.append((int(byte[1], 16), place))
            continue
        if run:
            text = bytes(value for value, _ in run).decode("utf-8", "replace")
            found.append((text.replace(" ", SPACE), [spot for _, spot in run]))
            run = []
        if piece:
            found.append((piece, [place]))
    return found


def _is_unspaced(text: str) -> bool:
    return unicodedata.name(text[0], "").startswith(_UNSPACED) if text else False
