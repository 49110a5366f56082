"""What the pipelines ask of a task."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import keras
import tensorflow as tf

from seqloom.tasks.examples import Examples


class Task(Protocol):
    """One shape of sequence learning: its data, model, loss, metrics and signatures.

    The order in which the pipelines call it: `fit_vocabulary` (or `load_vocabulary`),
    `build_model`, `examples` and `batch` for training, `loss` at every step, `predict`
    and `evaluate` for validation and test, `serving_module` for the export.
    """

    name: str

    def fit_vocabulary(self, records: Sequence) -> None:
        """Learn from the training records whatever maps strings to ids."""

    def save_vocabulary(self, folder: Path) -> None: ...

    def load_vocabulary(self, folder: Path) -> None: ...

    def build_model(self) -> keras.Model: ...

    def examples(self, records: Sequence, training: bool = False) -> Examples:
        """Encode records once, before training."""

    def batch(self, examples: Examples, rows, training: bool, seed) -> tuple:
        """In the graph: the padded (features, targets) of the given example rows, and
        what else the loss needs."""

    def loss(self, model: keras.Model, batch: tuple, outputs) -> tuple:
        """In the graph: loss summed over the batch, and how many parts it sums."""

    def predict(
        self, model: keras.Model, batch: tuple, outputs, quick: bool = False
    ) -> tuple:
        """In the graph: tensors of predictions, a row for each example.

        `quick` is that of `evaluate`: in validation a cheaper search may do.
        """

    def predictions(self, records: Sequence, outputs: Sequence) -> list[dict]:
        """JSON-ready rows: input, reference, prediction, scores."""

    def evaluate(self, rows: Sequence[dict], quick: bool = False) -> Any:
        """Metrics of such rows: `.values` by name, `.per_type` in detail."""

    def figures(self, rows: Sequence[dict]) -> dict[str, Any]:
        """Matplotlib figures by name."""

    def tables(self, rows: Sequence[dict]) -> dict[str, list[dict]]:
        """Browsable tables by name."""

    def watch(
        self, model: keras.Model, records: Sequence
    ) -> Callable[[], dict[str, Any]] | None:
        """Draws figures of some validation records, again and again in training."""

    def look_inside(
        self, model: keras.Model, records: Sequence, rows: Sequence[dict]
    ) -> dict[str, Any]:
        """What the model saw in some examples: figures and HTML pages by name."""

    def serving_module(self, model: keras.Model) -> tf.Module:
        """The module whose signatures are exported."""
