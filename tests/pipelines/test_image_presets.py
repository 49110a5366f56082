"""Image backbones: found by name or folder, and what is told of those that are not."""

import os
import random
import shutil
from pathlib import Path

import keras
import keras_nlp
import numpy as np
import pytest
import tensorflow as tf
from tiny_backbone import (
    FILTERS,
    OFFSET,
    SCALE,
    save_converter,
    save_tiny_backbone,
    vgg,
)

from seqloom.pipelines import image_presets
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.image_presets import OWN, OWN_FILES, OWN_FOLDER
from seqloom.pipelines.image_presets import load_image_preset as load
from seqloom.pipelines.sources import file_sha256

MIRROR = os.environ.get("SEQLOOM_MIRROR", "")
needs_mirror = pytest.mark.skipif(
    not MIRROR or not Path(MIRROR, OWN_FOLDER).is_dir(),
    reason=f"SEQLOOM_MIRROR names no folder that has {OWN_FOLDER}",
)
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 12, 12, 3)).astype("float32")
SUITABLE = "Give a convolutional image backbone that reads images of any size"


def told(name):
    """What the user is told of a preset, when it is found or its weights are read."""
    with pytest.raises(UserError) as error:
        load(str(name)).encoder(frozen=True)
    message = str(error.value)
    assert message.startswith(f"model.preset={name}")
    assert "\n" not in message
    return message


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copied")


def saved(backbone, folder, converter=None):
    backbone.save_to_preset(str(folder))
    if converter:
        converter.save_to_preset(str(folder))
    return folder


# === Folders ===


def test_a_folder_is_loaded_with_its_weights_and_its_preprocessing(folder):
    preset = load(str(folder), say=pytest.fail)
    assert (preset.scale, preset.offset) == (SCALE, OFFSET)
    layer = preset.encoder(frozen=True)
    assert layer.name == "eye"
    expected = vgg()(IMAGES * SCALE + np.array(OFFSET, "float32"))
    np.testing.assert_allclose(layer(IMAGES), expected, atol=1e-4)
    assert layer.trainable_weights == []
    assert preset.encoder(frozen=False).trainable_weights


def test_each_encoder_has_weights_of_its_own(folder):
    preset = load(str(folder))
    first, second = preset.encoder(frozen=False), preset.encoder(frozen=False)
    first.weights[0].assign_add(tf.ones_like(first.weights[0]))
    np.testing.assert_array_equal(second.weights[0], vgg().weights[0])


def test_an_encoder_computes_in_what_it_is_told(folder):
    preset = load(str(folder))
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        usual, told_so = preset.encoder(True), preset.encoder(True, dtype="float32")
    finally:
        keras.config.set_dtype_policy("float32")
    assert usual(IMAGES).dtype == tf.bfloat16
    assert told_so(IMAGES).dtype == tf.float32


def test_an_encoder_is_made_under_a_strategy(folder):
    preset = load(str(folder))
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        layer = preset.encoder(frozen=False)
    copies = strategy.experimental_local_results(layer.weights[0].value)
    assert len(copies) == 2


