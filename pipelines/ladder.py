"""The ladder: several configs of a task on the same data, side by side.

    runs/<task>/comparisons/<UTC time>-<short id>/
      table.md        what the terminal shows
      ladder.png      score against training time
      by_length.png   score against the length of the source

It is tracked as an MLflow run of its own, beside those of the trainings.
"""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from seqloom.pipelines import tracking
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.figures import save
from seqloom.pipelines.ladder_figures import score_against_time, score_by_length
from seqloom.pipelines.ladder_scores import curve, differences, scores_by_length
from seqloom.pipelines.rungs import Rung, resolve_rungs, train_missing
from seqloom.pipelines.scores import (
    MORE_METRICS,
    main_metric,
    metric_name,
    score_text,
)


def ladder_command(
    task: str,
    names: Sequence[str],
    overrides: Sequence[str] = (),
    console: Console | None = None,
) -> Path:
    """Train what is missing of some configs, show them side by side, and track that.

    Args:
        task: `translation`, `sentiment`, ...
        names: Two or more configs, the simplest first.
        overrides: Settings of all of them, such as `training.max_steps=2000`.

    Returns:
        The folder with the table and the figures.

    Raises:
        UserError: A config or setting is unknown, there is just one config, or a
            training failed; the others are shown first.
        Stopped: A training was interrupted.
    """
    console = console or Console(highlight=False)
    if not console.is_terminal and console.width < 200:
        console = Console(width=200, file=console.file, highlight=False)
    rungs = resolve_rungs(task, names, overrides)
    rungs, problems = train_missing(task, rungs, overrides, console)
    if not rungs:
        raise UserError("\n".join(problems))
    folder = show_ladder(task, rungs, console)
    if problems:
        raise UserError("\n".join(problems))
    return folder


def show_ladder(task: str, rungs: Sequence[Rung], console: Console) -> Path:
    """Print, draw, write and track what is known of some runs; returns the folder."""
    first, *others = (rung.test for rung in rungs)
    shared = {name: first[name] for name in first if all(name in t for t in others)}
    metric = main_metric(shared)
    header, rows = table_cells(rungs, metric)
    remarks = [*data_remarks(rungs), *differences(rungs, metric)]
    console.print()
    console.print(_table(task, header, rows))
    for line in remarks:
        console.print(line, soft_wrap=True, markup=False)
    folder = _new_folder(rungs[0])
    text = markdown(task, header, rows, remarks, rungs)
    (folder / "table.md").write_text(text, encoding="utf-8")
    curves = [curve(rung, metric) for rung in rungs]
    save(score_against_time(curves, metric), folder / "ladder.png")
    lines = {rung.title: scores_by_length(rung) for rung in rungs}
    lines = {name: line for name, line in lines.items() if line}
    of_length = metric if metric == "bleu" else "accuracy"
    save(score_by_length(lines, of_length), folder / "by_length.png")
    _track(task, rungs, folder, metric, header, rows, console)
    console.print(f"Table and figures: {folder}", markup=False, soft_wrap=True)
    return folder


# === The table ===


def table_cells(
    rungs: Sequence[Rung], metric: str
) -> tuple[list[str], list[list[str]]]:
    """The names of the columns, and a row of texts for each config."""
    more = [name for name in MORE_METRICS if name != metric]
    more = [name for name in more if any(name in rung.test for rung in rungs)][:1]
    metrics = [metric, *more]
    header = ["config", *map(metric_name, metrics), "parameters", "tokens/s", "minutes"]
    rows = [
        [
            rung.title,
            *(score_text(rung.test, name) for name in metrics),
            _number(rung.training.get("parameters")),
            _number(rung.training.get("tokens_per_second")),
            "–" if rung.minutes is None else f"{rung.minutes:.1f}",
        ]
        for rung in rungs
    ]
    return header, rows


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _table(task: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(
        title=f"The ladder of {task}, on the test split",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for number, name in enumerate(header):
        style = "bold" if number == 1 else None
        table.add_column(name, style=style, no_wrap=True)
        table.columns[-1].justify = "right" if number else "left"
    for row in rows:
        table.add_row(*row)
    return table


def markdown(
    task: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    remarks: Sequence[str],
    rungs: Sequence[Rung],
) -> str:
    """The table for a README, what can be said about it, and the runs behind it."""
    lines = [
        f"# The ladder of {task}, on the test split",
        "",
        f"| {' | '.join(header)} |",
        f"|---|{'---:|' * (len(header) - 1)}",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        *(f"{line}\n" for line in remarks),
        "Runs:",
        "",
        *(f"- {rung.title}: {rung.run.folder}" for rung in rungs if rung.run),
    ]
    return "\n".join(lines) + "\n"


# === What can be said ===


def data_remarks(rungs: Sequence[Rung]) -> list[str]:
    """A warning if the configs do not learn from the same data."""
    settings = [rung.resolved.config.data.model_dump() for rung in rungs]
    keys = [
        key for key in settings[0] if any(s[key] != settings[0][key] for s in settings)
    ]
    if not keys:
        return []
    names = ", ".join(f"data.{key}" for key in keys)
    return [
        f"Take care: these configs differ in {names}; their scores may not compare."
    ]


# === Tracking ===


def _new_folder(rung: Rung) -> Path:
    config = rung.resolved.config
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    folder = Path(config.runs_dir, config.task, "comparisons", name)
    folder.mkdir(parents=True)
    return folder


def _track(
    task: str,
    rungs: Sequence[Rung],
    folder: Path,
    metric: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    console: Console,
) -> None:
    """One MLflow run with the table, the figures and a metric for each config."""
    config = rungs[0].resolved.config
    names = ", ".join(rung.title for rung in rungs)
    tracker = tracking.start(
        config.tracking.model_copy(update={"system_metrics": False}),
        folder,
        task=task,
        run_name=f"comparison {names}",
        runs_dir=Path(config.runs_dir),
        say=lambda line: console.print(f"Tracking  {line}", markup=False),
    )
    tracker.set_tags({"task": task, "kind": "comparison"})
    tracker.log_params({"task": task, "configs": names})
    for rung in rungs:
        tracker.set_tags({f"run.{rung.title}": rung.run.name if rung.run else ""})
        tracker.log_metrics({f"test/{metric}/{rung.title}": rung.test[metric]}, step=0)
    for path in sorted(folder.glob("*.png")):
        tracker.log_figure(path)
    tracker.log_artifact(folder / "table.md")
    tracker.log_table([dict(zip(header, row, strict=True)) for row in rows], "ladder")
    tracker.close("FINISHED")
