"""From a config to an exported model: the shipped configs, shrunk, and own files.

The trained run of the user's own files is the one that is looked at closely.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from toy_training import TINY
from typer.testing import CliRunner

import seqloom.configs
from seqloom.pipelines import cli, load, train, workflow
from seqloom.pipelines.catalogue import build_task
from seqloom.pipelines.data import load_splits
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.mlflow_model import prediction_rows
from seqloom.pipelines.run import Run
from seqloom.pipelines.settings import read_resolved, resolve
from seqloom.pipelines.trained import Trained
from seqloom.pipelines.verify import verify
from seqloom.tasks.synthetic import synthetic_sentences

SHRUNK = (
    "data.limit=32",
    "training.max_steps=2",
    "training.batch_tokens=200",
    "tracking.enabled=false",
)
TINY_CLASSIFIER = (
    "data.corpus=synthetic",
    "data.phrases=false",
    "model.word_units=8",
    "model.units=8",
    "model.num_heads=2",
    "model.feed_forward_units=12",
)
TINY_TRANSLATOR = (
    "model.vocabulary_size=400",
    "model.units=8",
    "model.num_layers=1",
    "model.num_heads=2",
    "model.feed_forward_units=12",
    "model.max_ratio=1",
    "model.max_extra=2",
)
TINY_CAPTIONER = (
    "model.vocabulary_size=320",
    "model.filters=[4,4,8]",
    "model.units=8",
    "model.embedding_units=8",
    "model.num_heads=2",
    "model.feed_forward_units=12",
    "model.max_written=5",
)
# What a finished run holds.
CONTENTS = (
    "config.yaml",
    "metrics.json",
    "history.jsonl",
    "predictions/test.jsonl",
    "vocabulary",
    "checkpoints/checkpoint-00000002.npz",
    "weights/best.weights.h5",
    "figures/confusion.png",
    "figures/learning_curves.png",
    "saved_model/saved_model.pb",
    "golden.json",
    "mlflow_model/MLmodel",
)
TEXTS = ["Rhea met Ada in Paris.", "", "Zoë ❤️ 北京", "word " * 300]
CONFIG_DIR = Path(next(iter(seqloom.configs.__path__)))
CONFIGS = sorted(
    str(path.relative_to(CONFIG_DIR).with_suffix(""))
    for path in CONFIG_DIR.rglob("*.yaml")
)
# Trained to the end: one of every kind of task, that of tagging with a pretrained
# encoder; below, files of the user's own do the same without.
WHOLE = ("sentiment", "translation", "captioning", "ner/minilm")
# The encoder of others is the same, on data that a test would have to replace.
VARIANTS = [c for c in CONFIGS if c not in WHOLE and not c.endswith("_minilm")]


def test_the_issue_s_configs_are_shipped():
    assert {"ner", "pos", "ner/wnut17", "pos/ud_ewt"} <= set(CONFIGS)
    kinds = ("simple_rnn", "lstm", "gru", "attention", "transformer", "minilm", "sst5")
    assert {"ner/minilm", "pos/minilm", "sentiment"} <= set(CONFIGS)
    assert {f"sentiment/{kind}" for kind in kinds} <= set(CONFIGS)


def resolve_shrunk(config: str, runs_dir: Path, preset: Path):
    task, _, name = config.partition("/")
    settings = [*SHRUNK, f"runs_dir={runs_dir}"]
    if task == "sentiment":
        settings += TINY_CLASSIFIER
    elif task == "translation":
        settings += TINY_TRANSLATOR
    elif task == "captioning":
        settings += TINY_CAPTIONER
    elif "minilm" not in name:
        settings += TINY
    if "minilm" in name:
        settings += [f"model.preset={preset}", "data.corpus=synthetic"]
    resolved = resolve(task, name or None, settings)
    corpus = resolved.config.data.corpus
    made = ("conll2003", "synthetic", "localization", "scenes")
    if corpus not in made and not os.environ.get("SEQLOOM_MIRROR"):
        pytest.skip(f"SEQLOOM_MIRROR is not set: no mirror to read {corpus} from")
    try:
        load_splits(resolved.config.data, task, seed=1)
    except UserError as error:
        pytest.skip(f"{corpus} cannot be fetched: {error}")
    return resolved


@pytest.mark.parametrize("config", WHOLE)
def test_a_shipped_config_trains_and_exports(config, preset, tmp_path):
    resolved = resolve_shrunk(config, tmp_path, preset)
    contents = CONTENTS
    if resolved.config.task == "translation":
        contents = [name for name in contents if "confusion" not in name]
        contents += ["vocabulary/source.model", "figures/bleu_by_length.png"]
    if resolved.config.task == "captioning":
        contents = [name for name in contents if "confusion" not in name]
        contents += ["vocabulary/target.model", "figures/contact_sheet.png"]
        contents += ["figures/attention_1.png"]
    folder = workflow.train(resolved)
    missing = [name for name in contents if not (folder / name).exists()]
    assert missing == []
    assert (folder.parent / "latest").resolve() == folder
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["training"]["steps"] == 2
    tasks = {"ner": "f1", "translation": "piece_accuracy"}
    tasks["captioning"] = "distinct"
    wanted = tasks.get(resolved.config.task, "accuracy")
    for split in ("validation", "test"):
        assert 0 <= metrics[split][wanted] <= 1
        assert metrics[split]["loss"] > 0
    assert read_resolved(folder / "config.yaml").config == resolved.config
    if config.startswith("sentiment"):
        shown = {path.name for path in (folder / "figures").iterdir()}
        assert {"attention.html", "highlights.png", "reliability.png"} <= shown
    if "minilm" in config:
        assert (folder / "vocabulary/preset/config.json").is_file()


@pytest.mark.parametrize("config", VARIANTS)
def test_a_shipped_variant_learns_with_all_its_weights(config, preset, tmp_path):
    """A batch of its data gives each of them a gradient; the rest is its task's."""
    config = resolve_shrunk(config, tmp_path, preset).config
    splits = load_splits(config.data, config.task, config.seed)
    task = build_task(config, spans=splits.scheme != "none")
    task.fit_vocabulary(splits.train)
    model = task.build_model()
    examples = task.examples(splits.train, training=True)
    batch = task.batch(examples, tf.range(3, dtype=tf.int64), True, (1, 2))
    with tf.GradientTape() as tape:
        total, weight = task.loss(model, batch, model(batch[0], training=True))
        loss = total / tf.cast(weight, total.dtype)
    assert 0 < float(loss) < 50
    for value, gradient in zip(
        model.trainable_variables,
        tape.gradient(loss, model.trainable_variables),
        strict=True,
    ):
        assert gradient is not None, value.path
        assert np.isfinite(tf.convert_to_tensor(gradient)).all(), value.path


