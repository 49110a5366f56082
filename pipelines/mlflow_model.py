"""The MLflow form of an exported tagger, as code that MLflow stores with the model.

MLflow copies this file beside the SavedModel and runs it to load the model, wherever
that is: it needs tensorflow, tensorflow-text and mlflow, and must not import seqloom.

    tagger = mlflow.pyfunc.load_model("runs/ner/latest/mlflow_model")
    tagger.predict(["Rhea met Ada in Paris."])

Input: texts as a list, a numpy array, or the first column of a DataFrame; no rows are
an array or a DataFrame without rows. Output: a DataFrame, one row a text, of lists:
tokens, tags, scores, and for spans entities, dicts as `prediction_rows` makes them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

TEXTS_AT_ONCE = 1024


def prediction_rows(texts: Sequence[str | bytes], outputs: Mapping) -> list[dict]:
    """Turn the flat tensors of the signature `serving_default` into a dict a text.

        {"text": "Zoë met Al.", "tokens": ["Zoë", "met", "Al", "."],
         "tags": ["B-PER", "O", "B-PER", "O"], "scores": [0.98, 0.99, 0.97, 1.0],
         "entities": [{"text": "Zoë", "type": "PER", "start": 0, "end": 3,
                       "score": 0.98}, ...]}

    The graph counts bytes; here `start` and `end` count the characters of `text`, as
    Python and JavaScript (outside of emoji) do. Without spans, no `entities`.

    Args:
        texts: What the signature was given; bytes that are no UTF-8 become U+FFFD.
        outputs: What it returned, as tensors or arrays.
    """
    flat = {name: np.asarray(value) for name, value in outputs.items()}
    columns = _rows(flat, ("tokens", "tags", "scores"), "row_lengths")
    rows = []
    for text, (tokens, tags, scores) in zip(texts, columns, strict=True):
        shown = text if isinstance(text, str) else text.decode("utf-8", "replace")
        rows.append(
            {
                "text": shown,
                "tokens": [token.decode() for token in tokens],
                "tags": [tag.decode() for tag in tags],
                "scores": [round(float(score), 6) for score in scores],
            }
        )
    if "entity_texts" in flat:
        names = [f"entity_{n}" for n in ("texts", "types", "starts", "ends", "scores")]
        columns = _rows(flat, names, "entity_row_lengths")
        for text, row, entities in zip(texts, rows, columns, strict=True):
            row["entities"] = _entities(text, entities)
    return rows


def check_texts(texts: Sequence) -> None:
    """Raise ValueError unless every row is a text."""
    for row, text in enumerate(texts):
        if not isinstance(text, str | bytes):
            raise ValueError(
                f"Row {row} holds {text!r}, which is no text. Give a string in every "
                "row; of a table the first column is taken."
            )


def _entities(text: str | bytes, columns: Sequence[np.ndarray]) -> list[dict]:
    raw = text.encode() if isinstance(text, str) else text
    position = _character_positions(raw)
    return [
        {
            "text": piece.decode(),
            "type": kind.decode(),
            "start": position[start],
            "end": position[end],
            "score": round(float(score), 6),
        }
        for piece, kind, start, end, score in zip(*columns, strict=True)
    ]


def _character_positions(raw: bytes) -> Sequence[int]:
    """The number of characters before each byte, and before the end."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return [len(raw[:i].decode("utf-8", "replace")) for i in range(len(raw) + 1)]
    if raw.isascii():
        return range(len(raw) + 1)
    begins = (np.frombuffer(raw, np.uint8) & 0xC0) != 0x80  # no continuation byte
    before = np.cumsum(begins) - begins
    return [*before.tolist(), int(begins.sum())]


def _rows(
    flat: Mapping[str, np.ndarray], names: Sequence[str], lengths: str
) -> list[list[np.ndarray]]:
    """Cut flat arrays into rows: for each row, one array a name."""
    ends = np.cumsum(flat[lengths])
    starts = ends - flat[lengths]
    return [
        [flat[name][start:end] for name in names]
        for start, end in zip(starts, ends, strict=True)
    ]


def _register() -> None:
    """Tell MLflow, which is running this file, what the model is."""
    import mlflow
    import pandas as pd
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  registers the ops of the tokenizer

    class ExportedTagger(mlflow.pyfunc.PythonModel):
        def load_context(self, context: Any) -> None:
            self.loaded = tf.saved_model.load(context.artifacts["saved_model"])
            self.label = self.loaded.signatures["serving_default"]
            self.columns = ["tokens", "tags", "scores"]
            if "entity_texts" in self.label.structured_outputs:
                self.columns.append("entities")

        # The schema turns lists and arrays into a table, too.
        def predict(
            self, context: Any, model_input: pd.DataFrame, params: Any = None
        ) -> pd.DataFrame:
            texts = model_input.iloc[:, 0].tolist()
            check_texts(texts)
            rows = []
            for first in range(0, len(texts), TEXTS_AT_ONCE):
                part = texts[first : first + TEXTS_AT_ONCE]
                rows += prediction_rows(part, self.label(texts=tf.constant(part)))
            return pd.DataFrame(rows, columns=self.columns)

    mlflow.models.set_model(ExportedTagger())


if __name__ != "seqloom.pipelines.mlflow_model":
    _register()
