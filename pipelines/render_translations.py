"""Translations: a line each, or a numbered list of the best, and their alignments."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.text import Text

from seqloom.pipelines.errors import UserError
from seqloom.tasks.alignment_figure import Alignment, alignments
from seqloom.tasks.highlights import printable


def plain_translation(row: Mapping[str, Any]) -> Text:
    """The translation on one line; of several a line each, with number and score:

    1 -0.31  Enregistrer les modifications
    2 -0.94  Enregistrer les changements
    """
    if "translations" not in row:
        return Text(_one_line(row["translation"]))
    lines = [
        f"{number} {found['score']:.2f}  {_one_line(found['text'])}".rstrip()
        for number, found in enumerate(row["translations"], start=1)
    ]
    return Text("\n".join(lines))


def rich_translation(row: Mapping[str, Any]) -> Text:
    """Translations in bold with dim scores, numbered if there are several."""
    several = row.get("translations")
    text = Text()
    for number, found in enumerate(several or [best_of(row)], start=1):
        if number > 1:
            text.append("\n")
        if several:
            text.append(f"{number}. ", "dim")
        text.append(printable(found["text"]), "bold")
        text.append(f"  {found['score']:.2f}", "dim")
    if row["truncated"]:
        text.append("  [too long: its end was not read]", "dim")
    return text


def best_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Text and score of the best translation."""
    return {"text": row["translation"], "score": row["score"]}


def check_figure_path(path: Path) -> None:
    """Raise UserError if no figure can be written there."""
    if path.suffix.lower() != ".png":
        raise UserError(
            f"Pictures are written as PNG, not as {path.name}. Name it {path.stem}.png."
        )
    if not path.parent.is_dir():
        raise UserError(f"There is no folder {path.parent} for {path.name}. Make it.")


def draw_attention(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """The alignments of rows with attention, on one page."""
    examples = []
    for row in rows:
        sides = row["source_pieces"], row["target_pieces"]
        title = f"score {row['score']:.2f}"
        examples.append(Alignment(*sides, np.array(row["attention"]), title))
    return alignments(examples)


def _one_line(text: str) -> str:
    """So that the n-th line answers the n-th text."""
    return printable(re.sub(r"\s*[\n\r\v\f\x85\u2028\u2029]\s*", " ", text))
