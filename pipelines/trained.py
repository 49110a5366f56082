"""A trained run, back in memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import keras

from seqloom.pipelines.catalogue import build_task
from seqloom.pipelines.config import Config
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.mlflow_model import prediction_rows
from seqloom.pipelines.run import Run
from seqloom.pipelines.settings import read_resolved
from seqloom.tasks.task import Task


class Trained:
    """The model of a run, ready to predict. Get one from `load`.

    Attributes:
        run: The run directory.
        config: Its resolved config.
        task: The task, with its vocabulary.
        model: The Keras model with the best weights.
    """

    def __init__(self, run: Run, config: Config, task: Task, model: keras.Model):
        self.run = run
        self.config = config
        self.task = task
        self.model = model
        self._module = task.serving_module(model)

    def predict(self, texts: Sequence[str], batch_size: int = 256) -> list[dict]:
        """Answers to raw texts, in their order.

        Returns:
            For tagging, a dict each: `text`, `tokens`, `tags`, `scores` and, for
            spans, `entities` with `text`, `type`, `start`, `end` (in characters) and
            `score`. For classification: `text`, `label`, `score`, `probabilities`,
            `truncated`, and `words` with `text`, `start`, `end` and `weight`.
        """
        if isinstance(texts, str):
            raise TypeError(
                "predict takes a list of texts, got one string: write "
                f"predict([{texts[:40]!r}])."
            )
        rows: list[dict] = []
        for first in range(0, len(texts), batch_size):
            part = list(texts[first : first + batch_size])
            rows += prediction_rows(part, self._module.answers(part))
        return rows


def load(run_dir: str | Path) -> Trained:
    """Load a run directory, for example `load("runs/ner/latest")`.

    Raises:
        UserError: It is not a run, or its training has not ended.
    """
    run = Run.open(run_dir)
    config = read_resolved(run.config_path).config
    if not run.weights_path.exists():
        raise UserError(
            f"{run.folder} has no trained weights yet ({run.weights_path.name} is "
            f"missing): its training has not ended. Go on with it: make train "
            f"TASK={config.task} RESUME={run.folder}"
        )
    keras.config.set_dtype_policy("float32")
    task = build_task(config)
    with _read(run.vocabulary_dir):
        task.load_vocabulary(run.vocabulary_dir)
    model = task.build_model()
    with _read(run.weights_path):
        model.load_weights(run.weights_path)
    return Trained(run, config, task, model)


@contextmanager
def _read(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{path} cannot be read: {error}. It is damaged, or was written by another "
            "version of seqloom. Take it from a copy of the run, or train a new one."
        ) from error
