"""The configs of a ladder: which were trained already, and the training of the rest.

Every training is a process of its own: TensorFlow's devices, seeds and memory belong to
a process, and one config that fails leaves the others be.
"""

import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from seqloom.pipelines.compare import IGNORED
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.run import Run
from seqloom.pipelines.settings import Resolved, diff, read_resolved, resolve


@dataclass(frozen=True)
class Rung:
    """A config of the ladder.

    Args:
        name: As the user gave it.
        title: As it is shown.
        resolved: Its settings.
        run: A finished run with these settings, if there is one.
    """

    name: str
    title: str
    resolved: Resolved
    run: Run | None = None
    metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def training(self) -> dict[str, float]:
        return self.metrics.get("training") or {}

    @property
    def test(self) -> dict[str, float]:
        return self.metrics.get("test") or {}

    @property
    def minutes(self) -> float | None:
        """How long the training took, with its validations."""
        seconds = self.training.get("seconds")
        return None if seconds is None else seconds / 60

    def with_run(self, run: Run | None) -> "Rung":
        return replace(self, run=run, metrics=run.metrics() if run else {})


class Stopped(KeyboardInterrupt):
    """A training was told to stop; the rest of the ladder is not trained either."""

    def __init__(self, title: str, status: int):
        self.exit_status = status
        super().__init__(
            f"Stopped while {title} was trained. The same command goes on from there."
        )


def resolve_rungs(
    task: str, names: Sequence[str], overrides: Sequence[str]
) -> list[Rung]:
    """The configs with these names, the task's own for its default one.

    Raises:
        UserError: A config or setting is unknown, or there is just one config.
    """
    names = list(dict.fromkeys(names))
    rungs = []
    for name in names:
        resolved = resolve(task, _config_name(task, name), overrides)
        rungs.append(Rung(name, resolved.config.name, resolved))
    if len(rungs) < 2:
        named = f"only {names[0]!r}" if names else "none"
        raise UserError(
            f"A ladder compares two or more configs, and CONFIGS names {named}. Write "
            f'CONFIGS="{task} {names[0] if names else "another"}", or leave CONFIGS '
            "out to compare the runs there are."
        )
    titles = [rung.title for rung in rungs]
    return [
        replace(rung, title=rung.name) if titles.count(rung.title) > 1 else rung
        for rung in rungs
    ]


def train_missing(
    task: str, rungs: Sequence[Rung], overrides: Sequence[str], console: Console
) -> tuple[list[Rung], list[str]]:
    """Train those that have no finished run yet, one after the other.

    Returns:
        The rungs with a run, and a message about each training that failed.

    Raises:
        Stopped: A training was interrupted.
    """
    rungs = [rung.with_run(finished_run(rung.resolved)) for rung in rungs]
    width = max(len(rung.title) for rung in rungs)
    for rung in rungs:
        where = rung.run.folder if rung.run else "to be trained"
        console.print(f"{rung.title:{width}}  {where}", markup=False)
    trained, problems = [], []
    for number, rung in enumerate(rungs, start=1):
        if rung.run is None:
            console.rule(f"{rung.title} ({number} of {len(rungs)})", align="left")
            console.file.flush()  # what the training says comes after it
            status = run_to_the_end(train_command(task, rung, overrides))
            if status in INTERRUPTED:
                raise Stopped(rung.title, abs(status) % 128 + 128)
            rung = rung.with_run(finished_run(rung.resolved) if status == 0 else None)
            if rung.run is None:
                problems.append(_problem(task, rung, overrides, status))
        if rung.run is not None:
            trained.append(rung)
    return trained, problems


def finished_run(resolved: Resolved) -> Run | None:
    """The newest finished run of a task with these settings, under whatever name."""
    for run, settings, finished in _runs(resolved):
        changes = diff(settings, resolved)
        if finished and all(key.startswith(IGNORED) for key, _, _ in changes):
            return run
    return None


def unfinished_run(resolved: Resolved) -> Run | None:
    """The newest interrupted run with all of these settings that can go on."""
    for run, settings, finished in _runs(resolved):
        saved = any(run.checkpoint_dir.glob("checkpoint-*.json"))
        if saved and not finished and not diff(settings, resolved):
            return run
    return None


def _runs(resolved: Resolved) -> Iterator[tuple[Run, Resolved, bool]]:
    """The runs of a task that can be read, the newest first, and which are finished."""
    folder = Path(resolved.config.runs_dir, resolved.config.task)
    for path in sorted(folder.glob("*-*"), reverse=True):
        run = Run(path)
        try:
            yield run, read_resolved(run.config_path), run.finished
        except UserError:  # no run, or a damaged one
            continue


def train_command(task: str, rung: Rung, overrides: Sequence[str]) -> list[str]:
    """The command that trains a config, or goes on with its interrupted training."""
    command = [sys.executable, "-m", "seqloom.pipelines.cli", "train", task]
    begun = unfinished_run(rung.resolved)
    if begun is not None:
        return [*command, "--resume", str(begun.folder)]
    config = _config_name(task, rung.name)
    command += ["--config", config] if config else []
    return [*command, *(word for text in overrides for word in ("--set", text))]


INTERRUPTED = (130, 143, -signal.SIGINT, -signal.SIGTERM)


def run_to_the_end(command: Sequence[str]) -> int:
    """Run a command, and wait until it has saved its work even when told to stop.

    Ctrl-C reaches it without our help; SIGTERM is passed on.

    Returns:
        Its exit status; of a signal that killed it, the negative number.
    """
    with subprocess.Popen(command) as process:
        handlers = {
            signal.SIGINT: lambda *_: None,
            signal.SIGTERM: lambda *_: process.terminate(),
        }
        before = {n: signal.signal(n, handler) for n, handler in handlers.items()}
        try:
            return process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _config_name(task: str, name: str) -> str | None:
    """What the command line calls a config: nothing, for the task's own."""
    return None if name == task else name


def _problem(task: str, rung: Rung, overrides: Sequence[str], status: int) -> str:
    config = _config_name(task, rung.name)
    again = f"make train TASK={task}" + (f" CONFIG={config}" if config else "")
    if overrides:
        again += f' SET="{shlex.join(overrides)}"'
    how = f"exit status {status}"
    if status < 0:
        how = f"killed by {signal.Signals(-status).name}"
        how += ", perhaps for want of memory" if status == -signal.SIGKILL else ""
    return (
        f"The training of {rung.title} failed ({how}): see what it said above. "
        f"It alone: {again}"
    )
