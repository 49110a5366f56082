"""What `make data` shows of a dataset: sizes, licence, label counts, examples."""

from collections import Counter
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from seqloom.pipelines.caption_summary import describe_captions, show_captions
from seqloom.pipelines.pair_summary import describe_pairs, show_pairs
from seqloom.pipelines.splits import SPLIT_TITLES, SPLITS, Splits
from seqloom.pipelines.text_summary import describe_texts, show_texts
from seqloom.tasks.spans import spans

_STYLES = ("cyan", "magenta", "green", "yellow", "blue", "red")


def describe_splits(splits: Splits, num_examples: int = 3) -> dict[str, Any]:
    """Describe a dataset in plain data, fit for JSON.

    `labels` counts, for every split, spans by type where the tags mark spans, else
    tokens by tag; or texts by label (of pairs there are none). Examples are the first
    training sentences or pairs of some length, or the first training texts of different
    labels.
    """
    if splits.unit == "texts":
        return describe_texts(splits, num_examples)
    if splits.unit == "pairs":
        return describe_pairs(splits, num_examples)
    if splits.unit == "images":
        return describe_captions(splits, num_examples)
    info = {name: asdict(splits.info[name]) for name in SPLITS}
    labels = {name: _labels(splits, name, info[name]["tags"]) for name in SPLITS}
    long_enough = [s for s in splits.train if len(s.tokens) >= 5] or splits.train
    return {
        "task": splits.task,
        "name": splits.name,
        "title": splits.title,
        "licence": splits.licence,
        "licence_note": splits.licence_note,
        "scheme": splits.scheme,
        "sha256": splits.sha256,
        "splits": info,
        "labels": labels,
        "examples": [
            {"tokens": list(s.tokens), "tags": list(s.tags), "where": s.where}
            for s in long_enough[:num_examples]
        ],
    }


def show_splits(console: Console, splits: Splits, num_examples: int = 3) -> None:
    """Print `describe_splits` for people."""
    if splits.unit == "texts":
        show_texts(console, splits, num_examples)
        return
    if splits.unit == "pairs":
        show_pairs(console, splits, num_examples)
        return
    if splits.unit == "images":
        show_captions(console, splits, num_examples)
        return
    summary = describe_splits(splits, num_examples)
    console.print(Text(f"{summary['name']}: {summary['title']}", style="bold"))
    console.print(Text(f"Licence: {summary['licence']}. {summary['licence_note']}"))
    console.print(Text(f"Scheme of the tags: {summary['scheme']}"))
    console.print(Text(f"sha256 of the dataset: {summary['sha256']}"))
    console.print(_size_table(summary))
    console.print(_label_table(summary))
    for example in summary["examples"]:
        console.print(_example(example))
        console.print(Text(f"  {example['where']}", style="dim"))


def _labels(splits: Splits, name: str, tags: dict[str, int]) -> dict[str, int]:
    if splits.scheme == "none":
        return dict(Counter(tags).most_common())
    sentences = splits.split(name)
    kinds = Counter(kind for s in sentences for _, _, kind in spans(s.tags))
    return dict(kinds.most_common())


def _size_table(summary: dict[str, Any]) -> Table:
    table = Table("split", title="Sizes", title_justify="left")
    for column in ("sentences", "tokens", "longest", "left out"):
        table.add_column(column, justify="right")
    table.add_column("file", overflow="fold")
    for name, info in summary["splits"].items():
        left_out = info["num_skipped"] + info["num_too_long"] + info["num_out_of_limit"]
        numbers = (info["num_sentences"], info["num_tokens"], info["longest"], left_out)
        cells = [f"{number:,}" for number in numbers]
        table.add_row(SPLIT_TITLES[name], *cells, Text(info["path"]))
    return table


def _label_table(summary: dict[str, Any]) -> Table:
    what = "Tokens by tag" if summary["scheme"] == "none" else "Spans by type"
    table = Table("label", title=what, title_justify="left")
    for name in SPLITS:
        table.add_column(SPLIT_TITLES[name], justify="right")
    labels = summary["labels"]
    for label in labels["train"]:
        counts = (f"{labels[name].get(label, 0):,}" for name in SPLITS)
        table.add_row(Text(label or "(none)"), *counts)
    return table


def _example(example: dict[str, Any]) -> Text:
    """Write `word/tag`, the tag in a colour of its type; O is left out."""
    kinds = sorted({tag.partition("-")[2] or tag for tag in example["tags"]})
    line = Text()
    for token, tag in zip(example["tokens"], example["tags"], strict=True):
        if tag == "O":
            line.append(f"{token} ")
            continue
        style = _STYLES[kinds.index(tag.partition("-")[2] or tag) % len(_STYLES)]
        line.append(token, style=f"bold {style}").append(f"/{tag} ", style=style)
    return line
