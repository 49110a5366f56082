"""From a config to a trained, evaluated, tracked and exported model."""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from rich.console import Console

from seqloom.pipelines import results, tracking
from seqloom.pipelines.catalogue import build_task
from seqloom.pipelines.chosen_run import resumed_run
from seqloom.pipelines.config import Config
from seqloom.pipelines.data import load_splits
from seqloom.pipelines.download_bar import download_bar
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.evaluation import Evaluator
from seqloom.pipelines.export import export_run
from seqloom.pipelines.interruption import Interrupted
from seqloom.pipelines.progress import TrainingProgress
from seqloom.pipelines.run import Run
from seqloom.pipelines.settings import Resolved, leaves_of, to_yaml
from seqloom.pipelines.splits import Splits
from seqloom.pipelines.strategy import (
    build_strategy,
    describe,
    grow_gpu_memory,
    is_chief,
)
from seqloom.pipelines.trained import Trained, first_weights, load, load_weights
from seqloom.pipelines.training import Trainer
from seqloom.pipelines.watching import Watching

console = Console(highlight=False, soft_wrap=True)


def train(
    resolved: Resolved,
    resume: Path | None = None,
    callbacks: Iterable[keras.callbacks.Callback] = (),
) -> Path:
    """Train, evaluate on the test split, export, verify and track one run.

    Args:
        resolved: A config, from `settings.resolve`.
        resume: The run directory of an interrupted training to go on with.
        callbacks: Keras callbacks, called as by `Model.fit`.

    Returns:
        The run directory.

    Raises:
        UserError: a mistake in settings or data, or a loss that is not finite.
        Interrupted: Ctrl-C or SIGTERM; the run is saved and can be resumed.
    """
    config = resolved.config
    strategy = _start_devices(config)
    chief = is_chief(strategy)
    console.print(f"Devices   {describe(strategy)}")
    with _open_run(resolved, resume, chief) as run:
        splits = _load_data(config)
        task = build_task(config, spans=splits.scheme != "none")
        start = first_weights(config)
        if start is None:
            task.fit_vocabulary(splits.train)
        else:
            task.load_vocabulary(start.vocabulary_dir)
        with strategy.scope():
            model = _build_model(task)
            if start is not None:
                load_weights(model, start)
        console.print(f"Model     {model.count_params():,} parameters")
        console.print(f"Run       {run.folder}")
        with _tracked(config, run, resume is not None, chief) as tracker:
            _describe_run(tracker, resolved, splits, strategy)
            if chief:
                task.save_vocabulary(run.vocabulary_dir)
            trainer = Trainer(
                task,
                model,
                strategy,
                config.training,
                seed=config.seed,
                run=run,
                chief=chief,
                log=tracker.log_metrics,
                log_every_steps=config.tracking.log_every_steps,
                progress=TrainingProgress(console),
            )
            examples = task.examples(splits.train, training=True)
            if examples.num_truncated:
                console.print(
                    f"Data      {examples.num_truncated} training {splits.unit} are "
                    "longer than model.max_length pieces: their ends are not read."
                )
            validation = Evaluator(task, model, splits.dev)
            watched = chief and config.tracking.enabled
            validate = Watching(
                validation.measure,
                task.watch(model, splits.dev) if watched else None,
                run.figures_dir / "validation",
                tracker.log_figure,
                lambda: trainer.position.step,
            )
            position = trainer.fit(examples, validate, callbacks)
            trainer.load_best()
            if chief:
                run.add_metrics(
                    training={
                        "seconds": round(position.seconds, 1),
                        "steps": position.step,
                        "epochs": position.epoch,
                        "best_step": position.best["step"],
                        "tokens": position.tokens,
                        "tokens_per_second": round(
                            position.tokens / position.training_seconds, 1
                        ),
                        "padding": round(trainer.feed.padding, 4),
                        "peak_memory_mb": _peak_memory_mb(),
                        "parameters": model.count_params(),
                    },
                    validation=position.best["metrics"],
                )
                finish(Trained(run, config, task, model), splits, tracker)
    return run.folder


def show(run_dir: Path) -> None:
    """Print the summary of a finished run: metrics, where it is, what to type next."""
    results.show_summary(console, Run.open(run_dir))


def finish(trained: Trained, splits: Splits, tracker: Any) -> None:
    """What follows training: test metrics, figures, tables, export, verification."""
    console.print("Evaluating on the test split ...")
    results.evaluate(trained, splits, tracker)
    console.print("Exporting and verifying ...")
    export_run(trained)
    tracker.log_model(trained.run.folder / "mlflow_model")
    trained.run.mark_latest()


