"""Draw scenes: soft backgrounds, clear objects, relations that nobody can mistake.

Lengths are in units: a picture is 64 units wide and high, whatever its pixels. Chance
comes from Python's own generator, and what is computed here are sums, products and
comparisons, so the same seed gives the same pixels on every machine.

An object is painted at 4 x 4 points a pixel; how many of them it covers is how much
of the pixel it takes.
"""

import io
import random
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from seqloom.tasks.scenes import Group, Scene

WIDTH = 64.0  # units
MIN_SIZE = 48  # pixels, below which textures cannot be told
BORDER = 1.5
GAP = 2.0  # between two objects of a group
MARGIN = 5.0  # between two groups
RADII = {"small": (5.2, 5.8), "large": (8.8, 9.4)}
POINTS = 4

PALETTE = {
    "red": (220, 38, 38),
    "orange": (250, 140, 20),
    "yellow": (250, 220, 30),
    "green": (45, 160, 70),
    "blue": (50, 105, 235),
    "purple": (165, 70, 205),
}
INK = (25, 25, 30)  # of stripes and dots
# Pale enough for all the colours above.
TONES = (
    (226, 226, 226),
    (214, 222, 230),
    (222, 216, 226),
    (216, 226, 218),
    (230, 220, 212),
    (204, 206, 208),
)

Points = np.ndarray
Span = tuple[float, float]


class Placed(NamedTuple):
    """One object: its group, its middle `(x, y)` and its radius, in units."""

    group: Group
    x: float
    y: float
    radius: float


def draw(scene: Scene, size: int = 64, seed: int | str = 0) -> np.ndarray:
    """Draw a scene.

    Args:
        scene: What the picture shows.
        size: Pixels of each side.
        seed: Decides where things are and how the background looks.

    Returns:
        `(size, size, 3)` uint8, RGB.
    """
    if size < MIN_SIZE:
        raise ValueError(
            f"Scenes cannot be drawn with size={size}: stripes and dots would be lost. "
            f"Set it to {MIN_SIZE} or more."
        )
    generator = random.Random(f"drawing {seed}")
    image = _background(scene.background, size, generator)
    for placed in place(scene, generator):
        _paint(image, placed)
    return image.astype(np.uint8)


def png_bytes(image: np.ndarray) -> bytes:
    """A PNG file of `(H, W, 3)` uint8."""
    buffer = io.BytesIO()
    # Higher levels take longer and save little.
    Image.fromarray(image).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


# === Places ===


def place(scene: Scene, generator: random.Random) -> list[Placed]:
    """Find places for the objects: inside the border, apart, and as the relation says.

    Of two groups, all of one is left of, or above, all of the other, and the line
    between their middles is within 27 degrees of that direction.
    """
    inside = (BORDER, WIDTH - BORDER)
    if scene.relation is None:
        return _place_group(scene.groups[0], inside, inside, generator)
    upright = scene.relation in ("above", "below")
    while True:
        cut = generator.uniform(27.0, WIDTH - 27.0)
        spans = (BORDER, cut - MARGIN / 2), (cut + MARGIN / 2, WIDTH - BORDER)
        if scene.relation in ("right", "below"):
            spans = spans[::-1]
        placed = []
        for group, span in zip(scene.groups, spans):
            area = (inside, span) if upright else (span, inside)
            placed.append(_place_group(group, *area, generator))
        (x, y), (other_x, other_y) = map(_middle, placed)
        along, across = abs(x - other_x), abs(y - other_y)
        if upright:
            along, across = across, along
        if across <= along / 2:
            return [*placed[0], *placed[1]]


def _place_group(
    group: Group, across: Span, down: Span, generator: random.Random
) -> list[Placed]:
    """Place the objects of a group side by side or one over another, anywhere else.

    Args:
        across: Where the area begins and ends, from left to right.
        down: The same from top to bottom.
    """
    radii = [generator.uniform(*RADII[group.size]) for _ in range(group.count)]
    needed = 2 * sum(radii) + GAP * (group.count - 1)
    ways = [
        flat
        for flat, (begin, end) in ((True, across), (False, down))
        if end - begin >= needed
    ]
    flat = generator.choice(ways)
    line, free = (across, down) if flat else (down, across)
    # Throw away what is not needed at random, before, between and after the objects.
    spare = line[1] - line[0] - needed
    shifts = sorted(generator.uniform(0.0, spare) for _ in radii)
    placed, begin = [], line[0]
    for radius, shift in zip(radii, shifts):
        along = begin + shift + radius
        side = generator.uniform(free[0] + radius, free[1] - radius)
        x, y = (along, side) if flat else (side, along)
        placed.append(Placed(group, x, y, radius))
        begin += 2 * radius + GAP
    return placed


def _middle(placed: list[Placed]) -> tuple[float, float]:
    return (
        sum(one.x for one in placed) / len(placed),
        sum(one.y for one in placed) / len(placed),
    )


