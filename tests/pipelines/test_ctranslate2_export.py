"""Exporting a run for CTranslate2: compared, written whole, and mistakes told."""

import importlib.util
import json
import sys
import types

import numpy as np
import pytest
from tiny_translator import PAIRS
from typer.testing import CliRunner

from seqloom.pipelines import cli, ctranslate2_export
from seqloom.pipelines.catalogue import build_task
from seqloom.pipelines.ctranslate2_export import (
    Comparison,
    check_identical,
    export_ctranslate2,
)
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.run import Run
from seqloom.pipelines.settings import resolve, to_yaml
from seqloom.pipelines.verify import VerificationError
from seqloom.tasks.records import SentencePair

SMALL = [
    "model.kind=transformer",
    "model.vocabulary_size=320",
    "model.units=8",
    "model.num_layers=1",
    "model.num_heads=2",
    "model.feed_forward_units=12",
    "model.max_extra=3",
]


def make_run(folder, *settings, sentences=120):
    """A run of an untrained translator whose answers differ from text to text."""
    run = Run(folder)
    folder.mkdir()
    resolved = resolve("translation", None, [*SMALL, *settings])
    run.config_path.write_text(to_yaml(resolved))
    task = build_task(resolved.config)
    task.fit_vocabulary([SentencePair(*pair) for pair in PAIRS] * 3)
    task.save_vocabulary(run.vocabulary_dir)
    model = task.build_model()
    random = np.random.default_rng(7)
    for weight in model.trainable_weights:
        if not weight.path.endswith("gamma"):
            weight.assign(random.normal(0, 1.0, weight.shape))
    run.weights_path.parent.mkdir()
    model.save_weights(run.weights_path)
    words = " ".join(source for source, _ in PAIRS).split()
    rows = [
        {"source": " ".join(random.choice(words, 1 + row % 7))}
        for row in range(sentences)
    ]
    run.predictions_dir.mkdir()
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (run.predictions_dir / "test.jsonl").write_text(text)
    run.metrics_path.write_text('{"test": {"bleu": 1.0}}')
    return run


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    pytest.importorskip("ctranslate2")
    run = make_run(tmp_path_factory.mktemp("translator") / "run")
    export_ctranslate2(run.folder)
    return run


def test_it_is_compared_on_the_test_sentences(exported, capsys):
    folder = export_ctranslate2(exported.folder)  # again, in place of the first
    assert folder == exported.folder / "ctranslate2"
    assert (folder / "model.bin").is_file()
    assert (folder / "README.txt").is_file()
    assert exported.metrics() == {
        "test": {"bleu": 1.0},
        "ctranslate2": {"identical": 1.0, "sentences": 120},
    }
    assert capsys.readouterr().out == (
        f"Exported and verified: {folder}\n"
        "Of 120 test sentences 100.00% have the same greedy translation as in "
        "TensorFlow.\n"
    )
    names = {path.name for path in exported.folder.iterdir()}
    assert not any(name.startswith(".") for name in names)


def test_its_translations_differ_from_text_to_text(exported):
    """Or the comparison would show nothing."""
    trained = ctranslate2_export.load(exported.folder)
    sources = ["Rhea met Ada", "Save changes ?", "5 of 7", "Ada was not in Paris !"]
    folder = exported.folder / "ctranslate2"
    texts = ctranslate2_export.translate_greedily(trained, folder, sources)
    assert len(set(texts)) == len(sources)


def test_another_model_is_found_and_nothing_changes(exported, monkeypatch):
    before = (exported.folder / "ctranslate2" / "model.bin").read_bytes()

    def save_another(model, task, folder):
        norm = model.decoder.layers[0].norms[0]
        norm.gamma.assign(norm.gamma + 1.5)
        save(model, task, folder)
        norm.gamma.assign(norm.gamma - 1.5)

    save = ctranslate2_export.save_ctranslate2
    monkeypatch.setattr(ctranslate2_export, "save_ctranslate2", save_another)
    message = r"CTranslate2 gives \d+ of 120 test sentences another greedy translation"
    with pytest.raises(VerificationError, match=message):
        export_ctranslate2(exported.folder)
    assert (exported.folder / "ctranslate2" / "model.bin").read_bytes() == before
    assert exported.metrics()["ctranslate2"]["identical"] == 1.0


@pytest.mark.parametrize(
    ("differing", "sentences", "good"),
    [(0, 1, True), (1, 20, True), (2, 20, False), (10, 1000, True), (11, 1000, False)],
)
def test_one_in_a_hundred_may_differ(differing, sentences, good):
    found = Comparison([("a", "b", "c")] * differing, sentences)
    if good:
        check_identical(found)
        return
    with pytest.raises(VerificationError, match="'a' becomes 'c', not 'b'"):
        check_identical(found)


# === Mistakes ===


def test_a_missing_package(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'seqloom\[ctranslate2\]'"):
        export_ctranslate2(tmp_path)


@pytest.fixture
def installed(monkeypatch):
    """These mistakes are told whether ctranslate2 is there or not."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


def test_a_run_of_another_task(installed, tmp_path):
    run = Run(tmp_path)
    run.config_path.write_text(to_yaml(resolve("ner")))
    with pytest.raises(UserError, match="runs translators, and .* is a run of ner"):
        export_ctranslate2(tmp_path)


def test_a_recurrent_translator(installed, tmp_path):
    run = make_run(tmp_path / "run", "model.kind=recurrent")
    message = "run cannot be exported: CTranslate2 runs Transformers only"
    with pytest.raises(UserError, match=message):
        export_ctranslate2(run.folder)
    assert not (run.folder / "ctranslate2").exists()


@pytest.mark.parametrize("content", [None, "", "{"])
def test_no_test_sentences(installed, tmp_path, content):
    run = Run(tmp_path)
    run.config_path.write_text(to_yaml(resolve("translation", "transformer")))
    if content is not None:
        run.predictions_dir.mkdir()
        (run.predictions_dir / "test.jsonl").write_text(content)
    with pytest.raises(UserError, match="Make it again: make evaluate RUN="):
        export_ctranslate2(tmp_path)


def test_command_line(monkeypatch, tmp_path):
    calls = []
    stand_in = types.ModuleType("seqloom.pipelines.ctranslate2_export")
    stand_in.export_ctranslate2 = calls.append
    monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
    monkeypatch.setattr(cli, "import_engine", lambda: None)
    (tmp_path / "config.yaml").write_text(
        to_yaml(resolve("translation", "transformer"))
    )

    def run(name):
        arguments = ["export", "--run", str(tmp_path), "--format", name]
        return CliRunner().invoke(cli.app, arguments)

    assert run("ctranslate2").exit_code == 0
    assert calls == [tmp_path.resolve()]
    result = run("onnx")
    assert result.exit_code == 2
    message = "There is no format 'onnx'. Set it to one of saved_model, ctranslate2."
    assert message in result.stderr
