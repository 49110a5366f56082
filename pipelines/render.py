"""Showing predictions: coloured on a terminal, plain when piped, as JSON, as HTML."""

import html
import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from seqloom.pipelines.mlflow_model import prediction_rows

__all__ = ["entities_html", "prediction_rows", "show_prediction", "to_json"]

# Terminal colour and its like for HTML; types take them in alphabetical order.
COLOURS = (
    ("cyan", "#a8dde6"),
    ("magenta", "#eab8ea"),
    ("green", "#b5e0b0"),
    ("yellow", "#f2e2a0"),
    ("blue", "#b7c9f5"),
    ("red", "#f5bdb5"),
)
FAMILIAR = ("PER", "LOC", "ORG", "MISC")  # the same colour in every text


def show_prediction(console: Console, row: Mapping[str, Any]) -> None:
    """Print one row of `prediction_rows`.

    On a terminal entities are coloured, with type and score behind them, and other
    tags stand small behind their words. Piped:

        [Rhea PER 0.98] met [Ada PER 0.97] in [Paris LOC 0.99].
        Rhea/NNP met/VBD Ada/NNP
    """
    console.print(rich_text(row) if console.is_terminal else plain_text(row))


def to_json(row: Mapping[str, Any]) -> str:
    """One row of `prediction_rows` as one line of JSON."""
    return json.dumps(row, ensure_ascii=False)


def plain_text(row: Mapping[str, Any]) -> Text:
    if "entities" not in row:
        pairs = zip(row["tokens"], row["tags"], strict=True)
        return Text(_printable(" ".join(f"{word}/{tag}" for word, tag in pairs)))
    return Text(
        "".join(
            f"[{_printable(piece)} {entity['type']} {entity['score']:.2f}]"
            if entity
            else _printable(piece)
            for piece, entity in _pieces(row)
        )
    )


def rich_text(row: Mapping[str, Any]) -> Text:
    text = Text()
    if "entities" not in row:
        for word, tag in zip(row["tokens"], row["tags"], strict=True):
            text.append(_printable(word)).append(f"/{tag} ", "dim cyan")
        return text
    for piece, entity in _pieces(row):
        if entity is None:
            text.append(_printable(piece))
            continue
        colour, _ = _colours(entity["type"])
        text.append(_printable(piece), f"bold {colour} underline")
        text.append(f" {entity['type']} {entity['score']:.2f}", f"dim {colour}")
    return text


def entities_html(rows: Iterable[Mapping[str, Any]]) -> str:
    """An HTML page of texts with their entities highlighted; everything is escaped."""
    paragraphs = []
    for row in rows:
        parts = []
        for piece, entity in _pieces(row):
            shown = html.escape(piece)
            if entity is not None:
                kind = html.escape(str(entity["type"]))
                _, background = _colours(entity["type"])
                shown = (
                    f'<mark style="background:{background}" '
                    f'title="{float(entity["score"]):.3f}">{shown} <b>{kind}</b></mark>'
                )
            parts.append(shown)
        paragraphs.append(f"<p>{''.join(parts)}</p>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<title>Entities</title>\n<style>\n"
        "body { font: 16px/1.7 system-ui, sans-serif; margin: 2em; max-width: 50em; }\n"
        "p { white-space: pre-wrap; }\n"
        "mark { padding: .1em .3em; border-radius: .3em; color: #111; }\n"
        "mark b { font-size: .65em; vertical-align: super; }\n"
        "</style></head>\n<body>\n" + "\n".join(paragraphs) + "\n</body></html>\n"
    )


def _pieces(row: Mapping[str, Any]) -> Iterator[tuple[str, Mapping | None]]:
    """The text in order: pieces outside of entities with None, and entities."""
    text, done = row["text"], 0
    entities: Sequence[Mapping] = row["entities"]
    for entity in entities:
        if entity["start"] > done:
            yield text[done : entity["start"]], None
        yield text[entity["start"] : entity["end"]], entity
        done = entity["end"]
    if done < len(text):
        yield text[done:], None


def _colours(kind: str) -> tuple[str, str]:
    # Not hash(): it gives other colours in every process.
    number = FAMILIAR.index(kind) if kind in FAMILIAR else sum(kind.encode())
    return COLOURS[number % len(COLOURS)]


def _printable(text: str) -> str:
    """Control characters, which could steer the terminal, are shown as U+FFFD."""
    return "".join(
        "\ufffd"
        if unicodedata.category(letter) == "Cc" and letter not in "\n\t"
        else letter
        for letter in text
    )
