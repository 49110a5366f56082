"""A table of a task's runs: metrics beside the settings that differ.

It is read from the run directories alone, so it needs no tracking server.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from seqloom.pipelines.errors import UserError
from seqloom.pipelines.position import lower_is_better
from seqloom.pipelines.scores import (
    MORE_METRICS,
    main_metric,
    metric_name,
    score_text,
)
from seqloom.pipelines.yaml_settings import read_leaves

# These differ without changing what is learned.
IGNORED = ("name", "runs_dir", "tracking.")


@dataclass(frozen=True)
class ComparedRun:
    """One run, as its directory tells."""

    name: str
    settings: dict[str, Any]
    training: dict[str, float] = field(default_factory=dict)
    validation: dict[str, float] = field(default_factory=dict)
    test: dict[str, float] = field(default_factory=dict)
    problem: str = ""

    @property
    def finished(self) -> bool:
        """Whether the run was evaluated on its test split."""
        return bool(self.test)

    @property
    def main_metric(self) -> str:
        """The first of `scores.MAIN_METRICS` that the run has, or an empty text."""
        return main_metric({**self.validation, **self.test})

    @property
    def started(self) -> datetime | None:
        """When the run began (UTC), which its name tells."""
        try:
            return datetime.strptime(self.name[:15], "%Y%m%d-%H%M%S").replace(
                tzinfo=UTC
            )
        except ValueError:
            return None


def compare(task: str, runs_dir: str | Path = "runs") -> list[ComparedRun]:
    """Read all runs of a task.

    Args:
        task: `ner`, `pos`, ...
        runs_dir: The directory of all runs.

    Returns:
        The best first (by test, then by validation); then those without a result, the
        newest first.
    """
    folders = [path.parent for path in Path(runs_dir, task).glob("*/config.yaml")]
    runs = [_read_run(folder) for folder in folders if not folder.is_symlink()]
    newest_first = sorted(runs, key=lambda run: run.name, reverse=True)
    return sorted(newest_first, key=_rank)


def differing_settings(runs: Sequence[ComparedRun]) -> list[str]:
    """Dotted keys of the settings that are not the same in all of the runs."""
    readable = [run.settings for run in runs if not run.problem]
    keys = dict.fromkeys(key for settings in readable for key in settings)
    return [
        key
        for key in keys
        if not key.startswith(IGNORED)
        and len({repr(settings.get(key)) for settings in readable}) > 1
    ]


def compare_command(
    task: str,
    runs_dir: str | Path = "runs",
    limit: int = 20,
    console: Console | None = None,
) -> None:
    """Print the table of the `limit` newest runs."""
    console = console or Console()
    if not console.is_terminal and console.width < 200:
        console = Console(width=200, file=console.file)  # a file has no right edge
    runs = compare(task, runs_dir)
    if not runs:
        console.print(
            f"There is no run of {task} in {Path(runs_dir, task)} yet. "
            f"`make train TASK={task}` makes one.",
            soft_wrap=True,
            markup=False,
        )
        return
    names = sorted((run.name for run in runs), reverse=True)[:limit]
    shown = [run for run in runs if run.name in names]
    columns = _columns(shown)
    kept = _fit(columns, console.width)
    left_out = [c.setting for c in columns if c.setting and c not in kept]
    console.print(_table(task, shown, kept))
    for line in _remarks(task, runs_dir, runs, shown, left_out):
        console.print(line, style="dim", soft_wrap=True, markup=False, highlight=False)


def _read_run(folder: Path) -> ComparedRun:
    metrics_path = folder / "metrics.json"
    try:
        text = (folder / "config.yaml").read_text(encoding="utf-8")
        leaves = read_leaves(text, str(folder / "config.yaml"))
        settings = {key: leaf.value for key, leaf in leaves.items()}
        metrics = json.loads(metrics_path.read_text()) if metrics_path.exists() else {}
        groups: dict[str, Any] = {name: metrics.get(name) or {} for name in _GROUPS}
    except (UserError, OSError, ValueError, AttributeError) as error:
        return ComparedRun(folder.name, {}, problem=str(error))
    return ComparedRun(folder.name, settings, **groups)


_GROUPS = ("training", "validation", "test")


def _rank(run: ComparedRun) -> tuple[float, float]:
    metric = run.main_metric
    sign = 1.0 if lower_is_better(metric) else -1.0
    worst = float("inf")
    test, validation = run.test.get(metric), run.validation.get(metric)
    return (
        worst if test is None else sign * test,
        worst if validation is None else sign * validation,
    )


@dataclass(frozen=True)
class _Column:
    header: str  # lines
    cells: list[str]
    priority: int = 0  # the highest goes first when the terminal is too narrow
    setting: str = ""
    style: str = ""

    @property
    def width(self) -> int:
        """Characters, with the space around it."""
        return 3 + max(map(len, [*self.header.split("\n"), *self.cells]))


def _columns(runs: Sequence[ComparedRun]) -> list[_Column]:
    """All that can be said about the runs, in the order of the table."""
    metric = next((run.main_metric for run in runs if run.main_metric), "")
    columns = [
        _Column("run", [run.name for run in runs]),
        _Column("config", [str(run.settings.get("name", "?")) for run in runs]),
        _Column("started\n(UTC)", [_time(run.started) for run in runs], priority=9),
        _Column("min", [_minutes(run) for run in runs]),
        _Column("tokens\n/s", [_speed(run) for run in runs], priority=7),
    ]
    if metric:
        cells = [score_text(run.validation, metric) for run in runs]
        columns.append(_Column(f"valid.\n{metric_name(metric)}", cells))
        cells = [score_text(run.test, metric) for run in runs]
        columns.append(_Column(f"test\n{metric_name(metric)}", cells, style="bold"))
    for name in MORE_METRICS:
        if name != metric and any(name in run.test for run in runs):
            header = "test " + metric_name(name)
            cells = [score_text(run.test, name) for run in runs]
            columns.append(_Column(header.replace(" ", "\n"), cells, priority=8))
    for number, key in enumerate(differing_settings(runs)):
        header = key.replace(".", "\n").replace("_", "\n")
        cells = [_value(run, key) for run in runs]
        columns.append(_Column(header, cells, 10 + number, key, "cyan"))
    return columns


def _fit(columns: list[_Column], width: int) -> list[_Column]:
    """Leave out columns until the rest fits: a cut number would be worse."""
    kept = list(columns)
    extras = sorted((c for c in columns if c.priority), key=lambda c: -c.priority)
    # Metrics and the date make room for three settings before any of these goes.
    extras.sort(key=lambda c: 10 <= c.priority < 13)
    for column in extras:
        if sum(c.width for c in kept) + 1 <= width:
            break
        kept.remove(column)
    return kept


def _table(task: str, runs: Sequence[ComparedRun], columns: list[_Column]) -> Table:
    table = Table(
        title=f"Runs of {task}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        pad_edge=False,
        collapse_padding=False,
    )
    for column in columns:
        left = column.header in ("run", "config")
        table.add_column(
            column.header,
            justify="left" if left else "right",
            style=column.style or None,
            no_wrap=True,
            vertical="bottom",
        )
    for number, run in enumerate(runs):
        cells = [Text(column.cells[number]) for column in columns]
        table.add_row(*cells, style=None if run.finished else "dim")
    return table


def _remarks(
    task: str,
    runs_dir: str | Path,
    runs: Sequence[ComparedRun],
    shown: Sequence[ComparedRun],
    left_out_keys: Sequence[str],
) -> list[str]:
    """What the table cannot say itself, one line each."""
    lines = []
    if len(shown) < len(runs):
        lines.append(f"The {len(shown)} newest of {len(runs)} runs.")
    unfinished = [run.name for run in shown if not run.finished and not run.problem]
    if unfinished:
        lines.append(
            f"Unfinished: {', '.join(unfinished)}. Go on with `make train TASK={task} "
            f"RESUME={Path(runs_dir, task, unfinished[0])}`."
        )
    for run in shown:
        if run.problem:
            lines.append(f"{run.name} cannot be read: {run.problem}")
    if left_out_keys:
        lines.append(
            f"These settings differ too: {', '.join(left_out_keys)}. "
            "A wider terminal shows them."
        )
    if len(shown) == 1:
        lines.append(
            "One run has nothing to be compared with. Another one: "
            f'`make train TASK={task} SET="training.epochs=3"`.'
        )
    return lines


def _time(started: datetime | None) -> str:
    return f"{started:%Y-%m-%d %H:%M}" if started else ""


def _minutes(run: ComparedRun) -> str:
    seconds = run.training.get("seconds")
    return "" if seconds is None else f"{seconds / 60:.1f}"


def _speed(run: ComparedRun) -> str:
    speed = run.training.get("tokens_per_second")
    return "" if speed is None else f"{speed:,.0f}"


def _value(run: ComparedRun, key: str) -> str:
    value = run.settings.get(key, "–")
    return "null" if value is None else str(value)
