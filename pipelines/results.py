"""What a trained run gave: test metrics, predictions, figures, tables, a summary."""

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from seqloom.pipelines import figures
from seqloom.pipelines.evaluation import Evaluator
from seqloom.pipelines.run import Run
from seqloom.pipelines.scores import plain_score
from seqloom.pipelines.settings import read_resolved
from seqloom.pipelines.splits import Splits
from seqloom.pipelines.trained import Trained

EXAMPLES = {
    "ner": 'TEXT="Rhea met Ada in Paris ."',
    "pos": 'TEXT="Rhea met Ada in Paris ."',
    "sentiment": 'TEXT="A warm and funny film, beautifully acted."',
    "translation": 'TEXT="Save changes"',
    "captioning": "IMAGE=photo.jpg",
}
# Logged and kept in metrics.json, but too much for the summary.
NOT_SHOWN = ("precision_", "recall_", "conlleval_precision", "conlleval_recall")


def evaluate(trained: Trained, splits: Splits, tracker) -> dict[str, float]:
    """Measure the test split, and write and log all that shows how it went."""
    run, task = trained.run, trained.task
    rows, loss = Evaluator(task, trained.model, splits.test).predict()
    scores = task.evaluate(rows)
    values = {**scores.values, "loss": loss}
    _write_predictions(run.predictions_dir / "test.jsonl", rows)
    run.add_metrics(test=values, test_per_type=scores.per_type)
    step = run.metrics().get("training", {}).get("steps", 0)
    tracker.log_metrics({f"test/{name}": value for name, value in values.items()}, step)
    drawn = task.figures(rows)
    drawn["learning_curves"] = figures.learning_curves(
        run.history(),
        trained.config.training.monitor,
        run.metrics().get("training", {}).get("best_step"),
    )
    drawn |= task.look_inside(trained.model, splits.test, rows)
    for name, figure in drawn.items():
        if isinstance(figure, str):
            page = run.figures_dir / f"{name}.html"
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(figure, encoding="utf-8")
            tracker.log_figure(page)
            continue
        tracker.log_figure(figures.save(figure, run.figures_dir / f"{name}.png"))
    for name, table in task.tables(rows).items():
        tracker.log_table(table, name)
    tracker.log_artifact(run.config_path)
    tracker.log_artifact(run.metrics_path)
    tracker.log_artifact(run.predictions_dir, "predictions")
    return values


def show_summary(console: Console, run: Run) -> None:
    """A small table of metrics, where the run is, and what to type next."""
    config = read_resolved(run.config_path).config
    metrics = run.metrics()
    validation, test = metrics.get("validation", {}), metrics["test"]
    table = Table(title=f"{config.task} ({config.name})", title_justify="left")
    for heading in ("metric", "validation", "test"):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    for name in test:
        if name.startswith(NOT_SHOWN):
            continue
        shown = plain_score(name, validation[name]) if name in validation else ""
        table.add_row(name, shown, plain_score(name, test[name]))
    console.print(table)
    training = metrics.get("training")
    if training:
        console.print(
            f"Trained {training['steps']:,} steps in "
            f"{training['seconds'] / 60:.1f} min, "
            f"{training['tokens_per_second']:,.0f} tokens/s, "
            f"{training['padding']:.1%} padding, "
            f"{training['peak_memory_mb']:,} MB at most"
        )
    console.print(f"Run directory: {run.folder}")
    console.print("Next:")
    console.print(f"  make predict TASK={config.task} {EXAMPLES[config.task]}")
    console.print("  make ui              # compare runs in the browser")
    console.print(f"  make compare TASK={config.task}")


def _write_predictions(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
