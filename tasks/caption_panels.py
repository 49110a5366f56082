"""What the figures of captions share: pictures, what was looked at, wrapped text."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.text import Text

from seqloom.tasks.heat_maps import MARGIN, SMALL, add_axes, text_width, write
from seqloom.tasks.highlights_figure import PAD, drawable, place

# One hue that gets lighter and denser, on a picture that is grey and dark: more light
# is more weight, whatever colours a reader tells apart.
GLOW = LinearSegmentedColormap.from_list(
    "glow", [(0, "#FF941800"), (0.5, "#FF94187A"), (1, "#FFB84DE0")]
)
DIMMED = 0.45  # of the light of the picture below
GAMMA = 0.6  # below 1, so that small weights are seen, too
MOST = 0.8  # of the grids have no weight beyond the end of their scale
# Where scales end.
LEVELS = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
SPREAD = 0.45  # of a place of the grid, in places

_BOLD = 1.13  # how much wider bold letters are
_LUMA = (0.299, 0.587, 0.114)  # how bright red, green and blue are to the eye
_SCALE_WIDTH, _SCALE_HEIGHT = 1.7, 0.13  # inches


def upsample(weights: np.ndarray, height: int, width: int) -> np.ndarray:
    """Spread the weights of a grid smoothly over all pixels.

    Each pixel gets the mean of the places around it, by a Gaussian of the distance, so
    that no pixel has more than the largest weight, none less than the smallest, and
    even weights stay even.

    Args:
        weights: `(G, K)`.

    Returns:
        `(height, width)` float64.
    """
    rows, columns = weights.shape
    return _near(height, rows) @ weights @ _near(width, columns).T


def _near(pixels: int, places: int) -> np.ndarray:
    """How near each place is to each pixel, `(pixels, places)`; rows sum to 1."""
    middles = (np.arange(pixels) + 0.5) * places / pixels - 0.5  # in places
    distances = middles[:, None] - np.arange(places)  # (pixels, places)
    near = np.exp(-0.5 * (distances / SPREAD) ** 2)
    return near / near.sum(axis=1, keepdims=True)


def scale_of(looks: Sequence[np.ndarray]) -> PowerNorm:
    """The scale of all panels of a figure, for grids `(N, G, K)` of one picture each.

    It goes from 0 to the first of `LEVELS` that most grids do not exceed, so that a
    single one does not darken the others; what exceeds it has the last colour. It goes
    to no less than four times the even weight: where all places were looked at alike,
    no panel shines.
    """
    peaks = [float(grid.max()) for grids in looks for grid in grids]
    even = max((1 / grid.size for grids in looks for grid in grids), default=1.0)
    usual = float(np.quantile(peaks, MOST)) if peaks else 1.0
    # A little lower, as the mean of equal weights is not always quite the same.
    end = max(usual, min(1.0, 4 * even)) - 1e-6
    end = next((level for level in LEVELS if end <= level), LEVELS[-1])
    return PowerNorm(GAMMA, vmin=0.0, vmax=end, clip=True)


def draw_scale(figure: Figure, scale: PowerNorm) -> None:
    """Say at the upper right what the light stands for."""
    width = figure.get_size_inches()[0]
    left = width - MARGIN - 0.1 - _SCALE_WIDTH
    name = "weight of a place"
    write(figure, left - text_width(name, SMALL) - 0.15, MARGIN, name, size=SMALL)
    axes = add_axes(figure, left, MARGIN, _SCALE_WIDTH, _SCALE_HEIGHT)
    axes.set_facecolor(str(DIMMED / 2))  # what an average picture looks like below it
    colours = ScalarMappable(scale, GLOW)
    bar = figure.colorbar(colours, cax=axes, orientation="horizontal")
    end = float(scale.vmax or 1.0)
    levels = [0.0, end / 4, end / 2, end]
    labels = [f"{100 * level:.3g}%" for level in levels]
    if end < 1:
        labels[-1] = f"≥ {labels[-1]}"
    bar.set_ticks(levels, labels=labels)
    bar.ax.tick_params(length=0, labelsize=SMALL, pad=2)
    bar.outline.set_visible(False)


def write_line(
    figure: Figure, left: float, base: float, text: str, **style: Any
) -> Text:
    """Write a text on a line, so that texts beside each other stand equally high."""
    written = write(figure, left, base, text, **style)
    written.set_verticalalignment("baseline")
    return written


def draw_picture(axes: Axes, image: np.ndarray) -> None:
    """Draw a picture `(H, W, 3)`, without a frame around it."""
    axes.imshow(image, aspect="auto")
    axes.set_axis_off()


def draw_look(
    axes: Axes, image: np.ndarray, weights: np.ndarray, scale: PowerNorm
) -> None:
    """Draw a picture grey and dark, and light where the weights are.

    Args:
        image: `(H, W, 3)` uint8.
        weights: `(G, K)`.
    """
    grey = DIMMED * image @ np.array(_LUMA)  # (H, W)
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, aspect="auto")
    light = upsample(weights, *grey.shape)
    axes.imshow(light, cmap=GLOW, norm=scale, aspect="auto")
    axes.set_axis_off()


def fitted(image: np.ndarray, width: float, height: float) -> tuple[float, float]:
    """The largest width and height, in inches, of a picture in a box."""
    rows, columns = image.shape[:2]
    by = min(width / columns, height / rows)
    return columns * by, rows * by


def checked_image(image: np.ndarray) -> np.ndarray:
    """The image, if it is one."""
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f"An image has to be (H, W, 3) uint8, got {image.shape} {image.dtype}. "
            "Bring it to 0 to 255 in three colours."
        )
    return image


def checked_weights(weights: np.ndarray, number: int, what: str) -> np.ndarray:
    """The weights as `(N, G, K)` float64, if they are of so many words or pieces."""
    weights = np.asarray(weights, dtype=float)
    if weights.ndim != 3 or len(weights) != number:
        raise ValueError(
            f"{number} {what} need weights of the shape ({number}, G, K), got "
            f"{weights.shape}. Cut the padding off, and give each {what[:-1]} a grid."
        )
    return np.nan_to_num(weights)


def lines_of(
    text: str, width: float, size: float, most: int, bold: bool = False
) -> list[str]:
    """Wrap a text into lines of so many inches; what is left out becomes an ellipsis.

    Args:
        text: In any script; what no font has becomes a square.
        size: Of the letters, in points.
        most: Lines at most.
    """
    wider = _BOLD if bold else 1.0

    def points(piece: str) -> float:
        # Between bars, since the width of a space alone is not counted.
        inches = text_width(f"|{piece}|", size) - text_width("||", size)
        # Lines have no pads around their words, which `place` adds.
        return 72 * wider * inches - (2 * PAD if piece.strip() else 0)

    lines: list[list[str]] = []
    words = [[(word, None)] for word in drawable(text).split()]
    for piece in place(words, 72 * width, points):
        lines += [[] for _ in range(piece.line + 1 - len(lines))]
        lines[piece.line].append(piece.text)
    shown = [" ".join(line) for line in lines[:most]]
    if len(lines) > most:
        last = shown[-1]
        while last and points(f"{last}…") + 2 * PAD > 72 * width:
            last = last[:-1]
        shown[-1] = f"{last.rstrip()}…"
    return shown
