"""Texts with coloured words as a picture; what is shown is in highlights.py."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from unicodedata import category

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.patches import FancyBboxPatch

from seqloom.tasks.confusion import NAMES_STYLE
from seqloom.tasks.figure_style import GREY, ORANGE
from seqloom.tasks.highlights import (
    LEGEND,
    HighlightedText,
    cut,
    pieces,
    printable,
    relative,
    sections,
    shade,
)

MOST_TEXTS = 12
FIGURE_CHARACTERS = 300

# Points, of which an inch has 72.
WIDTH, MARGIN, INDENT = 648, 18, 66
LINE, SIZE, PAD = 17, 10, 0.8
DPI = 144

# Where they are installed, they draw what the first one lacks.
FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans", "Noto Emoji", "Segoe UI Emoji")
INVISIBLE = ("Cf", "Mn", "Me")  # joiners, accents, choices of an emoji's colour


class Placed(NamedTuple):
    """A piece of text on its line; `number` is that of its word, if it is one."""

    text: str
    number: int | None
    line: int
    x: float
    width: float


def highlights_figure(examples: Sequence[HighlightedText]) -> Figure:
    """Draw texts with coloured words, in wrapped lines.

    The first `MOST_TEXTS` are drawn, each up to `FIGURE_CHARACTERS` characters. What no
    installed font has is drawn as a square. Words go from left to right in any script.
    """
    page = Page()
    page.write(0, "What the model looked at", size=12, weight="bold")
    page.advance(1.2)
    _draw_legend(page)
    for heading, group in sections(examples[:MOST_TEXTS]):
        if heading:
            page.advance(0.4)
            page.write(0, heading, size=11, weight="bold")
            page.advance(1.2)
        for example in group:
            _draw_example(page, example)
    if not examples:
        page.write(0, "There are no texts.", color=GREY)
        page.advance(1)
    if len(examples) > MOST_TEXTS:
        page.write(0, f"{len(examples) - MOST_TEXTS} more are not drawn.", color=GREY)
        page.advance(1)
    return page.figure()


def _draw_legend(page: "Page") -> None:
    x = 0.0
    for colour, name in LEGEND:
        kind = "attention" if colour == LEGEND[0][0] else "gradients"
        page.box(x, 12, shade(kind, -1.0 if colour == LEGEND[2][0] else 1.0))
        page.write(x + 17, name, size=9, color="#333333")
        x += 17 + page.width(name) * 0.9 + 14
    page.advance(1.5)


def _draw_example(page: "Page", example: HighlightedText) -> None:
    mark, colour = ("✓", "#222222") if example.correct else ("✗", ORANGE)
    answer = f"{mark} {example.prediction} {example.score:.1%}"
    if not example.correct:
        answer += f", true: {example.reference}"
    page.write(0, answer, color=colour, weight="bold", size=9.5)
    page.advance(1.1)
    example = cut(example, FIGURE_CHARACTERS)
    for kind, weights in example.weights() or [("", [0.0] * len(example.spans))]:
        page.write(0, kind, color=GREY, size=8.5)
        strengths = relative(weights)
        words = drawable_pieces(example)
        lines = 1
        for piece in place(words, WIDTH - 2 * MARGIN - INDENT, page.width):
            y = piece.line
            if piece.number is not None and strengths[piece.number]:
                background = shade(kind, strengths[piece.number])
                page.box(INDENT + piece.x, piece.width, background, line=y)
            page.write(INDENT + piece.x + PAD, piece.text, line=y)
            lines = y + 1
        page.advance(lines + 0.15)
    page.advance(0.35)


class Page:
    """What is to be drawn, from the top down; its height is known at the end."""

    def __init__(self):
        self._down = float(MARGIN)
        self._texts: list[tuple[float, float, str, dict]] = []
        self._boxes: list[tuple[float, float, float, str]] = []
        self._renderer = FigureCanvasAgg(Figure(dpi=DPI)).get_renderer()
        self._font = FontProperties(family=list(fonts()), size=SIZE)

    def width(self, text: str) -> float:
        """Points that a text of normal size takes."""
        # Between bars, since the width of a space at an end is not counted.
        return self._measure(f"|{text}|") - self._measure("||")

    def _measure(self, text: str) -> float:
        text = drawable(text)
        size = self._renderer.get_text_width_height_descent(text, self._font, False)
        return size[0] * 72 / DPI

    def write(self, x: float, text: str, line: float = 0, **style: Any) -> None:
        self._texts.append((x, self._down + line * LINE, drawable(text), style))

    def box(self, x: float, width: float, colour: str, line: float = 0) -> None:
        self._boxes.append((x, self._down + line * LINE, width, colour))

    def advance(self, lines: float) -> None:
        self._down += lines * LINE

    def figure(self) -> Figure:
        height = self._down + MARGIN / 2
        with matplotlib.rc_context(NAMES_STYLE):
            figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=DPI)
            FigureCanvasAgg(figure)
            axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(height, 0))
            axes.set_axis_off()
            for x, y, width, colour in self._boxes:
                corner = (MARGIN + x + 0.3, y + 1.5)
                shape = "round,pad=0,rounding_size=2"
                box = FancyBboxPatch(
                    corner, width - 0.6, LINE - 3, boxstyle=shape, fc=colour, lw=0
                )
                axes.add_patch(box)
            for x, y, text, style in self._texts:
                font = {"family": list(fonts()), "size": SIZE, "color": "#111111"}
                baseline = y + 0.72 * LINE
                axes.text(MARGIN + x, baseline, text, **font | style)
        return figure


def drawable_pieces(example: HighlightedText) -> list[list[tuple[str, int | None]]]:
    """Groups of pieces without white space between them."""
    groups: list[list[tuple[str, int | None]]] = [[]]
    for piece, number in pieces(example.text, example.spans):
        if number is not None:
            groups[-1].append((" ".join(piece.split()), number))
            continue
        for i, part in enumerate(re.split(r"\s+", piece)):
            if i:
                groups.append([])
            groups[-1].append((part, None))
    kept = [[piece for piece in group if drawable(piece[0])] for group in groups]
    return [group for group in kept if group]


def place(
    groups: Sequence[Sequence[tuple[str, int | None]]],
    room: float,
    measure: Callable[[str], float],
) -> Iterator[Placed]:
    """Lay pieces out in lines of `room` points.

    A line ends between groups; a group that no line can hold ends where it must.
    """
    space = measure(" ")
    line, x = 0, 0.0
    for group in groups:
        widths = [measure(text) + 2 * PAD for text, _ in group]
        if x and x + sum(widths) > room:
            line, x = line + 1, 0.0
        for (text, number), width in zip(group, widths, strict=True):
            while x + width > room:
                count = _fitting(text, room - x - 2 * PAD, measure)
                count = count or (0 if x else 1)  # a whole line holds at least one
                if count:
                    part = measure(text[:count]) + 2 * PAD
                    yield Placed(text[:count], number, line, x, part)
                line, x, text = line + 1, 0.0, text[count:]
                width = measure(text) + 2 * PAD if text else 0.0
            if text:
                yield Placed(text, number, line, x, width)
            x += width
        x += space


def _fitting(text: str, room: float, measure: Callable[[str], float]) -> int:
    """How many of the first characters fit."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (
            (middle, high) if measure(text[:middle]) <= room else (low, middle - 1)
        )
    return low


def drawable(text: str) -> str:
    """What the fonts can draw of a text, with squares for the rest."""
    shown = []
    for letter in printable(text):
        if letter in "\n\t":
            shown.append(" ")
        elif _has_glyph(letter):
            shown.append(letter)
        elif category(letter) not in INVISIBLE:
            shown.append("□")
    return "".join(shown)


@lru_cache(maxsize=1)
def fonts() -> tuple[str, ...]:
    installed = {font.name for font in fontManager.ttflist}
    return tuple(name for name in FONTS if name in installed)


@lru_cache(maxsize=4096)
def _has_glyph(letter: str) -> bool:
    paths = (findfont(FontProperties(family=name)) for name in fonts())
    return any(get_font(path).get_char_index(ord(letter)) for path in paths)
