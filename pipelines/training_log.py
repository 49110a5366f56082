"""What a training says of itself: history rows, tracked metrics, lines for people."""

import math
from collections.abc import Callable

import numpy as np

from seqloom.pipelines.position import Position
from seqloom.pipelines.progress import TrainingProgress
from seqloom.pipelines.scores import plain_score


class TrainingLog:
    """Collects what happened until it is saved, and passes it on.

    Args:
        log: Called with (values, step) for the tracker.
        every_steps: How many steps lie between two tracked losses.
        progress: Shows the bar and the lines.
    """

    def __init__(
        self,
        log: Callable[[dict, int], None],
        every_steps: int,
        progress: TrainingProgress,
    ):
        self.log = log
        self.every_steps = every_steps
        self.progress = progress
        self.rows: list[dict] = []  # of the history, not saved yet

    def steps(
        self, position: Position, report: np.ndarray, speed: float, rate: Callable
    ) -> None:
        """Note finished steps.

        Args:
            report: `(count, 3)` loss sums, what they are sums over, gradient norms.
            speed: Tokens a second.
            rate: Gives the learning rate.
        """
        losses = report[:, 0] / np.maximum(report[:, 1], 1e-9)
        before = position.step - len(report)
        rows = [
            {"step": before + number, "loss": float(loss), "gradient_norm": float(norm)}
            for number, (loss, norm) in enumerate(
                zip(losses, report[:, 2], strict=True), start=1
            )
        ]
        if position.step // self.every_steps > before // self.every_steps:
            rows[-1]["learning_rate"] = rate()
            rows[-1]["tokens_per_second"] = speed
            values = {f"training/{k}": v for k, v in rows[-1].items() if k != "step"}
            self.log(values, position.step)
        self.rows += rows
        self.progress.update(position.step, position.epoch + 1, rows[-1]["loss"], speed)

    def validation(
        self, position: Position, metrics: dict, improved: bool, seconds: float
    ) -> None:
        """Note a validation, `seconds` after the training began."""
        values = {f"val_{name}": number for name, number in metrics.items()}
        place = {"step": position.step, "epoch": position.epoch + 1}
        self.rows.append({**place, "seconds": round(seconds, 1), **values})
        self.log({f"validation/{k}": v for k, v in metrics.items()}, position.step)
        shown = "  ".join(
            f"{name} {plain_score(name, metrics[name])}" for name in list(metrics)[:3]
        )
        self.progress.say(
            f"epoch {position.epoch + 1:3}  step {position.step:6}  "
            f"{seconds:6.0f} s  loss {metrics.get('loss', math.nan):.4f}  "
            f"{shown}{'  best so far' if improved else ''}"
        )
