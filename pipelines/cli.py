"""The command line. `seqloom --help` and every mistake in the settings answer at once:
what needs TensorFlow or MLflow is imported inside the command that uses it.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from seqloom.pipelines.chosen_run import find_run, resumed_run, settings_of
from seqloom.pipelines.cli_predict import predict
from seqloom.pipelines.command_options import ConfigName, RunDir
from seqloom.pipelines.config import MODELS
from seqloom.pipelines.engine import import_engine, set_environment
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.settings import Resolved, resolve, split_settings, to_yaml
from seqloom.tasks.records import DataError

TASKS = ", ".join(MODELS)
FORMATS = ("saved_model", "ctranslate2")


class Commands(TyperGroup):
    """Tells the user's mistakes without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        with told_plainly():
            return super().invoke(ctx)


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train, evaluate and export sequence models.",
    epilog=f"The tasks are: {TASKS}.",
)

Task = Annotated[str, typer.Argument(help=f"What is learned: {TASKS}.")]
OptionalTask = Annotated[
    str | None, typer.Argument(help=f"{TASKS}; may be left out with --run.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a setting: training.epochs=3. May be repeated."),
]
ManySettings = Annotated[
    str | None,
    typer.Option(hidden=True, help="Several settings in one text, as make has them."),
]


@app.command()
def train(
    task: Task,
    config: ConfigName = None,
    set_: Settings = None,
    settings: ManySettings = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show the settings and their origin.")
    ] = False,
    summary: Annotated[
        bool, typer.Option("--summary", help="Only show the settings and the model.")
    ] = False,
    resume: Annotated[
        str | None, typer.Option(help="Go on with this interrupted run.")
    ] = None,
) -> None:
    """Train a model, evaluate it on the test split, and export it."""
    overrides = [*(set_ or []), *split_settings(settings)]
    if resume and config is None:
        resolved = settings_of(resume, task, overrides)
    else:
        resolved = resolve(task, config, overrides)
    if dry_run or summary:
        show_settings(resolved)
        if not summary:
            return
    elif resume:
        resumed_run(resume, resolved)  # what cannot go on is told at once
    import_engine()
    from seqloom.pipelines import workflow

    if summary:
        workflow.summarize(resolved)
        return
    folder = workflow.train(resolved, resume=Path(resume) if resume else None)
    if folder.exists():  # only the chief of several workers keeps one
        workflow.show(folder)


@app.command()
def evaluate(
    task: OptionalTask = None, run: RunDir = None, config: ConfigName = None
) -> None:
    """Evaluate a run on its test split again."""
    folder = find_run(task, run, config)
    import_engine()
    from seqloom.pipelines import workflow

    workflow.evaluate(folder)


@app.command()
def export(
    task: OptionalTask = None,
    run: RunDir = None,
    config: ConfigName = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format", help=f"{', '.join(FORMATS)} (Transformers of translation)."
        ),
    ] = FORMATS[0],
) -> None:
    """Export a run as a SavedModel again, or for CTranslate2, and verify it."""
    if format_ not in FORMATS:
        raise UserError(
            f"There is no format {format_!r}. Set it to one of {', '.join(FORMATS)}."
        )
    folder = find_run(task, run, config)
    import_engine()
    if format_ == "ctranslate2":
        from seqloom.pipelines.ctranslate2_export import export_ctranslate2

        export_ctranslate2(folder)
        return
    from seqloom.pipelines import workflow

    workflow.export(folder)


app.command()(predict)


@app.command()
def data(
    task: Task,
    config: ConfigName = None,
    set_: Settings = None,
    settings: ManySettings = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="As one JSON object.")
    ] = False,
) -> None:
    """Fetch a task's data and show it: sizes, licence, examples, label counts."""
    overrides = [*(set_ or []), *split_settings(settings)]
    resolved = resolve(task, config, overrides).config
    from seqloom.pipelines.data import describe_splits, load_splits, show_splits
    from seqloom.pipelines.download_bar import download_bar

    with download_bar() as progress:
        splits = load_splits(resolved.data, task, resolved.seed, progress, _note)
    if as_json:
        print(json.dumps(describe_splits(splits), ensure_ascii=False))
    else:
        show_splits(Console(), splits)