# === Objects ===


def _paint(image: np.ndarray, placed: Placed) -> None:
    """Paint one object on `(H, W, 3)` int32."""
    group, scale = placed.group, image.shape[0] / WIDTH
    rows, down = _points(placed.y, placed.radius, scale)
    columns, across = _points(placed.x, placed.radius, scale)
    x, y = across[None, :], down[:, None]  # (1, 4W'), (4H', 1)
    covered = _INSIDE[group.shape](x, y)
    inked = covered & _INKED[group.texture](x * placed.radius, y * placed.radius)
    ink = _count(inked)
    paint = _count(covered) - ink
    patch = image[rows, columns]
    total = POINTS * POINTS
    patch *= total - paint - ink
    patch += paint * _rgb(PALETTE[group.colour]) + ink * _rgb(INK) + total // 2
    patch //= total


def _rgb(colour: tuple[int, int, int]) -> np.ndarray:
    return np.array(colour, np.int32)


def _points(middle: float, radius: float, scale: float) -> tuple[slice, Points]:
    """The pixels of a side, and where their points are: from -1 to 1 in the object."""
    begin = int((middle - radius) * scale)
    end = int((middle + radius) * scale) + 1
    points = (np.arange(begin * POINTS, end * POINTS) + 0.5) / (POINTS * scale)
    return slice(begin, end), (points - middle) / radius


def _count(covered: np.ndarray) -> np.ndarray:
    """Of `(4H', 4W')` bool points, those that are True in each pixel: `(H', W', 1)`."""
    height, width = (side // POINTS for side in covered.shape)
    rows = covered.view(np.uint8).reshape(height, POINTS, -1).sum(1, dtype=np.uint8)
    counts = rows.reshape(height, width, POINTS).sum(2, dtype=np.int32)
    return counts[..., None]


def _in_heart(x: Points, y: Points) -> Points:
    x, y = 1.16 * x, 0.1 - 1.12 * y
    ball = x * x + y * y - 1
    return ball * ball * ball <= x * x * y * y * y


def _wrap(lengths: Points) -> Points:
    """Distances from the nearest of the middles of dots."""
    return (lengths + 2.2) % 4.4 - 2.2


# Whether points of `(x, y)`, from -1 to 1, y down, belong to a shape.
_INSIDE: dict[str, Callable[[Points, Points], Points]] = {
    "circle": lambda x, y: x * x + y * y <= 1,
    "square": lambda x, y: (abs(x) <= 0.9) & (abs(y) <= 0.9),
    "triangle": lambda x, y: (y <= 0.85) & (abs(x) <= (y + 1) / 1.85),
    "ring": lambda x, y: (x * x + y * y <= 1) & (x * x + y * y >= 0.3),
    "cross": lambda x, y: (
        ((abs(x) <= 0.34) & (abs(y) <= 1)) | ((abs(y) <= 0.34) & (abs(x) <= 1))
    ),
    "heart": _in_heart,
}

# Whether points of an object, in units from its middle, bear ink.
_INKED: dict[str, Callable[[Points, Points], Points]] = {
    "plain": lambda x, y: np.zeros(np.shape(x), bool),
    "striped": lambda x, y: (x + y + 1.3) % 6 < 2.6,
    "dotted": lambda x, y: _wrap(x) ** 2 + _wrap(y) ** 2 < 1.3,
}


# === Backgrounds ===


def _background(kind: str, size: int, generator: random.Random) -> np.ndarray:
    """`(size, size, 3)` int32, pale."""
    first, second = map(_rgb, generator.sample(TONES, 2))
    if kind == "solid":
        weights = np.zeros((size, size), np.int32)
    elif kind == "gradient":
        weights = _ramp(size, generator) * 256 // (2 * size)
    elif kind == "stripes":
        width = generator.randint(size // 10, size // 6)
        weights = _ramp(size, generator) // (2 * width) % 2 * 160
    else:
        weights = _grain(size, generator)
    weights = weights[..., None]  # (size, size, 1)
    return (first * (256 - weights) + second * weights) // 256


def _ramp(size: int, generator: random.Random) -> np.ndarray:
    """Rises from 0 to 2 size - 2 in one of four directions: `(size, size)` int32."""
    steps = np.arange(size, dtype=np.int32)
    down, across = np.meshgrid(steps, steps, indexing="ij")
    ways = (2 * down, 2 * across, down + across, size - 1 - down + across)
    return ways[generator.randrange(len(ways))]


def _grain(size: int, generator: random.Random) -> np.ndarray:
    """Grains of two pixels, each of one of four weights: `(size, size)` int32."""
    cells = (size + 1) // 2
    grains = np.frombuffer(generator.randbytes(cells * cells), np.uint8) % 4
    grains = grains.reshape(cells, cells).repeat(2, axis=0).repeat(2, axis=1)
    return grains[:size, :size].astype(np.int32) * 64
