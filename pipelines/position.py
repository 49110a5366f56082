"""Where a training stands."""

import math
from dataclasses import dataclass, field

LOWER_IS_BETTER = ("loss", "perplexity", "error")


@dataclass
class Position:
    """Where a training stands; saved with every checkpoint."""

    epoch: int = 0
    batch: int = 0  # batches of this epoch that are done
    step: int = 0
    seconds: float = 0.0
    training_seconds: float = 0.0  # without validation
    tokens: int = 0
    epoch_loss: float = 0.0  # sums over this epoch
    epoch_weight: float = 0.0
    best: dict = field(default_factory=dict)  # step, epoch, value, metrics
    worse_validations: int = 0
    finished: bool = False

    @property
    def mean_loss(self) -> float:
        """Loss per token (per text, in classification) of this epoch so far."""
        return self.epoch_loss / max(self.epoch_weight, 1e-9)

    def advance(
        self, report, batches_per_step: int, seconds: float, tokens: int
    ) -> None:
        """Count finished steps.

        Args:
            report: `(count, 3)` loss sums, what they are sums over, gradient norms.
            tokens: Real tokens of these steps.
        """
        self.batch += len(report) * batches_per_step
        self.step += len(report)
        self.tokens += tokens
        self.training_seconds += seconds
        self.epoch_loss += float(report[:, 0].sum())
        self.epoch_weight += float(report[:, 1].sum())

    def would_improve(self, value: float, monitor: str) -> bool:
        """Whether a value of the monitored metric beats the best one so far."""
        best = self.best.get("value", math.nan)
        if math.isnan(best) or math.isnan(value):
            return math.isnan(best)
        return value < best if lower_is_better(monitor) else value > best


def lower_is_better(metric: str) -> bool:
    """Whether a metric, told by its name, should fall."""
    return any(word in metric.lower() for word in LOWER_IS_BETTER)