def evaluate(run_dir: Path) -> dict[str, float]:
    """Evaluate a run on its test split again, and show the metrics."""
    trained = load(run_dir)
    splits = _load_data(trained.config)
    values = results.evaluate(trained, splits, tracking.NoTracker())
    show(run_dir)
    return values


def export(run_dir: Path) -> Path:
    """Export a run as a SavedModel and an MLflow model again, and verify them."""
    trained = load(run_dir)
    export_run(trained)
    console.print(f"Exported and verified: {trained.run.saved_model_dir}")
    return trained.run.saved_model_dir


def summarize(resolved: Resolved) -> None:
    """Print the layers of the model that a config makes."""
    splits = _load_data(resolved.config)
    task = build_task(resolved.config, spans=splits.scheme != "none")
    task.fit_vocabulary(splits.train)
    _build_model(task).summary()


# === Before training ===


def _start_devices(config: Config) -> tf.distribute.Strategy:
    """Devices first: nothing may run before they are set up."""
    settings = config.training
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    grow_gpu_memory()
    strategy = build_strategy(settings.strategy, settings.logical_devices)
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(settings.precision)
    return strategy


@contextmanager
def _open_run(resolved: Resolved, resume: Path | None, chief: bool) -> Iterator[Run]:
    """The directory of a new run or of one to go on with; a scratch one for helpers."""
    if resume is not None:
        yield resumed_run(resume, resolved)
    elif chief:
        run = Run.create(Path(resolved.config.runs_dir), resolved.config.task)
        run.config_path.write_text(to_yaml(resolved), encoding="utf-8")
        yield run
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Run(Path(folder))


def _load_data(config: Config) -> Splits:
    started = time.perf_counter()
    with download_bar() as progress:
        splits = load_splits(
            config.data,
            config.task,
            seed=config.seed,
            progress=progress,
            say=lambda line: console.print(f"Data      {line}"),
        )
    sizes = " / ".join(
        f"{len(splits.split(name)):,} {title}"
        for name, title in (
            ("train", "training"),
            ("dev", "validation"),
            ("test", "test"),
        )
    )
    seconds = time.perf_counter() - started
    console.print(
        f"Data      {splits.title}: {sizes} {splits.unit}, fetched and read in "
        f"{seconds:.0f} s"
    )
    return splits


def _build_model(task) -> keras.Model:
    try:
        return task.build_model()
    except ValueError as error:  # the layers check their arguments
        raise UserError(f"The model cannot be built: {error}") from error


# === Tracking ===


@contextmanager
def _tracked(config: Config, run: Run, resume: bool, chief: bool) -> Iterator[Any]:
    """The tracker of a run; its end status says how the block was left."""
    if not chief:
        yield tracking.NoTracker()
        return
    tracker = tracking.start(
        config.tracking,
        run.folder,
        task=config.task,
        run_name=f"{config.name} {run.name}",
        resume=resume,
        runs_dir=Path(config.runs_dir),
        say=lambda line: console.print(f"Tracking  {line}"),
    )
    try:
        yield tracker
    except (Interrupted, KeyboardInterrupt):
        tracker.close("KILLED")
        raise
    except BaseException:
        tracker.close("FAILED")
        raise
    tracker.close("FINISHED")


def _describe_run(tracker, resolved: Resolved, splits: Splits, strategy) -> None:
    tracker.log_params(leaves_of(resolved.config))
    tracker.set_tags(
        {
            "task": resolved.config.task,
            "config": resolved.config.name,
            "dataset": splits.name,
            "dataset_sha256": splits.sha256,
            "strategy": describe(strategy),
            "code_version": _code_version(),
        }
    )
    for name, context in (
        ("train", "training"),
        ("dev", "validation"),
        ("test", "test"),
    ):
        info = splits.info[name]
        tracker.log_dataset(
            splits.name,
            info.sha256,
            info.path,
            context,
            source_type=info.origin,
            profile={
                splits.unit: len(splits.split(name)),
                "tokens": info.num_tokens,
            },
        )


def _code_version() -> str:
    """The package's version, and the commit of a checkout."""
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return version("seqloom")
    return f"{version('seqloom')}+{commit}"


def _peak_memory_mb() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024 if sys.platform == "darwin" else 1024)
