"""The predict command on images: files, folders, what is wrong with some, pictures."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tiny_captioner import SCENES, captioner
from typer.testing import CliRunner

from seqloom.pipelines import cli, cli_predict, predict
from seqloom.pipelines.image_files import MAX_PIXELS
from seqloom.pipelines.trained import Trained


@pytest.fixture(scope="module")
def trained():
    task, model = captioner()
    return Trained(SimpleNamespace(folder=None), None, task, model)


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """Runs `seqloom predict captioning ...` where there is a folder of images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(cli_predict, "import_engine", lambda: None)
    monkeypatch.setattr(cli_predict, "find_run", lambda *_: Path("a/run"))
    resolved = SimpleNamespace(config=SimpleNamespace(task="captioning"))
    monkeypatch.setattr(cli_predict, "settings_of", lambda _: resolved)
    monkeypatch.setattr(predict, "load", lambda _: trained)
    (tmp_path / "photos").mkdir()
    for name, scene in zip(("b.png", "a.PNG", "c.png"), SCENES, strict=False):
        (tmp_path / "photos" / name).write_bytes(scene.image.read())
    (tmp_path / "photos" / "notes.txt").write_text("none")

    def run(*args, **options):
        return CliRunner().invoke(cli.app, ["predict", "captioning", *args], **options)

    return run


def caption_of(trained, scene):
    return trained.predict([scene.image.read()])[0]["caption"]


def test_a_caption_stands_behind_its_image(run, trained):
    result = run("--image", "photos/b.png", "photos/c.png")
    assert result.exit_code == 0, result.output
    expected = [
        f"photos/c.png: {caption_of(trained, SCENES[2])}",
        f"photos/b.png: {caption_of(trained, SCENES[0])}",
    ]
    assert result.stdout.splitlines() == expected  # first the words, then --image
    assert expected[0].split(": ")[1] != expected[1].split(": ")[1]


def test_a_folder_stands_for_its_images(run):
    result = run("--image", "photos")
    names = [line.partition(": ")[0] for line in result.stdout.splitlines()]
    assert names == ["photos/a.PNG", "photos/b.png", "photos/c.png"]
    listed = run("--file", "-", input="photos/b.png\nphotos/a.PNG\n")
    assert sorted(listed.stdout.splitlines()) == result.stdout.splitlines()[:2]


def test_several_captions_as_text_and_json(run):
    result = run("--image", "photos/b.png", "--n-best", "2")
    first, second = result.stdout.splitlines()
    assert first.startswith("photos/b.png: 1 -") and second.startswith(
        "photos/b.png: 2 -"
    )
    row = json.loads(run("--image", "photos/b.png", "--json", "--n-best", "2").stdout)
    assert row["image"] == "photos/b.png" and row["error"] == ""
    assert len(row["captions"]) == 2
    assert row["captions"][0]["text"] == row["caption"]


def test_pictures_of_attention(run, tmp_path):
    for images in (["photos/b.png"], ["photos"]):
        result = run("--image", *images, "--attention", "out.png")
        assert result.exit_code == 0, result.output
        assert "Drawn: out.png" in result.stderr
        width, _ = Image.open(tmp_path / "out.png").size
        assert width > 600
        (tmp_path / "out.png").unlink()


# === What is wrong ===


def jpeg(mode="RGB", size=(40, 30), **options):
    shape = (size[1], size[0], *([len(mode)] if len(mode) > 1 else []))
    pixels = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels, mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def png_that_claims(width, height):
    """A PNG of a pixel whose header says it has many."""
    import struct
    import zlib

    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


BAD = {
    "text.jpg": (b"Rhea met Ada", "no image: it starts with 'Rhea met Ada', and"),
    "cut.jpg": (jpeg()[:400], "the image is cut off or damaged"),
    "bomb.png": (
        png_that_claims(20_000, 5_000),
        f"20,000 x 5,000 = 100,000,000 pixels, more than the {MAX_PIXELS:,} that are",
    ),
    "empty.png": (b"", "the image is empty: a file of 0 bytes"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_told_and_the_others_are_captioned(run, name, tmp_path):
    data, message = BAD[name]
    (tmp_path / name).write_bytes(data)
    result = run("--image", name, "--image", "photos/b.png")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {name}: ")
    assert message in result.stderr
    assert "Traceback" not in result.output
    first, second = result.stdout.splitlines()
    assert first == f"{name}:"
    assert second.startswith("photos/b.png: ") and len(second) > 14
    row = json.loads(run("--image", name, "--json").stdout)
    assert message in row["error"] and row["caption"] == ""


def test_unusual_images_have_a_caption(run, tmp_path):
    (tmp_path / "cmyk.jpg").write_bytes(jpeg("CMYK"))
    Image.new("RGB", (1, 1), "red").save(tmp_path / "pixel.png")
    deep = np.arange(256 * 16, dtype=np.uint16).reshape(64, 64) * 16
    Image.fromarray(deep).save(tmp_path / "deep.png")
    result = run("--image", "cmyk.jpg", "pixel.png", "deep.png")
    assert result.exit_code == 0, result.output
    assert [line.split(": ")[0] for line in result.stdout.splitlines()] == [
        "pixel.png",
        "deep.png",
        "cmyk.jpg",
    ]


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (
            ["--image", "no.png"],
            "error: no.png: there is no such file. Check",
        ),
        (["--text", "dogs"], "error: captioning looks at images, got a text. Give IMA"),
        (["--image", "empty"], "error: The folder empty has no image: no file that"),
        (["--image", "photos", "--beam", "9999"], "is larger than the vocabulary of"),
    ],
)
def test_mistakes(run, args, text, tmp_path):
    (tmp_path / "empty").mkdir()
    result = run(*args)
    assert result.exit_code == 2
    assert text in result.stderr
    assert "Traceback" not in result.output
