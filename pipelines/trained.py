"""A trained run, back in memory."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import keras

from seqloom.pipelines.catalogue import build_task
from seqloom.pipelines.config import Config
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.mlflow_model import prediction_rows
from seqloom.pipelines.run import Run
from seqloom.pipelines.settings import read_resolved
from seqloom.tasks.task import Task

SAMPLED_AT_ONCE = 64


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

    def predict(
        self, texts: Sequence[str | bytes], batch_size: int = 256, **options: Any
    ) -> list[dict]:
        """Answers to raw texts, or to images, in their order.

        Args:
            texts: For captioning the bytes of JPEG or PNG files.
            options: How to look for translations or captions: those of
                `DecodingOptions`, such as `beam=5, n_best=3`, or `sample=True,
                temperature=0.8, seed=3`; and `attention=True` to get it, too. Other
                tasks have none.

        Returns:
            For tagging, a dict each: `text`, `tokens`, `tags`, `scores` and, for
            spans, `entities` with `text`, `type`, `start`, `end` (in characters) and
            `score`. For classification: `text`, `label`, `score`, `probabilities`,
            `truncated`, and `words` with `text`, `start`, `end` and `weight`. For
            translation: `text`, `translation`, `score`, `truncated`; with an n_best
            above 1 `translations` with `text` and `score`; with attention
            `source_pieces`, `target_pieces`, and `attention` with a row of weights of
            the former for each of the latter. For captioning: `caption`, `score`,
            `error` ("" where an image could be read); with an n_best above 1
            `captions`; with attention `pieces`, and `attention` with rows of the grid
            for each.

        Raises:
            UserError: An option does not exist, or makes no sense.
        """
        if isinstance(texts, str | bytes):
            raise TypeError(
                "predict takes a list, got a single one: write "
                f"predict([{texts[:40]!r}])."
            )
        return list(self.stream(texts, batch_size, **options))

    def stream(
        self, texts: Iterable[str | bytes], batch_size: int = 256, **options: Any
    ) -> Iterator[dict]:
        """As `predict`, batch by batch: the texts are never held all at once."""
        answer = self._answering(options)
        if options.get("sample"):
            # Then the place of a text among all alone tells what is drawn for it.
            batch_size = SAMPLED_AT_ONCE
        first, rest = 0, iter(texts)
        while part := list(islice(rest, batch_size)):
            yield from prediction_rows(part, answer(part, first))
            first += len(part)

    def _answering(self, options: dict) -> Callable[[list, int], Mapping]:
        """The function from texts, and the place of the first, to outputs."""
        if not options:
            return lambda part, _: self._module.answers(part)
        if not hasattr(self._module, "with_options"):
            given = ", ".join(f"{name}={value}" for name, value in options.items())
            raise UserError(
                f"A run of {self.task.name} answers in one way only, got {given}. "
                "Options are for translation and captioning: leave them out."
            )
        try:
            return self._module.with_options(**options)
        except ValueError as error:
            raise UserError(str(error)) from error


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
    load_weights(model, run)
    return Trained(run, config, task, model)


def load_weights(model: keras.Model, run: Run) -> None:
    """Put the best weights of a run into a model of the same sizes."""
    with _read(run.weights_path):
        model.load_weights(run.weights_path)


def first_weights(config: Config) -> Run | None:
    """The run that training starts from, if `training.start_from` names one.

    Raises:
        UserError: It is no finished run of the same task and model.
    """
    if config.training.start_from is None:
        return None
    run = Run.open(config.training.start_from)
    before = read_resolved(run.config_path).config
    where = f"training.start_from={config.training.start_from}"
    if before.task != config.task:
        raise UserError(
            f"{where} is a run of {before.task}, not of {config.task}. Name a run of "
            f"{config.task}."
        )
    if not run.weights_path.exists():
        raise UserError(
            f"{where} has no trained weights yet. Let its training end: make train "
            f"TASK={config.task} RESUME={run.folder}"
        )
    sizes, own = before.model.model_dump(), config.model.model_dump()
    changed = [key for key in own if key not in _FREE and own[key] != sizes.get(key)]
    if changed:
        listed = ", ".join(f"model.{key}={sizes.get(key)}" for key in changed)
        raise UserError(
            f"{where} was trained with {listed}: its weights do not fit another model. "
            "Give these settings."
        )
    return run


# Settings of a model that its weights do not depend on.
_FREE = (
    "dropout",
    "word_dropout",
    "sampling",
    "scheduled_sampling_ramp",
    "label_smoothing",
    "class_weights",
    "beam",
    "length_penalty",
    "coverage_penalty",
    "max_ratio",
    "max_extra",
    "max_written",
    "vary",
    "captions_at_once",
    "doubly_stochastic",
)


@contextmanager
def _read(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{path} cannot be read: {error}. It is damaged, or was written by another "
            "version of seqloom. Take it from a copy of the run, or train a new one."
        ) from error
