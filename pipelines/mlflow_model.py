"""The MLflow form of an exported model, as code that MLflow stores with the model.

MLflow copies this file beside the SavedModel and runs it to load the model, wherever
that is: it needs tensorflow, tensorflow-text and mlflow, and must not import seqloom.

    tagger = mlflow.pyfunc.load_model("runs/ner/latest/mlflow_model")
    tagger.predict(["Rhea met Ada in Paris."])

Input: texts, of a captioner the bytes of images, as a list, a numpy array, or the first
column of a DataFrame; no rows are an array or a DataFrame without rows. Output: a
DataFrame, one row a text or image, with what `prediction_rows` makes: of a tagger
tokens, tags, scores and, for spans, entities; of a
classifier label, score, probabilities and truncated; of a translator translation, score
and truncated; of a captioner caption, score and error.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

TEXTS_AT_ONCE = 1024


def prediction_rows(texts: Sequence[str | bytes], outputs: Mapping) -> list[dict]:
    """Turn the flat tensors of a signature that takes texts into a dict a text.

    Of a classifier, `words` only come with the signature `attention`:

        {"text": "A fine film", "label": "positive", "score": 0.93,
         "probabilities": {"negative": 0.07, "positive": 0.93}, "truncated": False,
         "words": [{"text": "A", "start": 0, "end": 1, "weight": 0.1}, ...]}

    Of a tagger:

        {"text": "Zoë met Al.", "tokens": ["Zoë", "met", "Al", "."],
         "tags": ["B-PER", "O", "B-PER", "O"], "scores": [0.98, 0.99, 0.97, 1.0],
         "entities": [{"text": "Zoë", "type": "PER", "start": 0, "end": 3,
                       "score": 0.98}, ...]}

    Of a translator; `translations`, best first, only with more than one a text, and the
    others only with attention, which has a row for each piece of the target:

        {"text": "Save", "translation": "Enregistrer", "score": -0.31,
         "truncated": False,
         "translations": [{"text": "Enregistrer", "score": -0.31}, ...],
         "source_pieces": ["▁Save", "</s>"], "target_pieces": ["▁Enregistrer"],
         "attention": [[0.9, 0.1]]}

    Of a captioner; `captions`, best first, only with more than one an image, and the
    others only with attention, which has for each piece the rows of the grid:

        {"caption": "two dogs run", "score": -0.9, "error": "",
         "captions": [{"text": "two dogs run", "score": -0.9}, ...],
         "pieces": ["▁two", "▁dogs", "▁run"],
         "attention": [[[0.1, 0.2], [0.4, 0.3]], ...]}

    The graph counts bytes; here `start` and `end` count the characters of `text`, as
    Python and JavaScript (outside of emoji) do. Without spans, no `entities`.

    Args:
        texts: What the signature was given, or images; bytes of texts that are no UTF-8
            become U+FFFD.
        outputs: What it returned, as tensors or arrays.
    """
    flat = {name: np.asarray(value) for name, value in outputs.items()}
    if "label_names" in flat:
        return _label_rows(texts, flat)
    if "translations" in flat:
        return _translation_rows(texts, flat)
    if "captions" in flat:
        return _caption_rows(flat)
    columns = _rows(flat, ("tokens", "tags", "scores"), "row_lengths")
    rows = []
    for text, (tokens, tags, scores) in zip(texts, columns, strict=True):
        rows.append(
            {
                "text": _shown(text),
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


def _label_rows(texts: Sequence[str | bytes], flat: Mapping) -> list[dict]:
    names = [name.decode() for name in flat["label_names"]]
    rows = [
        {
            "text": _shown(text),
            "label": label.decode(),
            "score": round(float(score), 6),
            "probabilities": {
                name: round(float(share), 6)
                for name, share in zip(names, shares, strict=True)
            },
            "truncated": bool(truncated),
        }
        for text, label, score, shares, truncated in zip(
            texts,
            *(flat[k] for k in ("labels", "scores", "probabilities", "truncated")),
            strict=True,
        )
    ]
    if "weights" in flat:
        columns = _rows(flat, ("words", "starts", "ends", "weights"), "row_lengths")
        for text, row, words in zip(texts, rows, columns, strict=True):
            position = _character_positions(_raw(text))
            row["words"] = [
                {
                    "text": word.decode(),
                    "start": position[start],
                    "end": position[end],
                    "weight": round(float(weight), 6),
                }
                for word, start, end, weight in zip(*words, strict=True)
            ]
    return rows


def _translation_rows(texts: Sequence[str | bytes], flat: Mapping) -> list[dict]:
    rows = []
    for text, (best, several), truncated in zip(
        texts, _ranked(flat, "translations"), flat["truncated"], strict=True
    ):
        row = {
            "text": _shown(text),
            "translation": best["text"],
            "score": best["score"],
            "truncated": bool(truncated),
        }
        rows.append(row | several)
    if "weights" in flat:
        for row, looks in zip(rows, _attention(flat), strict=True):
            row.update(looks)
    return rows


def _caption_rows(flat: Mapping) -> list[dict]:
    rows = [
        {
            "caption": best["text"],
            "score": best["score"],
            "error": error.decode(),
            **several,
        }
        for (best, several), error in zip(
            _ranked(flat, "captions"), flat["errors"], strict=True
        )
    ]
    if "weights" in flat:
        columns = _rows(flat, ("pieces", "weights"), "lengths")
        for row, (pieces, weights) in zip(rows, columns, strict=True):
            row["pieces"] = [piece.decode() for piece in pieces]
            row["attention"] = np.round(weights.astype(float), 6).tolist()
    return rows


def _ranked(flat: Mapping, name: str) -> list[tuple[dict, dict]]:
    """Of each row the best text with its score; and all under `name`, if several."""
    written, scores = flat[name], flat["scores"]
    if written.ndim == 1:  # the best of each
        written, scores = written[:, None], scores[:, None]  # (B, n)
    rows = []
    for found, worth in zip(written, scores, strict=True):
        ranked = [
            {"text": text.decode(), "score": round(float(score), 6)}
            for text, score in zip(found, worth, strict=True)
            if score != -np.inf  # else there are no more
        ]
        rows.append((ranked[0], {name: ranked} if found.size > 1 else {}))
    return rows


def _attention(flat: Mapping) -> list[dict]:
    """Pieces and weights of each text."""
    shapes = np.stack([flat["target_lengths"], flat["source_lengths"]], axis=1)
    sizes = {**flat, "weight_lengths": shapes.prod(axis=1)}
    columns = [
        _rows(sizes, [names], lengths)
        for names, lengths in (
            ("source_pieces", "source_lengths"),
            ("target_pieces", "target_lengths"),
            ("weights", "weight_lengths"),
        )
    ]
    return [
        {
            "source_pieces": [piece.decode() for piece in source],
            "target_pieces": [piece.decode() for piece in target],
            "attention": [
                [round(float(weight), 6) for weight in row]
                for row in weights.reshape(shape)
            ],
        }
        for [source], [target], [weights], shape in zip(*columns, shapes, strict=True)
    ]


def _shown(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode("utf-8", "replace")


def _raw(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def check_texts(texts: Sequence) -> None:
    """Raise ValueError unless every row is a text."""
    for row, text in enumerate(texts):
        if not isinstance(text, str | bytes):
            raise ValueError(
                f"Row {row} holds {text!r}, which is no text. Give a string in every "
                "row; of a table the first column is taken."
            )


def _entities(text: str | bytes, columns: Sequence[np.ndarray]) -> list[dict]:
    position = _character_positions(_raw(text))
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

    class ExportedModel(mlflow.pyfunc.PythonModel):
        def load_context(self, context: Any) -> None:
            self.loaded = tf.saved_model.load(context.artifacts["saved_model"])
            self.serve = self.loaded.signatures["serving_default"]
            outputs = self.serve.structured_outputs
            self.question = next(iter(self.serve.structured_input_signature[1]))
            self.columns = ["tokens", "tags", "scores"]
            if "label_names" in outputs:
                self.columns = ["label", "score", "probabilities", "truncated"]
            elif "translations" in outputs:
                self.columns = ["translation", "score", "truncated"]
            elif "captions" in outputs:
                self.columns = ["caption", "score", "error"]
            elif "entity_texts" in outputs:
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
                asked = {self.question: tf.constant(part)}
                rows += prediction_rows(part, self.serve(**asked))
            return pd.DataFrame(rows, columns=self.columns)

    mlflow.models.set_model(ExportedModel())


if __name__ != "seqloom.pipelines.mlflow_model":
    _register()
