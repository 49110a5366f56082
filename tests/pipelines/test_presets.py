"""Presets: local folders, and what is told about those that cannot be had."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import keras_nlp
import numpy as np
import pytest
import tensorflow as tf
from tiny_preset import VOCABULARY, bert, save_tiny_preset

from seqloom.pipelines import presets
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.presets import load_preset


def told(name):
    """What the user is told of a preset, when it is loaded or built."""
    with pytest.raises(UserError) as error:
        load_preset(str(name)).encoder()
    message = str(error.value)
    assert message.startswith(f"model.preset={name}")
    assert "\n" not in message
    return message


@pytest.fixture
def copied(preset, tmp_path):
    return shutil.copytree(preset, tmp_path / "copied")


def test_a_local_folder_is_loaded_with_its_weights(preset):
    found = load_preset(str(preset), frozen=True)
    layer = found.encoder()
    expected = {weight.path: weight for weight in bert().weights}
    for weight in layer.weights:
        np.testing.assert_array_equal(weight, expected[weight.path])
    assert layer.trainable_weights == []
    assert load_preset(str(preset), lora_rank=3).encoder().lora_rank == 3


def test_accents_are_dropped_for_a_vocabulary_without(preset):
    found = load_preset(str(preset)).pieces(tf.constant(["Zoë", "fïlm"]))
    assert found.to_list() == [[VOCABULARY.index("zoe")], [VOCABULARY.index("film")]]


def test_accents_are_kept_for_a_vocabulary_with(tmp_path):
    save_tiny_preset(tmp_path, [*VOCABULARY, "é", "##é", "zoë"])
    found = load_preset(str(tmp_path)).pieces(tf.constant(["Zoë"]))
    assert found.to_list() == [[VOCABULARY.index("'") + 3]]


def test_a_name_that_no_one_knows():
    message = told("bert_tiny_en_uncassed")
    assert "there is no such preset. Check the name: minilm needs no" in message


@pytest.mark.parametrize(
    "error", [ConnectionError("no route to host"), OSError("403: forbidden\nnow")]
)
def test_a_preset_that_cannot_be_downloaded(monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(keras_nlp.models.Tokenizer, "from_preset", fail)
    message = told("bert_tiny_en_uncased")
    assert f"cannot be downloaded ({type(error).__name__}: " in message
    assert str(error).replace("\n", " ") in message
    assert "Check the network and the name, or give a local folder" in message


def test_weights_that_cannot_be_downloaded(monkeypatch, preset):
    """The tokenizer comes first, the weights later."""
    loaded = keras_nlp.models.Tokenizer.from_preset(str(preset))
    monkeypatch.setattr(
        keras_nlp.models.Tokenizer, "from_preset", lambda *_, **__: loaded
    )

    def fail(*arguments, **options):
        raise TimeoutError("timed out")

    monkeypatch.setattr(keras_nlp.models.Backbone, "from_preset", fail)
    assert "cannot be downloaded (TimeoutError: timed out)" in told("hf://a/b")


def test_a_folder_that_is_none(tmp_path):
    assert "there is no such folder. Check the path" in told(tmp_path / "missing")
    assert "there is no such folder" in told("./missing")
    assert "there is no such folder" in told("missing/")


def test_a_folder_that_is_no_preset(tmp_path):
    message = told(tmp_path)
    assert "is no preset: the folder has no config.json" in message
    assert "save_to_preset" in message


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", b"{"),
        ("config.json", b'{"a": 1}'),
        ("tokenizer.json", None),
        ("assets/tokenizer/vocabulary.txt", None),
        ("model.weights.h5", None),
        ("model.weights.h5", b"half of it"),
    ],
)
def test_a_damaged_folder(copied, file, content):
    if content is None:
        (copied / file).unlink()
    else:
        (copied / file).write_bytes(content)
    message = told(copied)
    assert "the folder cannot be read as a preset (" in message
    assert "must belong to the same model" in message


def test_weights_of_another_model(copied, tmp_path):
    bert(hidden_dim=8).save_to_preset(str(tmp_path / "other"))
    shutil.copy(tmp_path / "other/model.weights.h5", copied)
    assert "the folder cannot be read as a preset (" in told(copied)


def write_vocabulary(folder, entries):
    path = folder / "assets/tokenizer/vocabulary.txt"
    path.write_text("".join(f"{entry}\n" for entry in entries), encoding="utf-8")


def test_a_vocabulary_larger_than_the_weights(copied):
    write_vocabulary(copied, [*VOCABULARY, "more"])
    size = len(VOCABULARY)
    message = told(copied)
    assert "its vocabulary does not match its weights" in message
    assert f"has {size + 1} entries, the embedding table {size} rows" in message


def test_a_vocabulary_much_smaller_than_the_weights(tmp_path):
    rows = len(VOCABULARY) + presets.MAX_UNUSED_ROWS
    folder = save_tiny_preset(tmp_path / "large", rows=rows)
    assert f"entries, the embedding table {rows:,} rows" in told(folder)
    padded = save_tiny_preset(tmp_path / "padded", rows=rows - 1)
    assert load_preset(str(padded)).encoder().units == 16


def test_a_model_of_another_kind(tmp_path):
    image = keras_nlp.models.VGGBackbone([1], [4], image_shape=(8, 8, 3))
    image.save_to_preset(str(tmp_path))
    assert "the folder cannot be read as a preset (" in told(tmp_path)


# === The packaged one, without its package ===


def test_minilm_is_a_folder_of_links_for_as_long_as_it_is_read(tmp_path, monkeypatch):
    def fetch(source, progress):
        path = tmp_path / source.name.rpartition("/")[2]
        path.write_text(source.name)
        return SimpleNamespace(path=path, origin="download")

    monkeypatch.setattr(presets, "fetch", fetch)
    said = []
    with presets._folder("minilm", None, said.append) as folder:
        names = {"config.json", "tokenizer_config.json", "vocab.txt"}
        files = {path.name: path.read_text() for path in Path(folder).iterdir()}
    assert set(files) == names | {"model.safetensors"}
    assert files["vocab.txt"] == "pretrained/minilm/vocab.txt"
    assert not Path(folder).exists()
    assert said == [presets.MINILM_NOTE]
    assert "Apache-2.0" in said[0]
