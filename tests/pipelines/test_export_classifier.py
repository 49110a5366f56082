"""Exports of a classifier: verified, as an MLflow model, and the rows they give."""

import json
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
import tensorflow as tf
from tiny_preset import randomized

from seqloom.pipelines import mlflow_model
from seqloom.pipelines.export import export_run
from seqloom.pipelines.golden import GOLDEN_TEXTS
from seqloom.pipelines.trained import Trained
from seqloom.pipelines.verify import verify
from seqloom.tasks.classification import ClassificationTask
from seqloom.tasks.records import LabelledText

TEXTS = ["Zoë met Ada's 😀 in Oslo.", "", "Rhea"]
LABELS_ALONE = ("labels", "scores", "probabilities", "label_names", "truncated")
LABEL_COLUMNS = ["label", "score", "probabilities", "truncated"]


@pytest.fixture(scope="module")
def classified(tmp_path_factory):
    """A run directory with an exported classifier, its task and its model."""
    folder = tmp_path_factory.mktemp("classifier")
    task = ClassificationTask(
        "sentiment", max_length=50, model={"word_units": 8, "units": 6}
    )
    texts = ["Rhea met Ada in Oslo .", "Zoë was not in Paris !", "5 of 7 met"]
    labels = ["bad", "good", "so-so"]
    pairs = [*zip(texts, labels, strict=True)] * 2
    task.fit_vocabulary([LabelledText(*pair) for pair in pairs])
    model = randomized(task.build_model())
    export_run(
        SimpleNamespace(task=task, model=model, run=SimpleNamespace(folder=folder))
    )
    return folder, task, model


def test_an_exported_classifier_is_verified(classified):
    folder, task, model = classified
    module = task.serving_module(model)
    assert verify(folder, module) == [
        "the reloaded SavedModel: serving_default equal",
        "the reloaded SavedModel: attention equal",
        "the model in memory: serving_default equal",
        "the model in memory: attention equal",
        "the MLflow model: equal",
    ]
    golden = json.loads((folder / "golden.json").read_text())
    outputs = golden["attention"]["outputs"]
    rows = {tuple(np.round(row, 3)) for row in outputs["probabilities"]}
    assert len(rows) >= 4
    assert outputs["truncated"] == [len(t) == 10_000 for t in GOLDEN_TEXTS]
    assert outputs["label_names"] == ["bad", "good", "so-so"]


def test_pyfunc_of_a_classifier(classified):
    folder, task, model = classified
    module = task.serving_module(model)
    answers = mlflow.pyfunc.load_model(str(folder / "mlflow_model")).predict(TEXTS)
    assert list(answers.columns) == LABEL_COLUMNS
    outputs = module.serving_default(tf.constant(TEXTS))
    for row, answer in enumerate(answers.to_dict("records")):
        assert answer["label"].encode() == outputs["labels"][row]
        assert answer["truncated"] is False
        shares = list(answer["probabilities"].values())
        np.testing.assert_allclose(shares, outputs["probabilities"][row], atol=1e-5)
        assert answer["score"] == max(shares)
    info = mlflow.models.get_model_info(str(folder / "mlflow_model"))
    assert info.signature.outputs.input_names() == LABEL_COLUMNS
    json.dumps(answers.to_dict("records"))


def test_a_classifier_in_memory_gives_words_and_characters(classified):
    _, task, model = classified
    run = SimpleNamespace(folder=None)
    texts = [*TEXTS, "Rhea " * 60]
    rows = Trained(run, None, task, model).predict(texts, batch_size=2)
    assert [row["text"] for row in rows] == texts
    words = ["Zoë", "met", "Ada", "'s", "😀", "in", "Oslo", "."]
    assert [word["text"] for word in rows[0]["words"]] == words
    for row in rows:
        assert set(row) == {"text", "words", *LABEL_COLUMNS}
        for word in row["words"]:
            assert row["text"][word["start"] : word["end"]] == word["text"]
        weights = [word["weight"] for word in row["words"]]
        np.testing.assert_allclose(sum(weights), bool(weights), atol=1e-4)
    assert rows[1]["words"] == []
    assert [row["truncated"] for row in rows] == [False, False, False, True]
    assert len(rows[3]["words"]) == 50
    json.dumps(rows)


def test_label_rows_by_hand():
    outputs = {
        "labels": [b"no", b"yes"],
        "scores": [0.75, 0.625],
        "probabilities": [[0.75, 0.25], [0.375, 0.625]],
        "label_names": [b"no", b"yes"],
        "truncated": [False, True],
        "words": ["Zoë".encode(), "😀".encode(), b"a"],
        "starts": [0, 5, 1],
        "ends": [4, 9, 2],
        "weights": [0.25, 0.75, 1.0],
        "row_lengths": [2, 1],
    }
    rows = mlflow_model.prediction_rows(["Zoë 😀", b"\xffa"], outputs)
    assert rows == [
        {
            "text": "Zoë 😀",
            "label": "no",
            "score": 0.75,
            "probabilities": {"no": 0.75, "yes": 0.25},
            "truncated": False,
            "words": [
                {"text": "Zoë", "start": 0, "end": 3, "weight": 0.25},
                {"text": "😀", "start": 4, "end": 5, "weight": 0.75},
            ],
        },
        {
            "text": "\ufffda",
            "label": "yes",
            "score": 0.625,
            "probabilities": {"no": 0.375, "yes": 0.625},
            "truncated": True,
            "words": [{"text": "a", "start": 1, "end": 2, "weight": 1.0}],
        },
    ]
    without = {k: v for k, v in outputs.items() if k in LABELS_ALONE}
    rows = mlflow_model.prediction_rows(["a", "b"], without)
    assert all("words" not in row for row in rows)
