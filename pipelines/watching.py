"""Pictures of the same few validation examples after every validation."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from seqloom.pipelines import figures


class Watching:
    """Measures a validation, then draws and logs what a task wants to be watched.

    Args:
        measure: Gives the validation metrics.
        draw: Gives figures by name, or is None.
        folder: Where they are written, with the step in their names.
        log: Called with the path of each.
        step: Gives the step that training stands at.
    """

    def __init__(
        self,
        measure: Callable[[], dict[str, float]],
        draw: Callable[[], Mapping[str, Any]] | None,
        folder: Path,
        log: Callable[[Path], None],
        step: Callable[[], int],
    ):
        self.measure = measure
        self.draw = draw
        self.folder = folder
        self.log = log
        self.step = step

    def __call__(self) -> dict[str, float]:
        metrics = self.measure()
        drawn = self.draw() if self.draw else {}
        for name, figure in drawn.items():
            path = self.folder / f"{name}-step-{self.step():06d}.png"
            self.log(figures.save(figure, path))
        return metrics
