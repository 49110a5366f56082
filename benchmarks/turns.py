"""Measuring things against each other on a computer that has other work to do."""

import statistics
from collections.abc import Callable, Sequence


def in_turn(measures: Sequence[Callable[[], float]], rounds: int) -> list["Side"]:
    """What each measure gives in rounds in which they take turns, after a warm-up."""
    for measure in measures:
        measure()
    results = [[measure() for measure in measures] for _ in range(rounds)]
    return [Side(values) for values in zip(*results, strict=True)]


class Side:
    """The values of one side of a comparison, one a round."""

    def __init__(self, values: Sequence[float]):
        self.values = list(values)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def over(self, other: "Side") -> float:
        """Median of the ratios of each round: both sides had the same weather then."""
        pairs = zip(self.values, other.values, strict=True)
        return statistics.median(one / two for one, two in pairs)

    def __str__(self) -> str:
        low, high = min(self.values), max(self.values)
        return f"{self.median:10,.0f}   ({low:,.0f} to {high:,.0f})"


def report(subject: str, what: str, value) -> None:
    """Print one line; numbers as they are, sides with their spread."""
    text = f"{value:10.2f}" if isinstance(value, float) else value
    print(f"{subject:10} {what:44} {text}", flush=True)
