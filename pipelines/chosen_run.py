"""Which run a command is about: the one that is named, or the newest that fits."""

import sys
from collections.abc import Iterable
from pathlib import Path

from seqloom.pipelines.config import MODELS
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.run import Run
from seqloom.pipelines.settings import Resolved, diff, override, read_resolved, resolve


def find_run(task: str | None, run: str | None, config: str | None) -> Path:
    """The run directory that a command is about.

    Args:
        task: The run must be one of this task, if it is given.
        run: A run directory; then nothing is searched.
        config: Only runs of this config are looked at.

    Raises:
        UserError: There is no such run, or nothing says which.
    """
    if run is not None:
        settings_of(run, task)
        return Run.open(run).folder
    if task is None:
        raise UserError(
            f"Which run? Name a task ({', '.join(MODELS)}) for its newest one, or a "
            "run directory, such as --run runs/ner/latest (RUN= for make)."
        )
    wanted = resolve(task, config).config
    name = wanted.name if config else None
    folder = Run.newest(Path(wanted.runs_dir), task, name).folder
    newest_of = f"{task} with config {name}" if name else task
    print(f"Run: {_short(folder)} (the newest of {newest_of})", file=sys.stderr)
    return folder


def settings_of(
    run: str, task: str | None = None, overrides: Iterable[str] = ()
) -> Resolved:
    """The settings a run was made with, `overrides` on top; `task` must be its own."""
    resolved = read_resolved(Run.open(run).config_path)
    if task is not None and task != resolved.config.task:
        resolve(task)  # a task that does not exist is told first
        raise UserError(
            f"{run} is a run of {resolved.config.task}, not of {task}. Leave the task "
            "out, or name another run."
        )
    return override(resolved, overrides)


def resumed_run(run_dir: str | Path, resolved: Resolved) -> Run:
    """The run to go on with.

    Raises:
        UserError: It is finished, or was begun with other settings than `resolved`.
    """
    run = Run.open(run_dir)
    if run.finished and run.saved_model_dir.exists():
        raise UserError(
            f"{run.folder} is finished: there is nothing to go on with. Evaluate it "
            f"(make evaluate RUN={run.folder}), or train a new run without RESUME."
        )
    changes = diff(read_resolved(run.config_path), resolved)
    if changes:
        lines = "\n".join(f"  {key}: {old!r} -> {new!r}" for key, old, new in changes)
        raise UserError(
            f"{run.folder} was begun with another config:\n{lines}\n"
            "A resumed run keeps its config. Leave these settings out, or start a new "
            "run without RESUME."
        )
    return run


def _short(path: Path) -> str:
    path, here = path.resolve(), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
