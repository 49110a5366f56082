"""Exports of a translator: verified, as an MLflow model, and the rows they give."""

import json
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
import tensorflow as tf
from tiny_translator import translator

from seqloom.pipelines.errors import UserError
from seqloom.pipelines.export import export_run
from seqloom.pipelines.golden import GOLDEN_TEXTS
from seqloom.pipelines.mlflow_model import prediction_rows
from seqloom.pipelines.trained import Trained
from seqloom.pipelines.verify import VerificationError, verify
from seqloom.tasks.tagging import TaggingTask

TEXTS = ["Zoë met Ada's 😀 in Oslo.", "", "Rhea"]
COLUMNS = ["translation", "score", "truncated"]


@pytest.fixture(scope="module")
def translated(tmp_path_factory):
    """A run directory with an exported translator, its task and its model."""
    folder = tmp_path_factory.mktemp("translator")
    task, model = translator("transformer")
    module = task.serving_module(model)
    task.serving_module = lambda _: module  # tracing it takes long
    run = SimpleNamespace(folder=folder)
    export_run(SimpleNamespace(task=task, model=model, run=run))
    return folder, task, model


def test_an_exported_translator_is_verified(translated):
    folder, task, model = translated
    names = ("serving_default", "attention", "search", "score")
    assert verify(folder, task.serving_module(model)) == [
        *[f"the reloaded SavedModel: {name} equal" for name in names],
        *[f"the model in memory: {name} equal" for name in names],
        "the MLflow model: equal",
    ]
    golden = json.loads(
        (folder / "golden.json").read_text(), parse_constant=pytest.fail
    )
    outputs = golden["serving_default"]["outputs"]
    assert len(set(outputs["translations"])) >= 4
    pieces = task.source.encode(tf.constant(GOLDEN_TEXTS)).row_lengths()
    assert outputs["truncated"] == (pieces > 40).numpy().tolist()
    assert True in outputs["truncated"] and False in outputs["truncated"]
    search = golden["search"]
    assert search["inputs"]["n_best"] == {"int32": 2}
    assert search["inputs"]["length_penalty"] == {"float32": 0.5}
    assert [len(found) for found in search["outputs"]["scores"]] == [2] * 10
    assert search["outputs"]["scores"][3] == [0.0, "-inf"]  # of the empty text
    assert len(golden["score"]["inputs"]["translations"]) == 10


def test_a_changed_weight_is_found(translated, monkeypatch):
    folder, task, model = translated
    module = task.serving_module(model)
    # The model in memory stands in for an export that was written wrong.
    functions = {"serving_default": module.serving_default}
    export = SimpleNamespace(signatures=functions)
    monkeypatch.setattr(
        "seqloom.pipelines.verify.tf.saved_model.load", lambda _: export
    )
    weight = model.trainable_weights[-1]
    before = weight.numpy()
    weight.assign(before + np.random.default_rng(1).normal(0, 0.5, before.shape))
    try:
        with pytest.raises(
            VerificationError, match="SavedModel, signature serving_def"
        ):
            verify(folder)
    finally:
        weight.assign(before)


def test_pyfunc_of_a_translator(translated):
    folder, task, model = translated
    module = task.serving_module(model)
    answers = mlflow.pyfunc.load_model(str(folder / "mlflow_model")).predict(TEXTS)
    assert list(answers.columns) == COLUMNS
    outputs = module.serving_default(tf.constant(TEXTS))
    for row, answer in enumerate(answers.to_dict("records")):
        assert answer["translation"].encode() == outputs["translations"][row]
        np.testing.assert_allclose(answer["score"], outputs["scores"][row], atol=1e-5)
        assert answer["truncated"] is False
    info = mlflow.models.get_model_info(str(folder / "mlflow_model"))
    assert info.signature.outputs.input_names() == COLUMNS
    json.dumps(answers.to_dict("records"))


# === In memory ===


@pytest.fixture(scope="module")
def trained(translated):
    _, task, model = translated
    return Trained(SimpleNamespace(folder=None), None, task, model)


