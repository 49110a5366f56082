"""Classified texts: label, probabilities and weighed words on a terminal, or piped."""

from collections.abc import Mapping
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from seqloom.tasks.highlights import pieces, printable, relative

# From this share of the strongest weight on, words have this look. Numbers are of the
# 256 colours; terminals with 16 get the nearest, so that more than the hue must differ.
STEPS = (
    (0.8, "bold black on color(214)"),
    (0.55, "black on color(222)"),
    (0.3, "black on color(230)"),
    (0.15, "underline"),
)
BAR_WIDTH = 10


def plain_label(row: Mapping[str, Any]) -> Text:
    """One line for a text of any number of lines: negative 0.71  a fine film"""
    label, words = _one_line(row["label"]), _one_line(row["text"])
    line = f"{label} {row['score']:.2f}  {words}".rstrip()
    note = _note(row)
    return Text(f"{line}  [{note}]" if note else line)


def rich_label(row: Mapping[str, Any]) -> Text:
    """The label, a bar for each probability, and the text with its words coloured."""
    text = Text()
    text.append(_one_line(row["label"]), "bold").append(f" {row['score']:.2f}\n")
    ranked = sorted(row["probabilities"].items(), key=lambda pair: -pair[1])
    names = [_one_line(label) for label, _ in ranked]
    width = max(map(cell_len, names), default=0)
    for name, (_, probability) in zip(names, ranked, strict=True):
        full = round(BAR_WIDTH * probability)
        text.append(f"  {set_cell_size(name, width)} ")
        text.append("━" * full, "cyan").append("━" * (BAR_WIDTH - full), "dim")
        text.append(f" {probability:6.1%}\n")
    text.append_text(_weighed(row))
    note = _note(row)
    if note:
        text.append(f"  [{note}]", "dim")
    return text


def _weighed(row: Mapping[str, Any]) -> Text:
    words = row.get("words") or []
    strengths = relative([word["weight"] for word in words])
    text = Text()
    for piece, number in pieces(row["text"], [(w["start"], w["end"]) for w in words]):
        strength = 0.0 if number is None else strengths[number]
        style = next((look for least, look in STEPS if strength >= least), "")
        text.append(printable(piece), style)
    return text


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))


def _note(row: Mapping[str, Any]) -> str:
    """What a user should know about how the text was read, or nothing."""
    words = row.get("words")
    if not row.get("truncated"):
        nothing = "no words: what the model answers to a text that says nothing"
        return "" if row["text"].strip() or words else nothing
    if not words:
        return "too long: its end was not read"
    return f"too long: only the first {words[-1]['end']:,} characters were read"
