"""Runs and trainings that take no time: stand-ins for the tests of the ladder."""

import io
import json
from pathlib import Path

from rich.console import Console

from seqloom.pipelines.errors import UserError
from seqloom.pipelines.ladder import ladder_command
from seqloom.pipelines.run import Run
from seqloom.pipelines.settings import Resolved, read_resolved, resolve, to_yaml

SCORES = {"simple_rnn": 0.5, "gru": 0.75, "lstm": 0.6, "attention": 0.8}
ROWS = [
    {"text": "a b c", "reference": "good", "prediction": "good"},
    {"text": "a b c d e", "reference": "good", "prediction": "bad"},
    {"text": "a b c d e f", "reference": "bad", "prediction": "bad"},
    {"text": "w " * 31, "reference": "bad", "prediction": "bad"},
]


class ToyRuns:
    """Writes run directories of sentiment, each newer than the one before."""

    def __init__(self, runs_dir: Path):
        self.folder = runs_dir / "sentiment"
        self.count = 0

    def add(self, resolved: Resolved, finished: bool = True, **training) -> Run:
        self.count += 1
        score = SCORES.get(resolved.config.name, 0.1)
        run = Run(self.folder / f"202601{self.count:02d}-101010-aaaa")
        run.folder.mkdir(parents=True)
        run.config_path.write_text(to_yaml(resolved))
        run.append_history(
            [
                {"step": 50, "loss": 1.0},
                {"step": 50, "epoch": 1, "val_accuracy": 0.4},
                {"step": 200, "epoch": 2, "val_accuracy": score},
            ]
        )
        if not finished:
            run.checkpoint_dir.mkdir()
            (run.checkpoint_dir / "checkpoint-00000050.json").write_text("{}")
            return run
        speed = {"seconds": 120.0, "steps": 200, "tokens_per_second": 4321.4}
        test = {"accuracy": score, "macro_f1": 0.25}
        metrics = {"training": {**speed, **training}, "test": test}
        run.metrics_path.write_text(json.dumps(metrics))
        write_predictions(run, ROWS)
        return run


class ToyTrainings:
    """Stands in for the processes that train.

    Attributes:
        names: Of the configs that were trained, in order.
        failing: Those that fail, with their exit status.
    """

    def __init__(self, runs: ToyRuns):
        self.runs = runs
        self.names: list[str] = []
        self.failing: dict[str, int] = {}

    def run(self, command: list[str]) -> int:
        if "--resume" in command:
            run = Run(Path(command[command.index("--resume") + 1]))
            name, resolved = f"resumed {run.name}", read_resolved(run.config_path)
        else:
            name = command[command.index("--config") + 1]
            places = [i for i, word in enumerate(command) if word == "--set"]
            resolved = resolve(command[4], name, [command[i + 1] for i in places])
        self.names.append(name)
        status = self.failing.get(name, 0)
        if status == 0:
            self.runs.add(resolved, parameters=1234567)
        return status


def write_predictions(run: Run, rows: list[dict]) -> None:
    run.predictions_dir.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (run.predictions_dir / "test.jsonl").write_text(text)


def shown(names, settings, width=120):
    """What the ladder prints, and the error it ends with."""
    console = Console(file=io.StringIO(), width=width, highlight=False)
    error = None
    try:
        ladder_command("sentiment", names, settings, console)
    except UserError as told:
        error = str(told)
    return console.file.getvalue(), error