@app.command()
def check(
    task: Task,
    replicas: Annotated[
        int, typer.Option(min=1, help="Logical devices to train on.")
    ] = 1,
) -> None:
    """Prove an installation: a small synthetic twin of the task must be learned."""
    resolve(task)
    import_engine()
    from seqloom.pipelines.check import check as check_task

    check_task(task, replicas)


@app.command()
def compare(
    task: Task,
    limit: Annotated[int, typer.Option(min=1, help="Only the newest runs.")] = 20,
    configs: Annotated[
        str | None,
        typer.Option(help='Show these instead, "a b c"; what is missing is trained.'),
    ] = None,
    set_: Settings = None,
    settings: ManySettings = None,
) -> None:
    """Compare the runs of a task, or train several configs and compare those."""
    overrides = [*(set_ or []), *split_settings(settings)]
    if configs is not None:
        from seqloom.pipelines.ladder import ladder_command

        ladder_command(task, configs.split(), overrides)
        return
    if overrides:
        raise UserError(
            f"{overrides[0]!r} changes what is trained, and nothing is: name the "
            'configs to train and compare, --configs "a b c" (CONFIGS= for make).'
        )
    runs_dir = Path(resolve(task).config.runs_dir)
    from seqloom.pipelines.compare import compare_command

    compare_command(task, runs_dir, limit)


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Local port.")] = 5000,
    runs_dir: Annotated[str, typer.Option(help="The folder of all runs.")] = "runs",
) -> None:
    """Show the tracked runs in a browser (MLflow)."""
    from seqloom.pipelines.ui import serve_ui

    serve_ui(Path(runs_dir), port)


@app.command()
def sync(
    run: Annotated[
        str | None, typer.Argument(help="A run directory; without it, all runs.")
    ] = None,
    runs_dir: Annotated[str, typer.Option(help="The folder of all runs.")] = "runs",
) -> None:
    """Send what a tracking server that was down has missed."""
    from seqloom.pipelines.sync import sync as sync_runs

    results = sync_runs(Path(run or runs_dir))
    for result in results:
        note = f": {result.note}" if result.note else ""
        print(f"{result.run_dir}  sent {result.sent}, waiting {result.waiting}{note}")
    if not results:
        print("Everything has been sent already.")
    if any(result.waiting for result in results):
        raise typer.Exit(1)


def show_settings(resolved: Resolved) -> None:
    """Print the settings as YAML; their origin stands on the right, dimmed."""
    console = Console(highlight=False, soft_wrap=True)
    for line in to_yaml(resolved).splitlines():
        setting, mark, origin = line.rpartition("  # ")
        dimmed = f"[dim]{escape(mark + origin)}[/dim]" if mark else escape(origin)
        console.print(escape(setting) + dimmed)


def _note(text: str) -> None:
    """Say something beside the answer."""
    print(text, file=sys.stderr)


@contextmanager
def told_plainly() -> Iterator[None]:
    """Turn the user's mistakes into a line and status 2, and Ctrl-C into 130."""
    try:
        yield
    except (UserError, DataError) as error:
        if os.environ.get("SEQLOOM_DEBUG"):
            raise
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(f"[bold red]error:[/bold red] {escape(str(error))}")
        raise typer.Exit(2) from None
    except KeyboardInterrupt as error:  # training that was saved says how to go on
        print(f"\n{str(error) or 'Interrupted.'}", file=sys.stderr)
        raise typer.Exit(getattr(error, "exit_status", 130)) from None


def main() -> None:
    """The `seqloom` command."""
    set_environment()
    app()


if __name__ == "__main__":
    main()
