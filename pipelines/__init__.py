"""Pipelines: what is the same for every task, from a config to an exported model.

    from seqloom.pipelines import load, train

    run_dir = train("ner", settings=["training.epochs=3"])
    tagger = load(run_dir)
    tagger.predict(["Rhea met Ada in Paris."])

TensorFlow is imported when one of them is called, not before.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqloom.pipelines.trained import Trained

__all__ = ["load", "train"]


def train(
    task: str,
    config: str | None = None,
    settings: Iterable[str] = (),
    resume: str | Path | None = None,
    callbacks: Iterable[Any] = (),
) -> Path:
    """Train, evaluate, track and export a model, as `seqloom train` does.

    Args:
        task: `ner` or `pos`.
        config: A variant such as `wnut17`, or a YAML file of your own.
        settings: Changes, such as `["training.epochs=3", "model.cell=gru"]`.
        resume: The directory of an interrupted run, to go on with it.
        callbacks: Keras callbacks.

    Returns:
        The run directory.

    Raises:
        UserError: a mistake in the settings or the data, or a loss that is not finite.
    """
    from seqloom.pipelines.chosen_run import settings_of
    from seqloom.pipelines.engine import import_engine
    from seqloom.pipelines.settings import resolve

    if resume is not None and config is None:
        resolved = settings_of(str(resume), task, settings)
    else:
        resolved = resolve(task, config, settings)
    import_engine()
    from seqloom.pipelines import workflow

    return workflow.train(resolved, Path(resume) if resume else None, callbacks)


def load(run_dir: str | Path) -> "Trained":
    """A trained run, back in memory: `load("runs/ner/latest").predict([...])`.

    Raises:
        UserError: It is not a run, or its training has not ended.
    """
    from seqloom.pipelines.engine import import_engine

    import_engine()
    from seqloom.pipelines import trained

    return trained.load(run_dir)
