"""Flickr8k: in small, in the layout of its public zips, and as a mirror has it."""

import io
import os
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from seqloom.pipelines.caption_corpora import CAPTION_CORPORA, read_flickr8k
from seqloom.pipelines.caption_data import load_captions
from seqloom.pipelines.config_captions import CaptionDataConfig
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.image_files import check_image
from seqloom.pipelines.splits import SPLITS
from seqloom.tasks.records import DataError

FLICKR8K = CAPTION_CORPORA["flickr8k"]
TOKENS = (
    "b.jpg#0\tA dog .\nb.jpg#1\tDogs .\na.jpg#0\tA ball .\nc.jpg#0\tA bird .\n"
    "no.jpg.1#0\tpeople waiting for the subway\ne1.jpg#0\tA bird . e1.jpg#1\tA beak .\n"
)
LISTS = {"train": "a.jpg\nb.jpg\n", "dev": "c.jpg", "test": "d.jpg\n"}


@pytest.fixture
def zips(tmp_path):
    """Write zips in the public layout, with what belongs to no corpus in them."""

    def zips(tokens=TOKENS + "d.jpg#0\tA cat .", lists=LISTS):
        texts, pictures = tmp_path / "texts.zip", tmp_path / "pictures.zip"
        with zipfile.ZipFile(texts, "w") as packed:
            packed.writestr("readme.txt", "Hello")
            packed.writestr("__MACOSX/._Flickr8k.token.txt", "\x00")
            if tokens is not None:
                packed.writestr("Flickr8k.token.txt", tokens)
            for name, content in lists.items():
                packed.writestr(f"Flickr_8k.{name}Images.txt", content)
        with zipfile.ZipFile(pictures, "w") as packed:
            for number, name in enumerate("abcd"):
                data = io.BytesIO()
                Image.new("RGB", (4, 4), (number, 0, 0)).save(data, "JPEG")
                packed.writestr(f"Flicker8k_Dataset/{name}.jpg", data.getvalue())
        return texts, pictures

    return zips


def test_the_public_layout(zips):
    texts, pictures = zips()
    splits = read_flickr8k((texts, pictures))
    assert {name: [record.name for record in splits[name]] for name in SPLITS} == {
        "train": ["a.jpg", "b.jpg"],
        "dev": ["c.jpg"],
        "test": ["d.jpg"],
    }
    dogs = splits["train"][1]
    assert dogs.captions == ("A dog .", "Dogs .")
    assert dogs.where == f"{texts}!Flickr8k.token.txt:1"
    assert str(dogs.image) == f"{pictures}!Flicker8k_Dataset/b.jpg"
    for records in splits.values():
        for record in records:
            check_image(record.image.read(), record.name)


@pytest.mark.parametrize(
    ("tokens", "error", "message"),
    [
        (TOKENS, DataError, r"testImages.txt: 'd.jpg' has no caption in Flickr8k.tok"),
        (None, UserError, r"holds no file 'Flickr8k.token.txt'"),
        (TOKENS + "d.jpg#0 A", DataError, r"token.txt:7: 'd.jpg#0 A': no image and"),
        (TOKENS + "d.jpg#0\tA\tB", DataError, r"token.txt:7: .*parted by a tab"),
    ],
)
def test_damaged_zips(zips, tokens, error, message):
    with pytest.raises(error, match=message):
        read_flickr8k(zips(tokens))


@pytest.mark.parametrize("mirror", [None, "", "empty"])
def test_what_is_said_where_it_is_not_there(tmp_path, monkeypatch, mirror):
    monkeypatch.delenv("SEQLOOM_MIRROR", raising=False)
    if mirror is not None:
        monkeypatch.setenv("SEQLOOM_MIRROR", str(tmp_path) if mirror else "")
    with pytest.raises(UserError) as error:
        load_captions(CaptionDataConfig(corpus="flickr8k"), "", 0, None, print)
    for part in (
        "data.corpus=flickr8k: flickr8k/Flickr8k_text.zip is not there",
        f"SEQLOOM_MIRROR is {tmp_path if mirror else 'not set'}: let it name",
        "No sha256 of the public zips is known",
        "data.train=Flickr8k.token.txt data.images=Flicker8k_Dataset",
        "dataset_flickr8k.json",
    ):
        assert part in str(error.value)


def test_other_bytes_in_the_mirror(tmp_path, monkeypatch):
    path = tmp_path / FLICKR8K.sources[0].name
    path.parent.mkdir()
    path.write_bytes(b"other")
    monkeypatch.setenv("SEQLOOM_MIRROR", str(tmp_path))
    with pytest.raises(UserError, match=r"Hash mismatch: .*Karpathy's dataset_flickr8"):
        FLICKR8K.find()


def test_every_source_is_pinned():
    for name, corpus in CAPTION_CORPORA.items():
        assert name == corpus.name
        assert corpus.licence_note and corpus.remedy
        assert {len(source.sha256) for source in corpus.sources} == {64}


def test_the_mirrors_flickr8k():
    """The sizes of the official splits, and pictures that can be read."""
    mirror = os.environ.get("SEQLOOM_MIRROR")
    if not mirror or not Path(mirror, FLICKR8K.sources[1].name).exists():
        pytest.skip("SEQLOOM_MIRROR names no folder that has Flickr8k")
    said = []
    data = CaptionDataConfig(corpus="flickr8k")
    splits = load_captions(data, "captioning", 0, None, said.append)
    for name, size in {"train": 6000, "dev": 1000, "test": 1000}.items():
        info = splits.info[name]
        assert len(splits.split(name)) == info.num_images == size
        assert (info.captions_per_image, info.num_captions) == ({5: size}, 5 * size)
        assert (info.num_repeated, info.num_skipped, info.left_out) == (0, 0, {})
    names = {record.name for name in SPLITS for record in splits.split(name)}
    assert len(names) == 8000
    assert "2258277193_586949ec62.jpg.1" not in names
    assert splits.title.startswith("Flickr8k")
    assert said == []
