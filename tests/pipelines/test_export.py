import ast
import json
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from seqloom.pipelines import export as exports
from seqloom.pipelines import mlflow_model
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.export import export, export_run, save_pyfunc
from seqloom.pipelines.verify import VerificationError, verify
from seqloom.tasks.records import TaggedSentence
from seqloom.tasks.tagging import TaggingTask

EXPORTS = {"saved_model", "golden.json", "mlflow_model"}
TEXTS = ["Zoë met Ada's 😀 in Oslo.", "", "Rhea"]


def small_task(spans=True):
    words = ["Rhea", "met", "Ada", "in", "Oslo", "."]
    tags = ["B-PER", "O", "B-PER", "O", "B-LOC", "I-LOC"] if spans else list("ABCDAB")
    task = TaggingTask(
        "ner" if spans else "pos",
        spans,
        model={"word_units": 8, "units": 6, "char_units": 4},
    )
    task.fit_vocabulary([TaggedSentence(tuple(words), tuple(tags))] * 5)
    return task


def random_model(task, seed=3):
    """Untrained, with weights large enough for the tags to vary."""
    model = task.build_model()
    draw = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(draw.normal(0, 0.7, variable.shape))
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A run directory with everything that is exported, and the module of it."""
    folder = tmp_path_factory.mktemp("run")
    task = small_task()
    module = task.serving_module(random_model(task))
    export(module, folder)
    save_pyfunc(folder)
    return folder, module


@pytest.fixture(scope="module")
def pyfunc(exported):
    return mlflow.pyfunc.load_model(str(exported[0] / "mlflow_model"))


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(str(exported[0] / "saved_model"))


@pytest.fixture
def load_once(loaded, pyfunc, monkeypatch):
    """Loading takes seconds, and the first call of what was loaded takes more."""
    monkeypatch.setattr(tf.saved_model, "load", lambda _: loaded)
    monkeypatch.setattr(mlflow.pyfunc, "load_model", lambda _: pyfunc)


def test_exports_answer_as_the_model_in_memory(exported):
    folder, module = exported
    assert verify(folder, module) == [
        "the reloaded SavedModel: serving_default equal",
        "the reloaded SavedModel: tokens equal",
        "the model in memory: serving_default equal",
        "the model in memory: tokens equal",
        "the MLflow model: equal",
    ]
    assert {path.name for path in folder.iterdir()} == EXPORTS


def test_golden_examples_hold_the_hard_texts(exported):
    golden = json.loads((exported[0] / "golden.json").read_text())
    outputs = golden["serving_default"]["outputs"]
    assert len(exports.GOLDEN_TEXTS) == len(outputs["row_lengths"])
    assert b"" in exports.GOLDEN_TEXTS
    assert 10_000 in map(len, exports.GOLDEN_TEXTS)
    assert len(set(outputs["tags"])) > 2
    with pytest.raises(UnicodeDecodeError):
        b"".join(exports.GOLDEN_TEXTS).decode()


def test_saved_model_signatures(loaded):
    assert set(loaded.signatures) == {"serving_default", "tokens"}
    outputs = loaded.signatures["serving_default"](texts=tf.constant(TEXTS))
    assert outputs["row_lengths"].numpy().tolist() == [8, 0, 1]


def test_another_model_is_told_from_the_golden_examples(exported, load_once):
    folder, _ = exported
    task = small_task()
    other = task.serving_module(random_model(task, seed=4))
    with pytest.raises(VerificationError, match=r"model in memory, signature serving"):
        verify(folder, other)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("scores", lambda score: score + 2e-5, r"scores\[0\]: expected"),
        ("tags", lambda tag: tag + "X", r"tags\[0\]: expected '.*X', got '"),
        ("entity_ends", lambda end: end + 1, r"entity_ends\[0\]: expected"),
    ],
)
def test_tampered_golden_examples_are_found(
    exported, load_once, tmp_path, name, change, message
):
    folder, _ = exported
    golden = json.loads((folder / "golden.json").read_text())
    values = golden["serving_default"]["outputs"][name]
    values[0] = change(values[0])
    (tmp_path / "golden.json").write_text(json.dumps(golden))
    (tmp_path / "saved_model").symlink_to(folder / "saved_model")
    with pytest.raises(VerificationError, match=message):
        verify(tmp_path)


def test_tampered_mlflow_model_is_found(exported, load_once, pyfunc, monkeypatch):
    class Liar:
        def predict(self, texts):
            answers = pyfunc.predict(texts)
            answers.at[0, "scores"] = [0.5] * len(answers.at[0, "scores"])
            return answers

    monkeypatch.setattr(mlflow.pyfunc, "load_model", lambda _: Liar())
    with pytest.raises(VerificationError, match="the MLflow model, row 0, scores"):
        verify(exported[0])


def test_missing_and_broken_files(exported, tmp_path):
    with pytest.raises(UserError, match=r"no golden examples at .*make export RUN="):
        verify(tmp_path)
    (tmp_path / "golden.json").write_text("{")
    with pytest.raises(UserError, match="is no JSON file"):
        verify(tmp_path)
    (tmp_path / "golden.json").write_text((exported[0] / "golden.json").read_text())
    with pytest.raises(UserError, match="There is no SavedModel at"):
        verify(tmp_path)


# === The whole of it, for a run ===


def test_run_without_spans(tmp_path):
    task = small_task(spans=False)
    run = SimpleNamespace(folder=tmp_path)
    export_run(SimpleNamespace(task=task, model=random_model(task), run=run))
    assert {path.name for path in tmp_path.iterdir()} == EXPORTS
    answers = mlflow.pyfunc.load_model(str(tmp_path / "mlflow_model")).predict(["Ada"])
    assert list(answers.columns) == ["tokens", "tags", "scores"]


def test_failed_verification_leaves_the_earlier_export(tmp_path, monkeypatch):
    def write(folder, content):
        for name in ("saved_model", "mlflow_model"):
            (folder / name).mkdir()
            (folder / name / "file").write_text(content)
        (folder / "golden.json").write_text(content)

    def differ(_):
        raise VerificationError("tags[0]")

    write(tmp_path, "earlier")
    task = SimpleNamespace(serving_module=lambda _: None)
    run = SimpleNamespace(folder=tmp_path)
    trained = SimpleNamespace(task=task, model=None, run=run)
    monkeypatch.setattr(exports, "export", lambda _, folder: write(folder, "new"))
    monkeypatch.setattr(exports, "save_pyfunc", lambda _: None)
    for check, content in ((differ, "earlier"), (lambda _: None, "new")):
        monkeypatch.setattr(exports, "verify", check)
        with pytest.raises(VerificationError) if check is differ else nullcontext():
            export_run(trained)
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert [path.read_text() for path in files] == [content] * 3
        assert {path.name for path in tmp_path.iterdir()} == EXPORTS


def test_a_folder_that_cannot_be_written(tmp_path):
    task = small_task()
    run = SimpleNamespace(folder=tmp_path / "missing")
    trained = SimpleNamespace(task=task, model=random_model(task), run=run)
    with pytest.raises(UserError, match=r"could not be exported into .*missing"):
        export_run(trained)


# === The MLflow model ===


@pytest.mark.parametrize(
    "given",
    [
        TEXTS,
        np.array(TEXTS),
        np.array(TEXTS, object),
        pd.DataFrame({"text": TEXTS}),
        pd.DataFrame({"text": TEXTS, "id": [1, 2, 3]}),
        np.array([text.encode() for text in TEXTS], object),
    ],
    ids=["list", "numpy str", "numpy object", "table", "wide table", "bytes"],
)
def test_pyfunc_takes_texts_in_any_form(pyfunc, exported, given):
    answers = pyfunc.predict(given)
    assert list(answers.columns) == ["tokens", "tags", "scores", "entities"]
    expected = mlflow_model.prediction_rows(
        TEXTS, exported[1].serving_default(tf.constant(TEXTS))
    )
    for row, answer in zip(expected, answers.to_dict("records"), strict=True):
        assert {**answer, "text": row["text"]} == row
    json.dumps(answers.to_dict("records"))


@pytest.mark.parametrize(
    "given",
    [pd.DataFrame({"text": pd.Series([], dtype="str")}), np.array([], object)],
    ids=["table", "numpy"],
)
def test_pyfunc_without_rows(pyfunc, given):
    answers = pyfunc.predict(given)
    assert len(answers) == 0
    assert list(answers.columns) == ["tokens", "tags", "scores", "entities"]


def test_pyfunc_refuses_numbers(pyfunc):
    with pytest.raises(mlflow.MlflowException, match="Incompatible input types"):
        pyfunc.predict(pd.DataFrame({"text": [1.5]}))


def test_a_row_without_text_is_refused():
    with pytest.raises(ValueError, match="Row 1 holds None, which is no text"):
        mlflow_model.check_texts(["Ada", None])


def test_pyfunc_states_types_and_packages(exported):
    folder = exported[0] / "mlflow_model"
    info = mlflow.models.get_model_info(str(folder))
    assert info.signature.inputs.input_types()[0] == mlflow.types.DataType.string
    names = info.signature.outputs.input_names()
    assert names == ["tokens", "tags", "scores", "entities"]
    packages = (folder / "requirements.txt").read_text().split()
    assert set(packages) == {
        f"{name}=={version(name)}"
        for name in ("tensorflow", "tensorflow-text", "mlflow")
    }
    assert not list(folder.rglob("*.pkl"))


def test_pyfunc_code_imports_nothing_of_ours():
    tree = ast.parse(Path(mlflow_model.__file__).read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
    assert imported == {
        "collections",
        "typing",
        "numpy",
        "mlflow",
        "pandas",
        "tensorflow",
        "tensorflow_text",
    }