def test_rows_of_batches_are_those_one_by_one(trained):
    texts = [*TEXTS, "Rhea " * 60, "Ada"]
    rows = trained.predict(texts, batch_size=2)
    assert [row["text"] for row in rows] == texts
    assert [row["truncated"] for row in rows] == [False, False, False, True, False]
    for text, row in zip(texts, rows, strict=True):
        assert set(row) == {"text", *COLUMNS}
        [alone] = trained.predict([text])
        assert alone["translation"] == row["translation"]
        np.testing.assert_allclose(alone["score"], row["score"], atol=1e-5)
    assert rows[1]["translation"] == "" and rows[1]["score"] == 0.0
    assert trained.predict([]) == []


def test_options_of_a_prediction(trained):
    rows = trained.predict(TEXTS, n_best=2, attention=True)
    plain = trained.predict(TEXTS)
    for row, alone in zip(rows, plain, strict=True):
        assert row["translations"][0] == {
            "text": row["translation"],
            "score": row["score"],
        }
        assert row["translation"] == alone["translation"]
        assert "translations" not in alone and "attention" not in alone
        weights = np.array(row["attention"])
        assert len(weights) == len(row["target_pieces"])
        if len(weights):
            assert weights.shape[1] == len(row["source_pieces"])
            np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-4)
    assert len(rows[0]["translations"]) == 2
    assert rows[1]["translations"] == [{"text": "", "score": 0.0}]
    assert rows[0]["source_pieces"][-1] == "</s>"
    json.dumps(rows, allow_nan=False)


def test_samples_of_a_stream_do_not_depend_on_its_batches(trained, monkeypatch):
    texts = ["Rhea met Ada"] * 5
    options = {"sample": True, "n_best": 2, "seed": 3, "max_length": 6}
    monkeypatch.setattr("seqloom.pipelines.trained.SAMPLED_AT_ONCE", 2)
    rows = list(trained.stream(iter(texts), 3, **options))
    assert rows == trained.predict(texts, batch_size=5, **options)
    drawn = [tuple(found["text"] for found in row["translations"]) for row in rows]
    assert len(set(drawn)) == 5


def test_options_that_make_no_sense(trained):
    with pytest.raises(
        UserError, match="beam=999 is larger than the vocabulary of 300"
    ):
        trained.predict(TEXTS, beam=999)
    with pytest.raises(UserError, match="n_best=4 hypotheses cannot come from beam=3"):
        trained.predict(TEXTS, n_best=4)
    with pytest.raises(TypeError, match=r"write predict\(\['Ada'\]\)"):
        trained.predict("Ada")
    other = TaggingTask("pos", False, model={"word_units": 4, "units": 4})
    module = SimpleNamespace(answers=None)
    other.serving_module = lambda _: module
    tagger = Trained(SimpleNamespace(folder=None), None, other, None)
    with pytest.raises(
        UserError, match="A run of pos answers in one way only, got beam"
    ):
        tagger.predict(TEXTS, beam=3)


# === Rows by hand ===


def test_translation_rows_by_hand():
    outputs = {
        "translations": [b"oui", "é".encode()],
        "scores": [-0.25, -1.5],
        "log_probabilities": [-0.5, -3.0],
        "truncated": [False, True],
    }
    assert prediction_rows(["yes", b"\xffe"], outputs) == [
        {"text": "yes", "translation": "oui", "score": -0.25, "truncated": False},
        {"text": "\ufffde", "translation": "é", "score": -1.5, "truncated": True},
    ]
    several = {
        "translations": [[b"oui", b"si"], [b"", b""]],
        "scores": [[-0.25, -0.75], [0.0, -np.inf]],
        "truncated": [False, False],
        "source_pieces": ["▁yes".encode(), b"</s>", b"</s>"],
        "source_lengths": [2, 1],
        "target_pieces": ["▁ou".encode(), b"i"],
        "target_lengths": [2, 0],
        "weights": [0.75, 0.25, 0.5, 0.125],
    }
    first, second = prediction_rows(["yes", ""], several)
    assert first["translations"] == [
        {"text": "oui", "score": -0.25},
        {"text": "si", "score": -0.75},
    ]
    assert first["attention"] == [[0.75, 0.25], [0.5, 0.125]]
    assert first["source_pieces"] == ["▁yes", "</s>"]
    assert first["target_pieces"] == ["▁ou", "i"]
    assert second["translations"] == [{"text": "", "score": 0.0}]
    assert second["attention"] == second["target_pieces"] == []
    nothing = {name: np.array(values)[:0] for name, values in outputs.items()}
    assert prediction_rows([], nothing) == []
