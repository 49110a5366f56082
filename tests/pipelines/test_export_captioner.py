"""Exports of a captioner: verified, as an MLflow model, and the rows they give."""

import json
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
import tensorflow as tf
from tiny_captioner import SCENES, captioner

from seqloom.pipelines.errors import UserError
from seqloom.pipelines.export import export_run
from seqloom.pipelines.golden import golden_images
from seqloom.pipelines.mlflow_model import prediction_rows
from seqloom.pipelines.trained import Trained
from seqloom.pipelines.verify import verify

COLUMNS = ["caption", "score", "error"]
IMAGES = [SCENES[0].image.read(), b"no image", SCENES[3].image.read()]


@pytest.fixture(scope="module")
def captioned(tmp_path_factory):
    """A run directory with an exported captioner, its task and its model."""
    folder = tmp_path_factory.mktemp("captioner")
    task, model = captioner()
    module = task.serving_module(model)
    task.serving_module = lambda _: module  # tracing it takes long
    run = SimpleNamespace(folder=folder)
    export_run(SimpleNamespace(task=task, model=model, run=run))
    return folder, task, model


def test_an_exported_captioner_is_verified(captioned):
    folder, task, model = captioned
    names = ("serving_default", "attention", "search")
    assert verify(folder, task.serving_module(model)) == [
        *[f"the reloaded SavedModel: {name} equal" for name in names],
        *[f"the model in memory: {name} equal" for name in names],
        "the MLflow model: equal",
    ]
    golden = json.loads((folder / "golden.json").read_text())
    outputs = golden["serving_default"]["outputs"]
    readable = [not error for error in outputs["errors"]]
    # The cut one, nothing, and a text are none.
    assert readable == [True] * 5 + [False] * 3
    assert len(set(outputs["captions"][:5])) >= 3
    assert outputs["captions"][5:] == ["", "", ""]
    assert golden["search"]["inputs"]["n_best"] == {"int32": 2}
    assert [len(found) for found in golden["search"]["outputs"]["scores"]] == [2] * 8


def test_golden_images_are_always_the_same():
    assert golden_images() == golden_images()
    shapes = [tf.io.decode_image(image).shape for image in golden_images()[:5]]
    assert [tuple(shape) for shape in shapes] == [
        (72, 96, 3),
        (72, 96, 3),
        (72, 20, 1),
        (72, 96, 4),
        (1, 1, 3),
    ]


def test_pyfunc_of_a_captioner(captioned):
    folder, task, model = captioned
    module = task.serving_module(model)
    loaded = mlflow.pyfunc.load_model(str(folder / "mlflow_model"))
    outputs = module.serving_default(tf.constant(IMAGES))
    for images in (IMAGES, np.array(IMAGES, object)):
        answers = loaded.predict(images)
        assert list(answers.columns) == COLUMNS
        for row, answer in enumerate(answers.to_dict("records")):
            assert answer["caption"].encode() == outputs["captions"][row]
            np.testing.assert_allclose(
                answer["score"], outputs["scores"][row], atol=1e-5
            )
            assert answer["error"].encode() == outputs["errors"][row]
    info = mlflow.models.get_model_info(str(folder / "mlflow_model"))
    assert info.signature.outputs.input_names() == COLUMNS
    assert "binary" in str(info.signature.inputs)


# === In memory ===


@pytest.fixture(scope="module")
def trained(captioned):
    _, task, model = captioned
    return Trained(SimpleNamespace(folder=None), None, task, model)


def test_rows_of_batches_are_those_one_by_one(trained):
    images = [*IMAGES, SCENES[4].image.read()]
    rows = trained.predict(images, batch_size=2)
    assert [bool(row["error"]) for row in rows] == [False, True, False, False]
    for image, row in zip(images, rows, strict=True):
        assert list(row) == COLUMNS
        [alone] = trained.predict([image])
        assert alone["caption"] == row["caption"]
        np.testing.assert_allclose(alone["score"], row["score"], atol=1e-5)
    assert trained.predict([]) == []


def test_options_of_a_prediction(trained):
    rows = trained.predict(IMAGES, n_best=2, attention=True)
    plain = trained.predict(IMAGES)
    for row, alone in zip(rows, plain, strict=True):
        assert row["captions"][0] == {"text": row["caption"], "score": row["score"]}
        assert row["caption"] == alone["caption"]
        weights = np.array(row["attention"])
        assert len(weights) == len(row["pieces"])
        if not row["error"]:
            assert weights.shape[1:] == (2, 2)
            np.testing.assert_allclose(weights.sum(axis=(1, 2)), 1, atol=1e-4)
    assert rows[1]["pieces"] == []
    json.dumps(rows, allow_nan=False)


def test_samples_of_a_stream_do_not_depend_on_its_batches(trained, monkeypatch):
    images = [IMAGES[0]] * 5
    options = {"sample": True, "n_best": 2, "seed": 3, "max_length": 6}
    monkeypatch.setattr("seqloom.pipelines.trained.SAMPLED_AT_ONCE", 2)
    rows = list(trained.stream(iter(images), 3, **options))
    assert rows == trained.predict(images, batch_size=5, **options)
    drawn = [tuple(found["text"] for found in row["captions"]) for row in rows]
    assert len(set(drawn)) == 5


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"beam": 999}, "beam=999 is larger than the vocabulary of"),
        ({"beem": 3}, "Writing has no option 'beem'. Did you mean 'beam'?"),
        ({"max_length": -1}, "max_length must be 0 or more, got -1"),
        ({"seed": 3}, "seed=3 is for drawing at random, but sample=False looks"),
    ],
)
def test_options_that_make_no_sense(trained, options, text):
    with pytest.raises(UserError) as error:
        trained.predict(IMAGES, **options)
    assert text in str(error.value)


def test_without_attention_there_is_none_to_show():
    task, model = captioner(attention="none")
    trained = Trained(SimpleNamespace(folder=None), None, task, model)
    with pytest.raises(UserError, match=r"looks at nothing while it writes \(model.at"):
        trained.predict(IMAGES, attention=True)


# === Rows by hand ===


def test_caption_rows_by_hand():
    outputs = {
        "captions": [b"two dogs", b""],
        "scores": [-0.25, 0.0],
        "log_probabilities": [-0.5, 0.0],
        "errors": [b"", b"no image"],
    }
    rows = prediction_rows([b"...", b"x"], outputs)
    assert rows == [
        {"caption": "two dogs", "score": -0.25, "error": ""},
        {"caption": "", "score": 0.0, "error": "no image"},
    ]
    several = {
        "captions": [[b"a dog", b"dogs"], [b"", b""]],
        "scores": [[-0.25, -0.75], [0.0, -np.inf]],
        "errors": [b"", b"no image"],
        "pieces": ["▁a".encode(), "▁dog".encode()],
        "lengths": [2, 0],
        "weights": [[[0.75, 0.25]], [[0.5, 0.5]]],
    }
    first, second = prediction_rows([b"...", b"x"], several)
    assert first["captions"] == [
        {"text": "a dog", "score": -0.25},
        {"text": "dogs", "score": -0.75},
    ]
    assert first["pieces"] == ["▁a", "▁dog"]
    assert first["attention"] == [[[0.75, 0.25]], [[0.5, 0.5]]]
    assert second["captions"] == [{"text": "", "score": 0.0}]
    assert second["pieces"] == second["attention"] == []
