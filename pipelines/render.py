"""Showing predictions: coloured on a terminal, plain when piped, as JSON, as HTML.

Rows of taggers are drawn in render_tags.py, those of classifiers in render_labels.py,
those of translators in render_translations.py, of captioners in render_captions.py.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console

from seqloom.pipelines.mlflow_model import prediction_rows
from seqloom.pipelines.render_captions import plain_caption, rich_caption
from seqloom.pipelines.render_labels import plain_label, rich_label
from seqloom.pipelines.render_tags import entities_html, plain_tags, rich_tags
from seqloom.pipelines.render_translations import plain_translation, rich_translation

__all__ = ["entities_html", "prediction_rows", "show_prediction", "to_json"]


def show_prediction(console: Console, row: Mapping[str, Any]) -> None:
    """Print one row of `prediction_rows`.

    On a terminal entities are coloured, with type and score behind them, and other
    tags stand small behind their words; a label stands with all probabilities over its
    text, whose words are coloured by what they weighed; a translation has its score
    behind it, and so has a caption, behind the path of its image. Piped:

        [Rhea PER 0.98] met [Ada PER 0.97] in [Paris LOC 0.99].
        Rhea/NNP met/VBD Ada/NNP
        negative 0.71  a fine film
        Enregistrer les modifications
        dogs.jpg: two dogs run in the grass
    """
    plain, rich = _looks(row)
    console.print(rich(row) if console.is_terminal else plain(row))


def _looks(row: Mapping[str, Any]) -> tuple[Callable, Callable]:
    if "translation" in row:
        return plain_translation, rich_translation
    if "caption" in row:
        return plain_caption, rich_caption
    return (plain_label, rich_label) if "label" in row else (plain_tags, rich_tags)


def to_json(row: Mapping[str, Any]) -> str:
    """One row of `prediction_rows` as one line of JSON."""
    return json.dumps(row, ensure_ascii=False)
