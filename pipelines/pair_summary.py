"""What `make data` shows of pairs of sentences: sizes, lengths, what is left out."""

from dataclasses import asdict
from itertools import islice
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from seqloom.pipelines.splits import SPLIT_TITLES, SPLITS, Splits
from seqloom.tasks.records import SentencePair

MAX_SHOWN = 300  # characters of one side of an example


def describe_pairs(
    splits: Splits[SentencePair], num_examples: int = 3
) -> dict[str, Any]:
    """Describe a dataset of pairs in plain data, fit for JSON."""
    long_enough = (p for p in splits.train if len(p.source.split()) >= 5)
    examples = list(islice(long_enough, num_examples)) or splits.train[:num_examples]
    return {
        "task": splits.task,
        "name": splits.name,
        "title": splits.title,
        "licence": splits.licence,
        "licence_note": splits.licence_note,
        "sha256": splits.sha256,
        "splits": {name: asdict(splits.info[name]) for name in SPLITS},
        "examples": [pair._asdict() for pair in examples],
    }


def show_pairs(
    console: Console, splits: Splits[SentencePair], num_examples: int = 3
) -> None:
    """Print `describe_pairs` for people."""
    summary = describe_pairs(splits, num_examples)
    console.print(Text(f"{summary['name']}: {summary['title']}", style="bold"))
    console.print(Text(f"Licence: {summary['licence']}. {summary['licence_note']}"))
    console.print(Text(f"sha256 of the dataset: {summary['sha256']}"))
    console.print(_size_table(summary))
    console.print(_length_table(summary))
    table = _left_out_table(summary)
    if table.row_count:
        console.print(table)
    for example in summary["examples"]:
        console.print(_side(example["source"], "bold cyan"))
        console.print(_side(example["target"], "green"))
        console.print(Text(f"  {example['where']}", style="dim"))


def _size_table(summary: dict[str, Any]) -> Table:
    title = "Sizes; ratio: characters of the targets for one of the sources"
    table = Table("split", title=title, title_justify="left")
    columns = ("pairs", "source words", "target words", "ratio", "left out", "repeated")
    for column in columns:
        table.add_column(column, justify="right")
    table.add_column("files", overflow="fold")
    for name, info in summary["splits"].items():
        left_out = info["num_skipped"] + sum(info["left_out"].values())
        part = " (a part, by hash)" if info["by_hash"] else ""
        table.add_row(
            SPLIT_TITLES[name],
            *(f"{info[key]:,}" for key in ("num_pairs", "num_tokens")),
            f"{info['num_target_tokens']:,}",
            f"{info['ratio']:.2f}",
            f"{left_out:,}",
            "" if name == "train" else f"{info['num_repeated']:,}",
            Text(info["path"] + part),
        )
    return table


def _length_table(summary: dict[str, Any]) -> Table:
    title = "Lengths: words that so many sides have at the most"
    table = Table("split", "side", title=title, title_justify="left")
    for column in (*summary["splits"]["train"]["lengths"], "longest"):
        table.add_column(column, justify="right")
    for name, info in summary["splits"].items():
        for side, lengths, longest in (
            ("source", info["lengths"], info["longest"]),
            ("target", info["target_lengths"], info["longest_target"]),
        ):
            cells = (f"{n:,}" for n in (*lengths.values(), longest))
            table.add_row(SPLIT_TITLES[name], side, *cells)
    return table


def _left_out_table(summary: dict[str, Any]) -> Table:
    table = Table("split", title="Left out, and why", title_justify="left")
    table.add_column("pairs", justify="right")
    table.add_column("why")
    for name, info in summary["splits"].items():
        reasons = info["left_out"] | {
            "malformed (data.on_error=skip)": info["num_skipped"]
        }
        for reason, count in reasons.items():
            if count:
                table.add_row(SPLIT_TITLES[name], f"{count:,}", Text(reason))
    return table


def _side(text: str, style: str) -> Text:
    if len(text) > MAX_SHOWN:
        text = text[:MAX_SHOWN] + " ..."
    return Text(text, style=style)
