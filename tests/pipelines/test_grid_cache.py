"""Features of images: equal to the backbone's own, kept, and never half of them."""

import io
import json
import shutil
from contextlib import contextmanager
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from tiny_backbone import (
    FILTERS,
    OFFSET,
    SCALE,
    save_converter,
    save_tiny_backbone,
    vgg,
)

from seqloom.pipelines import grid_file
from seqloom.pipelines.encoding_bar import encoding_bar
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.grid_cache import BATCH_SIZE, GridCache
from seqloom.pipelines.image_eye import image_eye
from seqloom.pipelines.image_presets import ImagePreset, load_image_preset
from seqloom.tasks.records import CaptionedImage, DataError, ImageBytes

SIZE = 16
NUMBER = BATCH_SIZE + 3  # two batches
RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (NUMBER, SIZE, SIZE, 3), dtype=np.uint8)


def record(data, name="1.png", caption="a dog"):
    return CaptionedImage(ImageBytes(data), (caption,), name, f"my.csv:{name[0]}")


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


RECORDS = [record(png(pixels), f"{n}.png") for n, pixels in enumerate(PIXELS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture(scope="module")
def preset(folder):
    """Shadows the one of texts."""
    return load_image_preset(str(folder))


@pytest.fixture(autouse=True)
def loaded(monkeypatch):
    """The presets whose encoder was loaded, one for each time."""
    presets, encoder = [], ImagePreset.encoder

    def counted(self, *arguments, **options):
        presets.append(self)
        return encoder(self, *arguments, **options)

    monkeypatch.setattr(ImagePreset, "encoder", counted)
    return presets


@pytest.fixture
def new(preset, tmp_path):
    """Makes caches in one folder, whose lines are in `said`."""

    def make(preset=preset, image_size=SIZE, folder=tmp_path, **options):
        said = []
        cache = GridCache(preset, image_size, folder, say=said.append, **options)
        cache.said = said
        return cache

    return make


def files(folder):
    return sorted(path.suffix or path.name for path in folder.iterdir())


# === What they are ===


def test_grids_are_what_the_backbone_gives(new, tmp_path):
    cache = new()
    grids = cache.grids(RECORDS)
    expected = vgg()(PIXELS * np.float32(SCALE) + np.array(OFFSET, "float32")).numpy()
    assert grids.shape == (NUMBER, 4, 4, FILTERS) == (NUMBER, *cache.shape)
    assert grids.dtype == np.float16
    np.testing.assert_allclose(grids, expected, rtol=1e-3, atol=1e-3)
    assert expected.std() > 0.1
    (line,) = cache.said
    assert line.startswith(f"Images    {NUMBER} encoded by {cache.preset.name} in ")
    assert line.endswith(f"images/s), kept in {tmp_path}")


def test_grids_lie_on_the_disk_and_cannot_be_changed(new):
    grids = new().grids(RECORDS)
    assert isinstance(grids, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        grids[0] = 0


def test_images_of_any_size_are_brought_to_one(new):
    large = record(png(np.full((40, 30, 3), 200, np.uint8)))
    even = vgg()(np.full((1, SIZE, SIZE, 3), 200, "float32") * SCALE + OFFSET)
    np.testing.assert_allclose(new().grids([large]), even, rtol=1e-3, atol=1e-3)


def test_grids_are_computed_in_float32_whatever_the_policy(new, tmp_path):
    usual = new(folder=tmp_path / "usual").grids(RECORDS[:3])
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = new(folder=tmp_path / "mixed").grids(RECORDS[:3])
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_array_equal(mixed, usual)


def test_zeros_at_the_end_of_a_file_are_read(new):
    """A JPEG may be padded; the strings of numpy would lose it."""
    padded = [record(RECORDS[0].image.read() + b"\0\0")]
    np.testing.assert_array_equal(new().grids(padded), new().grids(RECORDS[:1]))


def test_no_images_have_no_grids(new, tmp_path):
    grids = new().grids([])
    assert grids.shape == (0, 4, 4, FILTERS)
    assert grids.dtype == np.float16
    assert files(tmp_path) == []


# === When they are computed ===


def test_the_second_time_they_are_read(new, loaded, tmp_path):
    first = np.array(new().grids(RECORDS))
    cache = new()
    second = cache.grids(RECORDS)
    np.testing.assert_array_equal(second, first)
    assert not second.flags.writeable
    assert len(loaded) == 1
    line = f"Images    {NUMBER} features of {cache.preset.name} read from the cache"
    assert cache.said == [line]
    assert files(tmp_path) == [".json", ".npy"]


def test_a_few_of_them_are_found_among_the_others(new, loaded, tmp_path):
    cache = new()
    grids = cache.grids(RECORDS)
    said, before = len(cache.said), files(tmp_path)
    np.testing.assert_array_equal(cache.grids([RECORDS[7], RECORDS[2]]), grids[[7, 2]])
    assert len(loaded) == 1 and len(cache.said) == said
    assert files(tmp_path) == before
    cache.grids([RECORDS[2], record(png(PIXELS[2] // 2))])  # one is new
    assert len(loaded) == 2


def test_captions_and_names_do_not_matter(new, loaded):
    new().grids(RECORDS[:2])
    new().grids([record(r.image.read(), "x.png", "a cat") for r in RECORDS[:2]])
    assert len(loaded) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda records: [record(png(255 - PIXELS[0])), *records[1:]],
        lambda records: records[::-1],
        lambda records: records[:-1],
    ],
)
def test_other_images_are_computed(new, loaded, change):
    new().grids(RECORDS[:3])
    new().grids(change(RECORDS[:3]))
    assert len(loaded) == 2


def test_another_size_or_other_weights_are_computed(new, loaded, tmp_path):
    new().grids(RECORDS[:3])
    assert new(image_size=24).grids(RECORDS[:3]).shape[1:3] == (6, 6)
    weights = save_tiny_backbone(tmp_path / "weights", seed=1)
    new(load_image_preset(str(weights))).grids(RECORDS[:3])
    assert len(loaded) == 3


def test_a_folder_elsewhere_with_the_same_files_is_the_same(
    new, folder, loaded, tmp_path
):
    new().grids(RECORDS[:3])
    moved = shutil.copytree(folder, tmp_path / "moved")
    new(load_image_preset(str(moved))).grids(RECORDS[:3])
    assert len(loaded) == 1


# === Files that are not whole ===


class Interrupted(Exception):
    pass


def test_an_interruption_leaves_nothing(new, loaded, tmp_path):
    @contextmanager
    def interrupting(total):
        def update(done):
            raise Interrupted

        yield update

    with pytest.raises(Interrupted):
        new(progress=interrupting).grids(RECORDS)
    assert files(tmp_path) == []
    assert len(new().grids(RECORDS)) == NUMBER
    assert len(loaded) == 2


def test_an_array_without_its_facts_is_computed(new, loaded, tmp_path):
    """The process ended between the two."""
    new().grids(RECORDS[:3])
    (facts,) = tmp_path.glob("*.json")
    facts.unlink()
    cache = new()
    cache.grids(RECORDS[:3])
    assert len(loaded) == 2
    assert len(cache.said) == 1


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("suffix", "damage", "why"),
    [
        ("npy", truncate, "sha256 "),
        ("npy", flip, "sha256 "),
        ("npy", lambda path: path.unlink(), "FileNotFoundError: "),
        ("json", lambda path: path.write_text("{"), "JSONDecodeError: "),
        ("json", lambda path: path.write_text("{}"), "KeyError: 'sha256'"),
        ("json", lambda path: path.write_text("[]"), "TypeError: "),
    ],
)
def test_damaged_files_are_told_and_computed_anew(
    new, loaded, tmp_path, suffix, damage, why
):
    before = np.array(new().grids(RECORDS[:3]))
    (path,) = tmp_path.glob(f"*.{suffix}")
    damage(path)
    cache = new()
    np.testing.assert_array_equal(cache.grids(RECORDS[:3]), before)
    assert len(loaded) == 2
    assert f"{path.stem}.npy is damaged ({why}" in cache.said[0]
    assert cache.said[0].endswith("): its features are computed anew.")
    new().grids(RECORDS[:3])
    assert len(loaded) == 2


def test_what_they_are_of_is_written_beside_them(new, preset, tmp_path):
    new().grids(RECORDS[:3])
    (path,) = tmp_path.glob("*.json")
    facts = json.loads(path.read_text())
    assert facts["preset"] == preset.name
    assert facts["preset_sha256"] == preset.sha256
    assert facts["shape"] == [3, 4, 4, FILTERS]
    assert facts["image_size"] == SIZE
    assert facts["created"].endswith("+00:00")


# === What goes wrong ===


def test_a_disk_that_is_full(new, loaded, tmp_path, monkeypatch):
    usage = SimpleNamespace(free=100)
    monkeypatch.setattr(grid_file.shutil, "disk_usage", lambda folder: usage)
    needed = 3 * 4 * 4 * FILTERS * 2 + 4096
    message = (
        f"The features of 3 images need {needed:,} bytes, and {tmp_path} has 100 "
        "bytes free. Free some space, set SEQLOOM_CACHE to a folder on a larger disk"
    )
    with pytest.raises(UserError, match=message):
        new().grids(RECORDS[:3])
    assert loaded == []


def test_a_folder_that_cannot_be_written(preset, tmp_path):
    (tmp_path / "file").write_text("")
    message = "Cannot keep the features of images in .*file.* set SEQLOOM_CACHE to a"
    with pytest.raises(UserError, match=message):
        GridCache(preset, SIZE, tmp_path / "file" / "grids").grids(RECORDS[:3])


def test_features_that_are_no_float16(new, tmp_path):
    folder = save_tiny_backbone(tmp_path / "raw")
    save_converter(folder, scale=1e4)
    black = record(png(np.zeros((SIZE, SIZE, 3), np.uint8)), "0.png")
    with pytest.raises(UserError) as error:
        new(load_image_preset(str(folder))).grids([black, RECORDS[1]])
    message = str(error.value)
    assert message.startswith(
        f"model.preset={folder} gives the image '1.png' (my.csv:1"
    )
    assert "kept as float16, which ends at 65,504. Check that its" in message
    assert "train it along (model.frozen=false), or take another." in message
    assert files(tmp_path) == ["raw"]


def test_an_image_that_cannot_be_decoded_is_named(new, tmp_path):
    bad = record(RECORDS[1].image.read()[:60], "7.png")
    with pytest.raises(DataError) as error:
        new().grids([*RECORDS[:BATCH_SIZE], bad])
    assert str(error.value).startswith(
        "my.csv:7: the image '7.png' cannot be decoded ("
    )
    assert str(error.value).endswith("). Replace it, or take its captions out.")
    assert files(tmp_path) == []


def test_images_that_are_too_small_are_told_at_once(preset):
    with pytest.raises(UserError, match="data.image_size=2: model.preset="):
        GridCache(preset, 2)


# === Progress ===


def test_progress_counts_images(new):
    counts = []

    @contextmanager
    def recording(total):
        counts.append(total)
        yield counts.append

    new(progress=recording).grids(RECORDS)
    assert counts == [NUMBER, BATCH_SIZE, NUMBER]


def test_the_bar_shows_images_and_their_rate():
    output = io.StringIO()
    with encoding_bar(50, Console(file=output, force_terminal=True, width=100)) as done:
        done(20)
    assert "20/50" in output.getvalue()
    assert "images/s" in output.getvalue()


def test_nothing_is_drawn_off_a_terminal():
    output = io.StringIO()
    with encoding_bar(50, Console(file=output)) as done:
        done(20)
    assert output.getvalue().strip() == ""


# === The eye ===


def test_a_frozen_eye_has_grids_in_the_cache(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SEQLOOM_CACHE", str(tmp_path))
    said = []
    eye = image_eye(str(folder), True, SIZE, say=said.append)
    assert eye.shape == (4, 4, FILTERS)
    grids = eye.grids(RECORDS[:3])
    assert files(tmp_path / "grids") == [".json", ".npy"]
    layer = eye.load()
    assert layer.name == "eye"
    assert layer.trainable_weights == []
    np.testing.assert_allclose(layer(PIXELS[:3]), grids, rtol=1e-3, atol=1e-3)
    assert said[0].startswith("Images    3 encoded by ")


def test_an_eye_that_is_trained_has_none(folder):
    eye = image_eye(str(folder), False, SIZE)
    assert eye.grids is None
    assert eye.shape == (4, 4, FILTERS)
    assert eye.load().trainable_weights
