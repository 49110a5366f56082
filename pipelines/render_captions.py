"""Captions: a line an image, its path first, or a numbered list of the best."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from seqloom.tasks.highlights import printable


def plain_caption(row: Mapping[str, Any]) -> Text:
    """Path and caption; of several captions a line each, with number and score:

    dogs.jpg: two dogs run in the grass
    dogs.jpg: 1 -0.91  two dogs run in the grass
    dogs.jpg: 2 -1.10  two dogs play in the grass
    """
    path = printable(row["image"])
    if "captions" not in row:
        return Text(f"{path}: {printable(row['caption'])}".rstrip())
    lines = [
        f"{path}: {number} {found['score']:.2f}  {printable(found['text'])}".rstrip()
        for number, found in enumerate(row["captions"], start=1)
    ]
    return Text("\n".join(lines))


def rich_caption(row: Mapping[str, Any]) -> Text:
    """The path dim, captions in bold with dim scores, numbered if there are several."""
    text = Text(printable(row["image"]), "dim")
    if row["error"]:
        return text.append("  no caption", "dim")
    one = [{"text": row["caption"], "score": row["score"]}]
    several = row.get("captions")
    for number, found in enumerate(several or one, start=1):
        text.append("\n  " if several else "  ")
        if several:
            text.append(f"{number}. ", "dim")
        text.append(printable(found["text"]), "bold")
        text.append(f"  {found['score']:.2f}", "dim")
    return text
