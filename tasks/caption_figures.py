"""Pictures of how well images are captioned; those of attention come along.

Every function takes plain arrays, texts and scores and returns a matplotlib figure;
nothing is written and no window is opened.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from seqloom.tasks.caption_attention import attention_by_word, words_of
from seqloom.tasks.caption_sheet import CaptionedPicture, contact_sheet
from seqloom.tasks.classification_figures import PALE_BLUE
from seqloom.tasks.confusion import NAMES_STYLE
from seqloom.tasks.figure_style import BLUE, GREY, ORANGE
from seqloom.tasks.scene_check import PARTS

__all__ = [
    "CaptionedPicture",
    "attention_by_word",
    "contact_sheet",
    "scene_parts",
    "scores_by_image",
    "words_of",
]

# What `scene_parts` draws, in its order, and how it is called.
WHOLES = {
    "correct": "all of it",
    "correct_seen": "seen pairs",
    "correct_held_out": "held-out pairs",
}
_BESIDE: dict[str, Any] = {
    "xytext": (4, 0),
    "textcoords": "offset points",
    "va": "center",
    "fontsize": 9,
    "color": "#333333",
}


def scene_parts(values: Mapping[str, float]) -> Figure:
    """Draw how many captions of scenes are right: as a whole, and in each part.

    Args:
        values: Shares, as `scene_check.summarize` gives them. What is not there is not
            drawn, such as `correct_held_out` where no scene has such pairs.
    """
    wholes = [name for name in WHOLES if name in values]
    parts = [name for name in PARTS if name in values]
    # A gap between the two groups.
    rows = [*range(len(wholes)), *(len(wholes) + 0.5 + i for i in range(len(parts)))]
    shares = [float(values[name]) for name in [*wholes, *parts]]
    held_out = [ORANGE if name == "correct_held_out" else BLUE for name in wholes]
    with matplotlib.rc_context({**NAMES_STYLE, "axes.grid.axis": "x"}):
        height = 1.3 + 0.36 * max(2, len(rows))
        figure = Figure(figsize=(6.6, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        colours = [*held_out, *([PALE_BLUE] * len(parts))]
        axes.barh(rows, shares, height=0.7, color=colours)
        for row, share in zip(rows, shares, strict=True):
            axes.annotate(f"{share:.1%}", (share, row), **_BESIDE)
        axes.set_yticks(rows, [*(WHOLES[name] for name in wholes), *parts])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(max([1.0, *rows]) + 0.6, -0.6)  # the first on top
        axes.set_xlim(0, 1.12)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_xlabel("captions that are right")
        axes.set_title(_parts_title(values))
    return figure


def _parts_title(values: Mapping[str, float]) -> str:
    if "correct" not in values:
        return "There are no scenes"
    if not {"correct_seen", "correct_held_out"} <= set(values):
        return f"{values['correct']:.1%} of captions are right"
    gap = 100 * (values["correct_held_out"] - values["correct_seen"])
    word = "above" if gap >= 0 else "below"
    return f"Held-out pairs: {abs(gap):.1f} points {word} seen ones"


def scores_by_image(scores: Sequence[float], name: str = "CIDEr-D") -> Figure:
    """Draw how many images have which score: few good ones and many bad ones have the
    same mean as all alike.

    Args:
        scores: Of each image, 0 or more.
        name: What they are.
    """
    numbers = np.asarray(scores, dtype=float)
    with matplotlib.rc_context({**NAMES_STYLE, "axes.grid.axis": "y"}):
        figure = Figure(figsize=(6.6, 4.0), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        end = max(1.0, float(np.ceil(2 * numbers.max(initial=0.0)) / 2))
        axes.hist(numbers, bins=np.linspace(0, end, 41).tolist(), color=PALE_BLUE)
        axes.set_xlim(0, end)
        axes.set_xlabel(f"{name} of an image")
        axes.set_ylabel("images")
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_title("There are no images")
        if len(numbers):
            mean, median = float(numbers.mean()), float(np.median(numbers))
            axes.axvline(mean, color=ORANGE, label=f"mean {mean:.2f}")
            axes.axvline(median, color=GREY, ls="--", label=f"median {median:.2f}")
            axes.legend(loc="upper right")
            none = np.mean(numbers < 0.005)
            axes.set_title(f"{name} {mean:.2f}; {none:.0%} of images have none")
    return figure