# === Files of one's own ===


@pytest.fixture(scope="module")
def own_files(tmp_path_factory) -> Path:
    """CoNLL files of four columns: word, number, tag, a column that is not meant."""
    folder = tmp_path_factory.mktemp("own")
    for split, size in (("train", 60), ("dev", 20), ("test", 20)):
        sentences = synthetic_sentences("ner", split, num_sentences=size)
        blocks = [
            "".join(
                f"{token}\t{number}\t{tag}\tX\n"
                for number, (token, tag) in enumerate(
                    zip(sentence.tokens, sentence.tags, strict=True)
                )
            )
            for sentence in sentences
        ]
        (folder / f"{split}.conll").write_text("\n".join(blocks), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def own_run(own_files) -> Run:
    """A run of the Python API on one's own files; the test score need not be good."""
    settings = [
        *TINY,
        *(f"data.{s}={own_files}/{s}.conll" for s in ("train", "dev", "test")),
        "data.tag_column=2",
        "training.epochs=3",
        "training.batch_tokens=100",
        "training.learning_rate=0.03",
        "training.warmup_steps=0",
        "tracking.enabled=false",
        f"runs_dir={own_files}/runs",
    ]
    return Run.open(train("ner", settings=settings))


@pytest.fixture(scope="module")
def trained(own_run) -> Trained:
    """That run, back in memory."""
    return load(own_run.folder)


def test_the_tag_column_is_the_one_that_was_named(own_run):
    content = json.loads((own_run.vocabulary_dir / "tagging.json").read_text("utf-8"))
    assert content["tags"] == [
        f"{p}-{t}" for p in "BI" for t in ("LOC", "ORG", "PER")
    ] + ["O"]
    assert content["spans"]


def test_all_that_a_run_holds_is_there(own_run):
    wanted = [name for name in CONTENTS if not name.startswith("checkpoints")]
    missing = [name for name in wanted if not (own_run.folder / name).exists()]
    assert missing == []
    assert list(own_run.checkpoint_dir.glob("checkpoint-*.npz"))
    assert (own_run.folder.parent / "latest").resolve() == own_run.folder.resolve()


def test_predictions_are_written_in_the_order_of_the_file(own_run):
    lines = (own_run.predictions_dir / "test.jsonl").read_text("utf-8").splitlines()
    sentences = synthetic_sentences("ner", "test", num_sentences=20)
    for line, sentence in zip(lines, sentences, strict=True):
        row = json.loads(line)
        assert row["tokens"] == list(sentence.tokens)
        assert row["reference"] == list(sentence.tags)
        assert len(row["prediction"]) == len(row["scores"]) == len(row["tokens"])


def test_the_loaded_run_answers_as_the_saved_model(own_run, trained):
    answers = trained.predict(TEXTS, batch_size=3)
    saved = tf.saved_model.load(str(own_run.saved_model_dir))
    outputs = saved.signatures["serving_default"](texts=tf.constant(TEXTS))
    for answer, wanted in zip(answers, prediction_rows(TEXTS, outputs), strict=True):
        assert answer["text"] == wanted["text"]
        assert answer["tokens"] == wanted["tokens"]
        assert answer["tags"] == wanted["tags"]
        np.testing.assert_allclose(answer["scores"], wanted["scores"], atol=1e-5)
        assert [e["text"] for e in answer["entities"]] == [
            e["text"] for e in wanted["entities"]
        ]


def test_the_exports_are_those_of_the_loaded_run(own_run, trained):
    compared = verify(own_run.folder, trained.task.serving_module(trained.model))
    assert [line.partition(":")[0] for line in compared] == [
        "the reloaded SavedModel",
        "the reloaded SavedModel",
        "the model in memory",
        "the model in memory",
        "the MLflow model",
    ]


def test_evaluating_again_gives_the_same_numbers(own_run):
    path = own_run.predictions_dir / "test.jsonl"
    before, predictions = own_run.metrics(), path.read_bytes()
    path.unlink()
    values = workflow.evaluate(own_run.folder)
    assert values == before["test"]
    assert own_run.metrics() == before
    assert path.read_bytes() == predictions


def test_the_weights_are_those_of_the_best_validation(own_run, trained):
    from seqloom.pipelines.evaluation import Evaluator

    splits = load_splits(trained.config.data, "ner", seed=1)
    found = Evaluator(trained.task, trained.model, splits.dev).measure()
    metrics = own_run.metrics()
    assert found == pytest.approx(metrics["validation"], abs=1e-6)
    best = metrics["training"]["best_step"]
    rows = [row for row in own_run.history() if "val_f1" in row]
    assert max(rows, key=lambda row: row["val_f1"])["step"] == best


# === The user's mistakes, through the command line ===


@pytest.fixture
def told(monkeypatch):
    """Gives what a failing command says on standard error."""
    monkeypatch.setattr(cli, "import_engine", lambda: None)
    monkeypatch.delenv("SEQLOOM_DEBUG", raising=False)

    def told(*arguments: str) -> str:
        result = CliRunner().invoke(cli.app, arguments)
        assert result.exit_code == 2, result.output
        assert isinstance(result.exception, SystemExit)
        assert "Traceback" not in result.output
        return " ".join(result.stderr.split())

    return told


@pytest.mark.parametrize("verb", ["evaluate", "export", "predict"])
def test_a_missing_run_is_told(verb, told, tmp_path):
    text = ["--text", "Rhea"] if verb == "predict" else []
    message = told(verb, "--run", str(tmp_path / "no" / "run"), *text)
    assert "There is no run at" in message
    assert "make train TASK=" in message


@pytest.mark.parametrize("verb", ["evaluate", "export"])
def test_a_folder_that_is_no_run_is_told(verb, told, tmp_path):
    message = told(verb, "--run", str(tmp_path))
    assert "is not a run directory: it has no config.yaml" in message


@pytest.mark.parametrize("verb", ["evaluate", "export", "predict"])
def test_a_run_without_weights_is_told_how_to_go_on(verb, told, own_run, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_bytes(own_run.config_path.read_bytes())
    text = ["--text", "Rhea"] if verb == "predict" else []
    message = told(verb, "--run", str(run), *text)
    assert "has no trained weights yet" in message
    assert f"make train TASK=ner RESUME={run}" in message


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("weights/best.weights.h5", "weights/best.weights.h5"),
        ("vocabulary/tagging.json", "vocabulary"),
        ("metrics.json", "metrics.json"),
    ],
)
def test_a_damaged_run_is_told(damage, named, told, own_run, tmp_path):
    run = tmp_path / "run"
    for name in (
        "config.yaml",
        "metrics.json",
        "weights/best.weights.h5",
        *(f"vocabulary/{path.name}" for path in own_run.vocabulary_dir.iterdir()),
    ):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        content = (own_run.folder / name).read_bytes()
        if name == damage:
            content = content[: len(content) // 2]
        (run / name).write_bytes(content)
    message = told("evaluate", "--run", str(run))
    assert f"{run / named} cannot be read" in message


def test_a_model_that_cannot_be_built_is_told(told, tmp_path):
    message = told(
        *("train", "ner", "--set", "data.corpus=synthetic", "--set", "data.limit=8"),
        *("--set", "model.residual=true", "--set", "model.num_layers=-1"),
        *("--set", f"runs_dir={tmp_path}", "--set", "tracking.enabled=false"),
    )
    assert "model.num_layers" in message


def test_too_little_data_for_the_replicas_is_told(told, tmp_path):
    settings = [*TINY, "data.corpus=synthetic", "data.limit=3", f"runs_dir={tmp_path}"]
    settings += ["training.accumulation=4", "tracking.enabled=false"]
    options = [part for setting in settings for part in ("--set", setting)]
    message = told("train", "ner", *options)
    assert "3 training examples cannot fill the 4 batches of one step" in message


def test_late_logical_devices_are_told(told, tmp_path):
    tf.constant(0)
    settings = ["data.corpus=synthetic", "training.logical_devices=3"]
    settings += ["tracking.enabled=false", f"runs_dir={tmp_path}"]
    options = [part for setting in settings for part in ("--set", setting)]
    message = told("train", "ner", *options)
    assert "training.logical_devices=3 comes too late" in message
