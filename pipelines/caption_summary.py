"""What `make data` shows of images with captions: sizes, lengths, what is left out."""

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from seqloom.pipelines.splits import SPLIT_TITLES, SPLITS, Splits
from seqloom.tasks.records import CaptionedImage

MAX_SHOWN = 300  # characters of a caption


def describe_captions(
    splits: Splits[CaptionedImage], num_examples: int = 3
) -> dict[str, Any]:
    """Describe images with captions in plain data, fit for JSON."""
    return {
        "task": splits.task,
        "name": splits.name,
        "title": splits.title,
        "licence": splits.licence,
        "licence_note": splits.licence_note,
        "sha256": splits.sha256,
        "splits": {name: asdict(splits.info[name]) for name in SPLITS},
        "examples": [
            {
                "image": record.name,
                "captions": list(record.captions),
                "where": record.where,
            }
            for record in splits.train[:num_examples]
        ],
    }


def show_captions(
    console: Console, splits: Splits[CaptionedImage], num_examples: int = 3
) -> None:
    """Print `describe_captions` for people."""
    summary = describe_captions(splits, num_examples)
    console.print(Text(f"{summary['name']}: {summary['title']}", style="bold"))
    console.print(Text(f"Licence: {summary['licence']}. {summary['licence_note']}"))
    console.print(Text(f"sha256 of the dataset: {summary['sha256']}"))
    console.print(_size_table(summary))
    for name, info in summary["splits"].items():
        part = " (a part, by hash)" if info["by_hash"] else ""
        console.print(Text(f"  {SPLIT_TITLES[name]}: {info['path']}{part}", "dim"))
    console.print(_length_table(summary))
    table = _left_out_table(summary)
    if table.row_count:
        console.print(table)
    for example in summary["examples"]:
        console.print(Text(example["image"], style="bold cyan"))
        for caption in example["captions"]:
            shown = caption[:MAX_SHOWN] + " ..." * (len(caption) > MAX_SHOWN)
            console.print(Text(f"  {shown}", style="green"))
        console.print(Text(f"  {example['where']}", style="dim"))


def _size_table(summary: dict[str, Any]) -> Table:
    table = Table("split", title="Sizes", title_justify="left")
    for column in ("images", "captions", "for each", "words", "left out", "repeated"):
        table.add_column(column, justify="right")
    for name, info in summary["splits"].items():
        left_out = info["num_skipped"] + sum(info["left_out"].values())
        numbers = list(info["captions_per_image"])
        table.add_row(
            SPLIT_TITLES[name],
            *(f"{info[key]:,}" for key in ("num_images", "num_captions")),
            f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}",
            *(f"{count:,}" for count in (info["num_tokens"], left_out)),
            "" if name == "train" else f"{info['num_repeated']:,}",
        )
    return table


def _length_table(summary: dict[str, Any]) -> Table:
    title = "Lengths: words that so many captions have at the most"
    table = Table("split", title=title, title_justify="left")
    for column in (*summary["splits"]["train"]["lengths"], "longest"):
        table.add_column(column, justify="right")
    for name, info in summary["splits"].items():
        cells = (f"{n:,}" for n in (*info["lengths"].values(), info["longest"]))
        table.add_row(SPLIT_TITLES[name], *cells)
    return table


def _left_out_table(summary: dict[str, Any]) -> Table:
    table = Table("split", title="Left out, and why", title_justify="left")
    table.add_column("number", justify="right")
    table.add_column("what")
    for name, info in summary["splits"].items():
        reasons = info["left_out"] | {
            "bad captions or images (data.on_error=skip)": info["num_skipped"]
        }
        for reason, count in reasons.items():
            if count:
                table.add_row(SPLIT_TITLES[name], f"{count:,}", Text(reason))
    return table