@pytest.mark.parametrize("size", [4, 12, 15])
def test_the_shape_of_grids_is_that_of_the_output(folder, size):
    preset = load(str(folder))
    output = preset.encoder(frozen=True)(np.zeros((1, size, size, 3), "float32"))
    assert preset.grid_shape(size) == tuple(output.shape[1:])
    assert preset.grid_shape(size) == (size // 4, size // 4, FILTERS)


def test_no_random_number_is_used_up(folder):
    """Or a model would begin otherwise when features are in the cache."""
    keras.utils.set_random_seed(1)
    before = random.getstate()
    preset = load(str(folder))
    preset.grid_shape(12)
    preset.encoder(frozen=True)
    assert random.getstate() == before


def test_one_number_for_all_channels_or_none(copied):
    save_converter(copied, scale=0.5)
    preset = load(str(copied))
    assert (preset.scale, preset.offset) == (0.5, 0.0)


def test_a_folder_without_preprocessing_is_told(tmp_path):
    said = []
    preset = load(str(save_tiny_backbone(tmp_path, converter=False)), say=said.append)
    assert (preset.scale, preset.offset) == (1.0, 0.0)
    (line,) = said
    assert line.startswith(f"Images    {tmp_path} has no image_converter.json: ")
    assert "is given pixels from 0 to 255 as they are. If it was trained on" in line
    np.testing.assert_allclose(
        preset.encoder(frozen=True)(IMAGES), vgg()(IMAGES), atol=1e-3
    )


# === What tells them apart ===


def test_the_hash_is_that_of_the_files(folder, copied, tmp_path):
    before = load(str(folder)).sha256
    (copied / "README.md").write_text("notes")
    assert load(str(copied)).sha256 == before
    save_converter(copied, scale=0.5)
    assert load(str(copied)).sha256 != before
    other = save_tiny_backbone(tmp_path / "other", seed=1)
    assert load(str(other)).sha256 != before


def served_by_keras_nlp(monkeypatch, folders):
    """Let names stand for folders, as if they were downloaded."""
    for kind in (keras_nlp.models.Backbone, keras_nlp.layers.ImageConverter):
        read = kind.from_preset.__func__

        def from_preset(cls, where, *arguments, read=read, **options):
            return read(cls, str(folders.get(where, where)), *arguments, **options)

        monkeypatch.setattr(kind, "from_preset", classmethod(from_preset))


def test_the_hash_of_a_name_is_that_of_the_values(
    monkeypatch, folder, copied, tmp_path
):
    save_converter(copied, scale=0.5)
    weights = save_tiny_backbone(tmp_path / "weights", seed=1)
    folders = {"same": folder, "again": folder, "scaled": copied, "weights": weights}
    served_by_keras_nlp(monkeypatch, folders)
    hashes = {name: load(name).sha256 for name in folders}
    assert hashes["same"] == hashes["again"]
    assert len(set(hashes.values())) == 3
    keras.config.set_dtype_policy("mixed_float16")
    try:
        assert load("same").sha256 == hashes["same"]
    finally:
        keras.config.set_dtype_policy("float32")


# === Our own ===


@needs_mirror
def test_our_own_is_found_in_the_mirror_with_its_preprocessing():
    preset = load(OWN, say=pytest.fail)
    pixels = np.array([0.0, 127.0, 255.0])
    expected = [-127 / 128, 0, 1]  # (x - 127) / 128
    np.testing.assert_array_equal(pixels * preset.scale + preset.offset, expected)
    assert preset.grid_shape(160) == (5, 5, 1280)


@needs_mirror
def test_the_pinned_hashes_are_those_of_the_mirror():
    files = Path(MIRROR, OWN_FOLDER)
    assert {file: file_sha256(files / file) for file in OWN_FILES} == OWN_FILES


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror with the tiny backbone in the place of our own."""
    folder = save_tiny_backbone(tmp_path / "mirror" / OWN_FOLDER)
    hashes = {file: file_sha256(folder / file) for file in OWN_FILES}
    monkeypatch.setattr(image_presets, "OWN_FILES", hashes)
    monkeypatch.setenv("SEQLOOM_MIRROR", str(tmp_path / "mirror"))
    return folder


def test_our_own_is_what_the_mirror_has(mirror, tmp_path, monkeypatch):
    (tmp_path / OWN).mkdir()
    monkeypatch.chdir(tmp_path)  # a folder of the same name is passed over
    assert load(OWN).sha256 == load(str(mirror)).sha256
    monkeypatch.delenv("SEQLOOM_MIRROR")
    assert "SEQLOOM_MIRROR is not set: set it to a folder that has" in told(OWN)


def test_a_mirror_without_our_own(mirror):
    (mirror / "model.weights.h5").unlink()
    message = told(OWN)
    assert f"{OWN_FOLDER}/model.weights.h5 is not there. SEQLOOM_MIRROR is " in message
    assert f"set it to a folder that has {OWN_FOLDER}, or give a local" in message
    assert "model.preset=efficientnet_lite0_ra_imagenet." in message


def test_a_mirror_with_other_bytes(mirror):
    (mirror / "model.weights.h5").write_bytes(b"other")
    message = told(OWN)
    assert (
        "model.weights.h5 has the sha256 d9298a10d1b0735837dc4bd85dac641b0f" in message
    )
    assert "it is damaged or another version. Replace it, or give a" in message


def test_what_keras_nlp_cannot_read_of_our_own_is_no_download(mirror, monkeypatch):
    def fail(*arguments, **options):
        raise TypeError("unexpected keyword argument 'stem_conv_padding'")

    monkeypatch.setattr(keras_nlp.models.Backbone, "from_preset", fail)
    assert "the folder cannot be read as a preset (unexpected keyword" in told(OWN)


# === What cannot be had ===


def test_a_name_that_no_one_knows():
    message = told("efficientnet_lite99")
    assert f"there is no such preset. Check the name: {OWN} needs no" in message


@pytest.mark.parametrize("what", ["Backbone", "ImageConverter"])
@pytest.mark.parametrize(
    "error", [ConnectionError("no route to host"), OSError("403: forbidden\nnow")]
)
def test_a_preset_that_cannot_be_downloaded(monkeypatch, folder, what, error):
    served_by_keras_nlp(monkeypatch, {"hf://a/b": folder})

    def fail(*arguments, **options):
        raise error

    where = keras_nlp.models if what == "Backbone" else keras_nlp.layers
    monkeypatch.setattr(getattr(where, what), "from_preset", fail)
    message = told("hf://a/b")
    assert f"cannot be downloaded ({type(error).__name__}: " in message
    assert str(error).replace("\n", " ") in message
    assert "Check the network and the name, or give a local folder" in message


def test_a_folder_that_is_none(tmp_path):
    assert "there is no such folder. Check the path" in told(tmp_path / "missing")
    assert f"name a preset such as {OWN}." in told("./missing")


def test_a_folder_that_is_no_preset(tmp_path):
    message = told(tmp_path)
    assert "is no preset: the folder has no config.json" in message
    assert "with config.json, image_converter.json and model.weights.h5." in message


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", b"{"),
        ("config.json", b'{"a": 1}'),
        ("image_converter.json", b"{"),
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
    assert "Its config, image converter and weights must belong to the" in message


# === What gives no grids ===


def test_a_preset_of_texts(preset):
    message = told(preset)
    assert f"model.preset={preset} is no image backbone: keras_nlp knows no" in message
    assert SUITABLE in message


def test_a_backbone_of_texts_and_images(tmp_path, folder, monkeypatch):
    texts = keras_nlp.models.BertBackbone(10, 1, 2, 8, 16)
    served_by_keras_nlp(monkeypatch, {"both": folder})
    monkeypatch.setattr(
        keras_nlp.models.Backbone, "from_preset", lambda *_, **__: texts
    )
    message = told("both")
    assert "is no image backbone: BertBackbone reads (None, None), (None" in message
    assert SUITABLE in message


def test_a_backbone_of_one_size(tmp_path):
    saved(vgg(image_shape=(32, 32, 3)), tmp_path)
    message = told(tmp_path)
    assert "VGGBackbone reads images of 32 x 32 pixels alone. Give a" in message


def test_a_backbone_of_one_colour(tmp_path):
    saved(vgg(image_shape=(None, None, 1)), tmp_path)
    message = told(tmp_path)
    assert "reads (None, None, None, 1), not images with three colours" in message


def test_a_backbone_that_gives_no_grid(folder, monkeypatch):
    flat = keras.layers.GlobalAveragePooling2D()
    image = keras.Input((None, None, 3))
    backbone = keras.Model(image, flat(image))
    monkeypatch.setattr(
        keras_nlp.models.Backbone, "from_preset", lambda *_, **__: backbone
    )
    message = told(folder)
    assert "Functional gives (None, 3), not a grid of features (batch, rows" in message
    assert SUITABLE in message


def test_images_that_are_too_small(folder):
    with pytest.raises(UserError) as error:
        load(str(folder)).grid_shape(3)
    message = str(error.value)
    assert message.startswith(f"data.image_size=3: model.preset={folder} cannot read")
    assert "(Computed output size would be zero or negative. " in message
    assert "Set it to what the backbone was trained on, often 224" in message
