"""Learning curves, and the look that all figures share.

Figures are made with matplotlib's object-oriented interface alone: no global state, no
window, and safe in any thread.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from seqloom.pipelines.scores import metric_name, plain_score
from seqloom.tasks.figure_style import BLUE, GREY, ORANGE, STYLE

Row = Mapping[str, Any]


def learning_curves(
    rows: Sequence[Row], monitor: str = "f1", best_step: int | None = None
) -> Figure:
    """Draw how a run went: loss, the validation metric, learning rate, tokens/s.

    Args:
        rows: One mapping a training step or validation, in order, as `history.jsonl`
            has them: `step`, and any of `loss`, `learning_rate`, `tokens_per_second`,
            `val_<metric>`.
        monitor: The validation metric that chooses the best weights.
        best_step: Step of these weights, which is marked; None marks the best value.

    Returns:
        A figure with a panel for each of the four that the rows have.
    """
    panels = [
        (_draw_loss, ("loss", "val_loss")),
        (_draw_validation, (f"val_{monitor}",)),
        (_draw_learning_rate, ("learning_rate",)),
        (_draw_speed, ("tokens_per_second",)),
    ]
    if monitor == "loss":
        del panels[1]
    drawn = [
        draw for draw, keys in panels if any(len(_curve(rows, k)[0]) for k in keys)
    ]
    with matplotlib.rc_context(STYLE):
        columns = min(2, max(1, len(drawn)))
        lines = max(1, -(-len(drawn) // 2))
        figure = Figure(figsize=(5.6 * columns, 3.5 * lines), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(lines, columns, squeeze=False).ravel()
        for axis, draw in zip(axes, drawn, strict=False):
            draw(axis, rows, monitor, best_step)
            axis.set_xlabel("step")
            axis.xaxis.set_major_formatter(EngFormatter(sep=""))
            axis.set_xlim(left=0)
        for axis in axes[len(drawn) :]:
            axis.set_axis_off()
        if not drawn:
            axes[0].text(0.5, 0.5, "Nothing was logged yet", ha="center", color=GREY)
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG and return its path; the folder is made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        # Without the date and version: equal data gives equal bytes.
        figure.savefig(path, dpi=144, metadata={"Software": None})
    return path


def _draw_loss(
    axis: Axes, rows: Sequence[Row], monitor: str, best_step: int | None
) -> None:
    steps, losses = _curve(rows, "loss")
    val_steps, val_losses = _curve(rows, "val_loss")
    if len(steps):
        axis.plot(steps, losses, color=BLUE, alpha=0.22, linewidth=0.8)
        axis.plot(steps, smooth(losses), color=BLUE, label="training, smoothed")
    if len(val_steps):
        axis.plot(val_steps, val_losses, color=ORANGE, marker="o", label="validation")
    shown = np.concatenate([losses, val_losses])
    shown = shown[np.isfinite(shown)]
    if len(shown) and shown.min() > 0 and shown.max() / shown.min() > 20:
        axis.set_yscale("log")
    elif len(shown):
        axis.set_ylim(bottom=0)
    axis.set_ylabel("loss")
    axis.set_title(_loss_title(losses, val_losses))
    if len(steps) and len(val_steps):
        axis.legend()
    if monitor == "loss" and len(val_steps):
        _mark_best(axis, val_steps, val_losses, best_step, np.nanargmin)


def _loss_title(losses: np.ndarray, val_losses: np.ndarray) -> str:
    ends = []
    if len(losses):
        ends.append(f"training {smooth(losses)[-1]:.3g}")
    if len(val_losses):
        ends.append(f"validation {val_losses[-1]:.3g}")
    return f"Loss at the end: {', '.join(ends)}"


def _draw_validation(
    axis: Axes, rows: Sequence[Row], monitor: str, best_step: int | None
) -> None:
    steps, values = _curve(rows, f"val_{monitor}")
    name = metric_name(monitor)
    axis.plot(steps, values, color=ORANGE, marker="o")
    best = _mark_best(axis, steps, values, best_step, np.nanargmax)
    axis.set_ylabel(name)
    where = ""
    if best >= 0:
        where = f": best {plain_score(monitor, values[best])} at step {steps[best]:,}"
    axis.set_title(f"Validation {name}{where}")
    axis.margins(y=0.12)


def _draw_learning_rate(
    axis: Axes, rows: Sequence[Row], monitor: str, best_step: int | None
) -> None:
    steps, rates = _curve(rows, "learning_rate")
    axis.plot(steps, rates, color=BLUE)
    axis.set_ylim(bottom=0)
    axis.yaxis.set_major_formatter("{x:g}")
    axis.set_ylabel("learning rate")
    axis.set_title(f"Learning rate: highest {rates.max():.3g}")


def _draw_speed(
    axis: Axes, rows: Sequence[Row], monitor: str, best_step: int | None
) -> None:
    steps, speeds = _curve(rows, "tokens_per_second")
    median = float(np.median(speeds))
    axis.plot(steps, speeds, color=BLUE)
    axis.axhline(median, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    axis.set_ylim(bottom=0)
    axis.yaxis.set_major_formatter(EngFormatter(sep=""))
    axis.set_ylabel("tokens per second")
    axis.set_title(f"Training speed: median {median:,.0f} tokens/s")


def _mark_best(
    axis: Axes, steps: np.ndarray, values: np.ndarray, best_step: int | None, choose
) -> int:
    """Ring the best point; returns its index, or -1 if there is none."""
    if not np.isfinite(values).any():
        return -1
    best = int(choose(values))
    if best_step is not None and best_step in steps:
        best = int(np.flatnonzero(steps == best_step)[0])
    axis.plot(
        steps[best],
        values[best],
        marker="o",
        markersize=11,
        markerfacecolor="none",
        markeredgecolor="black",
        markeredgewidth=1.4,
    )
    return best


def _curve(rows: Sequence[Row], key: str) -> tuple[np.ndarray, np.ndarray]:
    """The steps and values, float64, of the rows that have `key`."""
    pairs = [(row["step"], row[key]) for row in rows if row.get(key) is not None]
    steps = np.array([step for step, _ in pairs], dtype=int)
    return steps, np.array([value for _, value in pairs], dtype=float)


def smooth(values: np.ndarray, share: float = 0.04) -> np.ndarray:
    """Mean over a centred window that covers `share` of all values, without nans."""
    width = max(1, int(len(values) * share)) | 1
    finite = np.isfinite(values)
    window = np.ones(width)
    total = np.convolve(np.where(finite, values, 0.0), window, mode="full")
    count = np.convolve(finite.astype(float), window, mode="full")
    middle = slice(width // 2, width // 2 + len(values))
    with np.errstate(invalid="ignore"):
        return total[middle] / count[middle]
