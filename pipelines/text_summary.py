"""What `make data` shows of labelled texts: sizes, lengths, label counts, examples."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from seqloom.pipelines.splits import SPLIT_TITLES, SPLITS, Splits
from seqloom.tasks.records import LabelledText

MAX_SHOWN = 300  # characters of an example


def describe_texts(
    splits: Splits[LabelledText], num_examples: int = 3
) -> dict[str, Any]:
    """Describe a dataset of texts in plain data, fit for JSON."""
    info = {name: asdict(splits.info[name]) for name in SPLITS}
    return {
        "task": splits.task,
        "name": splits.name,
        "title": splits.title,
        "licence": splits.licence,
        "licence_note": splits.licence_note,
        "sha256": splits.sha256,
        "splits": info,
        "labels": {name: info[name]["labels"] for name in SPLITS},
        "examples": [text._asdict() for text in _examples(splits.train, num_examples)],
    }


def show_texts(
    console: Console, splits: Splits[LabelledText], num_examples: int = 3
) -> None:
    """Print `describe_texts` for people."""
    summary = describe_texts(splits, num_examples)
    console.print(Text(f"{summary['name']}: {summary['title']}", style="bold"))
    console.print(Text(f"Licence: {summary['licence']}. {summary['licence_note']}"))
    console.print(Text(f"sha256 of the dataset: {summary['sha256']}"))
    console.print(_size_table(summary))
    console.print(_length_table(summary))
    console.print(_label_table(summary))
    for example in summary["examples"]:
        console.print(_example(example))
        console.print(Text(f"  {example['where']}", style="dim"))


def _examples(texts: Sequence[LabelledText], num_examples: int) -> list[LabelledText]:
    """The first text of each label (of six at the most), then the first of all."""
    first: dict[str, LabelledText] = {}
    for text in texts:
        first.setdefault(text.label, text)
    others = (text for text in texts if text is not first[text.label])
    return [*first.values(), *others][: max(num_examples, min(len(first), 6))]


def _size_table(summary: dict[str, Any]) -> Table:
    table = Table("split", title="Sizes", title_justify="left")
    for column in ("texts", "words", "left out"):
        table.add_column(column, justify="right")
    table.add_column("file", overflow="fold")
    for name, info in summary["splits"].items():
        left_out = info["num_skipped"] + info["num_out_of_limit"]
        cells = [f"{n:,}" for n in (info["num_texts"], info["num_tokens"], left_out)]
        part = " (a part, by hash)" if info["by_hash"] else ""
        table.add_row(SPLIT_TITLES[name], *cells, Text(info["path"] + part))
    return table


def _length_table(summary: dict[str, Any]) -> Table:
    title = "Lengths: words that so many texts have at the most"
    table = Table("split", title=title, title_justify="left")
    shares = list(summary["splits"]["train"]["lengths"])
    for column in (*shares, "longest", "most characters"):
        table.add_column(column, justify="right")
    for name, info in summary["splits"].items():
        numbers = (*info["lengths"].values(), info["longest"])
        cells = [f"{n:,}" for n in (*numbers, info["longest_characters"])]
        table.add_row(SPLIT_TITLES[name], *cells)
    return table


def _label_table(summary: dict[str, Any]) -> Table:
    table = Table("label", title="Texts by label", title_justify="left")
    for name in SPLITS:
        table.add_column(SPLIT_TITLES[name], justify="right")
    labels = summary["labels"]
    for label in labels["train"]:
        counts = (f"{labels[name].get(label, 0):,}" for name in SPLITS)
        table.add_row(Text(label), *counts)
    return table


def _example(example: dict[str, Any]) -> Text:
    text = example["text"]
    if len(text) > MAX_SHOWN:
        text = text[:MAX_SHOWN] + " ..."
    return Text.assemble((example["label"], "bold cyan"), f"  {text}")
