"""Tagged texts: coloured on a terminal, plain when piped, entities as HTML."""

import html
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.text import Text

from seqloom.tasks.highlights import pieces, printable

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


def plain_tags(row: Mapping[str, Any]) -> Text:
    """[Rhea PER 0.98] met [Ada PER 0.97]. or Rhea/NNP met/VBD Ada/NNP"""
    if "entities" not in row:
        pairs = zip(row["tokens"], row["tags"], strict=True)
        return Text(printable(" ".join(f"{word}/{tag}" for word, tag in pairs)))
    return Text(
        "".join(
            f"[{printable(piece)} {entity['type']} {entity['score']:.2f}]"
            if entity
            else printable(piece)
            for piece, entity in _pieces(row)
        )
    )


def rich_tags(row: Mapping[str, Any]) -> Text:
    """Entities coloured, with type and score behind them; tags small behind words."""
    text = Text()
    if "entities" not in row:
        for word, tag in zip(row["tokens"], row["tags"], strict=True):
            text.append(printable(word)).append(f"/{tag} ", "dim cyan")
        return text
    for piece, entity in _pieces(row):
        if entity is None:
            text.append(printable(piece))
            continue
        colour, _ = _colours(entity["type"])
        text.append(printable(piece), f"bold {colour} underline")
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
    entities = row["entities"]
    spans = [(entity["start"], entity["end"]) for entity in entities]
    for piece, number in pieces(row["text"], spans):
        yield piece, None if number is None else entities[number]


def _colours(kind: str) -> tuple[str, str]:
    # Not hash(): it gives other colours in every process.
    number = FAMILIAR.index(kind) if kind in FAMILIAR else sum(kind.encode())
    return COLOURS[number % len(COLOURS)]
