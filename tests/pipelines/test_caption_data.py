"""Loading images with captions: own files, splits, what is left out, complaints."""

import io
import json
import zlib

import pytest
from PIL import Image
from pydantic import ValidationError
from rich.console import Console

from seqloom.pipelines.caption_data import load_captions
from seqloom.pipelines.caption_splits import images_sha256
from seqloom.pipelines.config_captions import CaptionDataConfig
from seqloom.pipelines.data import describe_splits, show_splits
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.hash_split import digest, split_of
from seqloom.pipelines.sources import file_sha256
from seqloom.pipelines.splits import SPLITS
from seqloom.tasks.records import CaptionedImage, DataError, ImageBytes
from seqloom.tasks.scene_check import check
from seqloom.tasks.synthetic_scenes import synthetic_scenes

TRAIN = "a.png\tA red ball.\nb.png\tTwo dogs.\na.png\tOne ball.\n"
DEV, TEST = "in/c.png\tA cat.\n", "d.png\tA bird on a tree.\n"


def picture(name):
    """An image like no other's."""
    number = zlib.crc32(name.encode())
    data = io.BytesIO()
    colour = tuple(number.to_bytes(4, "big")[1:])
    Image.new("RGB", (4, 3), colour).save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def own(tmp_path):
    """Write the files that are given and return settings that name them."""
    images = tmp_path / "images"
    (images / "in").mkdir(parents=True)

    def own(train=TRAIN, dev=DEV, test=TEST, names=(), **changed):
        for name in ("a.png", "b.png", "in/c.png", "d.png", *names):
            (images / name).write_bytes(picture(name))
        paths = {"images": str(images)}
        for key, text in {"train": train, "dev": dev, "test": test}.items():
            if text is not None:
                path = tmp_path / (f"{key}.tsv" if isinstance(text, str) else "k.json")
                text = text if isinstance(text, str) else json.dumps(text)
                path.write_text(text, encoding="utf-8")
                paths[key] = str(path)
        return CaptionDataConfig(**paths | changed)

    return own


def load(settings, say=lambda line: None):
    return load_captions(settings, "captioning", 1, None, say)


def many(number=300):
    names = [f"{n}.png" for n in range(number)]
    return "".join(f"{name}\tNumber {name}\n" for name in names), names


def karpathy(**splits):
    images = [
        {"filename": name, "split": split, "sentences": [{"raw": f"Of {name}."}]}
        for split, names in splits.items()
        for name in names.split()
    ]
    return {"images": images}


# === Own files ===


def test_three_files_are_taken_as_given(own, tmp_path):
    said = []
    settings = own()
    splits = load(settings, said.append)
    assert [record.name for record in splits.train] == ["a.png", "b.png"]
    ball = splits.train[0]
    assert ball.captions == ("A red ball.", "One ball.")
    assert ball.where == f"{settings.train}:1"
    assert ball.image.read() == picture("a.png")
    assert splits.dev[0].image.read() == picture("in/c.png")
    assert (splits.unit, splits.scheme, splits.name) == ("images", "none", "train.tsv")
    info = splits.info["train"]
    assert (info.num_images, info.num_captions, info.num_tokens) == (2, 3, 7)
    assert (info.longest, info.captions_per_image) == (3, {1: 1, 2: 1})
    assert info.lengths == {"50%": 2, "90%": 3, "99%": 3}
    assert info.sha256 == file_sha256(settings.train)
    assert (info.by_hash, info.num_unnamed, said) == (False, 0, [])


def test_images_lie_beside_their_captions_by_default(own, tmp_path):
    settings = own(images=None, limit=None)
    for key in ("train", "dev", "test"):
        (tmp_path / f"images/{key}.tsv").write_text({"train": TRAIN}.get(key, DEV))
    paths = {key: f"{tmp_path}/images/{key}.tsv" for key in ("train", "dev", "test")}
    splits = load(settings.model_copy(update=paths))
    assert splits.train[1].image.read() == picture("b.png")
    with pytest.raises(DataError, match="no file .*/a.png. Correct the name, or set"):
        load(settings)


def test_images_that_nobody_names_are_counted(own):
    said = []
    extra = ("e.png", "in/f.JPG", "in/notes.txt")
    info = load(own(names=extra), said.append).info
    assert [info[name].num_unnamed for name in SPLITS] == [2, 0, 0]
    assert len(said) == 1
    assert said[0].startswith("2 images beside the others are named in no file of")
    assert said[0].endswith("images/e.png.")


def test_training_images_in_other_splits_are_said(own, tmp_path):
    settings = own(test=TEST + "copy.png\tHm.\nb.png\tTwo.\n", names=("copy.png",))
    (tmp_path / "images/copy.png").write_bytes(picture("a.png"))
    said = []
    splits = load(settings, said.append)
    assert splits.info["test"].num_repeated == 2
    assert said == ["2 of the 3 test images are training images too."]


# === Splits ===


def test_a_lone_file_is_split_by_names(own):
    text, names = many()
    said = []
    settings = own(text, None, None, names)
    splits = load(settings, said.append)
    for name in SPLITS:
        found = [record.name for record in splits.split(name)]
        wanted = [image for image in names if split_of(image) == name]
        assert found == sorted(wanted, key=digest) and wanted
        info = splits.info[name]
        assert info.by_hash and info.sha256 != file_sha256(settings.train)
    taken = f"validation ({len(splits.dev)}) and test ({len(splits.test)})"
    assert said[0].startswith("3 images beside the others")
    assert said[1].startswith(f"No file for {taken}: taken out of the 300 images of ")
    assert len(said) == 2


def test_only_what_is_missing_is_taken_out_of_training(own):
    text, names = many()
    splits = load(own(text, None, TEST, names))
    assert [record.name for record in splits.test] == ["d.png"]
    assert {split_of(record.name) for record in splits.dev} == {"dev"}
    assert {split_of(record.name) for record in splits.train} == {"train", "test"}
    assert [splits.info[name].by_hash for name in SPLITS] == [True, True, False]


def test_karpathys_file_has_splits_of_its_own(own):
    said = []
    content = karpathy(test="d.png", restval="a.png", val="in/c.png", train="b.png")
    splits = load(own(content, None, None), said.append)
    names = [[record.name for record in splits.split(name)] for name in SPLITS]
    assert names == [["a.png", "b.png"], ["in/c.png"], ["d.png"]]
    assert said == []
    assert not splits.info["dev"].by_hash
    assert splits.info["dev"].path == splits.info["train"].path


def test_karpathys_file_beside_others(own):
    content = karpathy(train="a.png", val="in/c.png", test="d.png")
    splits = load(own(content, "b.png\tTwo dogs.\n", None))
    names = [[record.name for record in splits.split(name)] for name in SPLITS]
    assert names == [["a.png"], ["b.png"], ["d.png"]]
    settings = own(content, None, None)
    three = settings.model_copy(update={"dev": settings.train, "test": settings.train})
    assert load(three).sha256 == load(settings).sha256


def test_limit(own):
    text, names = many()
    splits = load(own(text, None, None, names, limit=7))
    assert [len(splits.split(name)) for name in SPLITS] == [7, 7, 7]


def test_dataset_hash_knows_content_not_place(own, tmp_path):
    first = load(own()).sha256
    (tmp_path / "images").rename(tmp_path / "other")
    (tmp_path / "images/in").mkdir(parents=True)
    assert load(own(images=str(tmp_path / "other"))).sha256 == first
    assert load(own(TRAIN + "a.png\tMore.\n")).sha256 != first
    (tmp_path / "images/d.png").write_bytes(picture("e.png"))
    assert load(own(images=str(tmp_path / "other"))).sha256 == first
    (tmp_path / "other/d.png").write_bytes(picture("e.png"))
    assert load(own(images=str(tmp_path / "other"))).sha256 != first
    image = ImageBytes(b"")
    shifted = [CaptionedImage(image, captions) for captions in (("a\nb",), ("a", "b"))]
    hashes = {images_sha256([(record, b"")]) for record in shifted}
    assert len(hashes) == 2


# === What is left out ===


def test_long_captions_are_left_out_of_training_alone(own):
    said = []
    splits = load(own(max_words=2), said.append)
    assert [record.captions for record in splits.train] == [
        ("One ball.",),
        ("Two dogs.",),
    ]
    assert splits.test[0].captions == ("A bird on a tree.",)
    assert said == [
        "Left out of the training split: 1 captions of more than data.max_words=2 "
        "words."
    ]
    said.clear()
    load(own("d.png\tA b c d\n" + TRAIN, max_words=3), said.append)
    assert "data.max_words=3 words; 1 images that have no other" in said[0]
    assert len(load(own(max_words=None)).train[0].captions) == 2


def test_what_is_skipped_is_counted_and_said(own, tmp_path):
    said = []
    settings = own(TRAIN + "no tab\ngone.png\tGone.\ne.png\tE.\n", on_error="skip")
    (tmp_path / "images/e.png").write_bytes(b"GIF89a")
    splits = load(settings, said.append)
    assert [record.name for record in splits.train] == ["a.png", "b.png"]
    info = splits.info["train"]
    assert info.num_skipped == 3
    for line, (reason, part) in enumerate(
        zip(
            info.skipped_reasons,
            ("'no tab': no tab", "there is no image 'gone.png'", "a GIF file"),
            strict=True,
        ),
        start=4,
    ):
        assert f":{line}: " in reason and part in reason
    assert said == [
        "Left out of the training split: 3 bad captions or images (data.on_error=skip)."
    ]


# === Complaints ===


def test_a_missing_image_is_named(own):
    settings = own(TRAIN + "in/C.png\tGone.\n")
    with pytest.raises(DataError) as error:
        load(settings)
    message = str(error.value)
    assert message.startswith(f"{settings.train}:4: there is no image 'in/C.png': no ")
    for part in (
        f"no file {settings.images}/in/C.png. Did you mean 'c.png'?",
        "set data.images to the folder that the names start at",
        "data.on_error=skip to leave such images out",
    ):
        assert part in message


def test_a_bad_image_is_named(own, tmp_path):
    settings = own()
    (tmp_path / "images/d.png").write_bytes(picture("d.png")[:-20])
    wanted = f"{settings.test}:1: {settings.images}/d.png: the image is cut off or dam"
    with pytest.raises(DataError) as error:
        load(settings)
    assert str(error.value).startswith(wanted)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dev": "\n"}, "dev.tsv: no captions: the file is empty"),
        ({"test": "d.png\n"}, "test.tsv:1: 'd.png': no tab"),
        (
            {"dev": "no.png\tHm.\n", "on_error": "skip"},
            "validation split is empty: no image of .*dev.tsv can be used. "
            "data.on_error=skip dropped 1, the first because: .*'no.png'",
        ),
        (
            {"max_words": 1},
            r"training split is empty: all captions of .*train.tsv are left out \(3 "
            r"captions of more than data.max_words=1 words; 2 images .*Set the limit",
        ),
        (
            {"train": karpathy(train="a.png", test="b.png"), "dev": None, "test": None},
            "validation split is empty: .*k.json has splits of its own, and none of .*"
            "data.dev=",
        ),
        (
            {"train": karpathy(val="a.png"), "dev": None, "test": None},
            "training split is empty: .*splits of its own",
        ),
        (
            {"dev": None, "test": None},
            "split is empty: about .* in ten images of .*train.tsv make it, by a hash",
        ),
    ],
)
def test_bad_files(own, changed, message):
    with pytest.raises(DataError, match=message):
        load(own(**changed))


def test_missing_files_and_folders(own, tmp_path):
    with pytest.raises(UserError, match=r"data.images=no: no such folder. Give the"):
        load(own(images="no"))
    with pytest.raises(UserError, match=r"data.images=.*train.tsv: no such folder"):
        load(own(images=str(tmp_path / "train.tsv")))
    settings = own()
    (tmp_path / "dev.tsv").unlink()
    with pytest.raises(UserError, match=r"data.dev=.*dev.tsv: cannot be read \(No"):
        load(settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"corpus": None},
            "data.corpus and data.train are both null. Set data.corpus=",
        ),
        ({"dev": "a"}, "data.dev set but not data.train: there is nothing to learn"),
        (
            {"images": "a", "test": "b"},
            "data.test and data.images set but not data.tra",
        ),
        ({"image_size": 0}, "greater than or equal to 8"),
        ({"corpus": "coco"}, "'scenes', 'circles' or 'flickr8k'"),
        ({"format": "xml"}, "'csv', 'tsv'"),
        ({"max_words": 0}, "greater than or equal to 1"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValidationError, match=message):
        CaptionDataConfig(**settings)


# === Drawn corpora ===


def test_scenes_are_drawn_from_the_seed():
    settings = CaptionDataConfig(limit=4, image_size=48)
    splits = load(settings)
    assert (splits.name, splits.unit, splits.licence) == (
        "scenes",
        "images",
        "none needed",
    )
    assert [len(splits.split(name)) for name in SPLITS] == [4, 4, 4]
    expected = synthetic_scenes("dev", 1, 4, 48)
    assert list(splits.dev) == expected
    assert splits.info["train"].num_captions == 20
    other = load_captions(settings, "captioning", 2, None, lambda line: None)
    assert other.sha256 != splits.sha256 == load(settings).sha256
    assert other.dev[0].image != splits.dev[0].image


def test_circles_are_easy():
    splits = load(CaptionDataConfig(corpus="circles", image_size=48))
    assert [len(splits.split(name)) for name in SPLITS] == [600, 60, 200]
    said = {caption for record in splits.train for caption in record.captions}
    assert {len(record.captions) for record in splits.train} == {1}
    assert len(said) == 10  # five colours, two sizes
    for record in splits.test:
        assert check(record.captions[0], record.scene).correct
        assert record.captions[0] in said and not record.held_out


def test_scenes_that_are_too_small_are_told():
    with pytest.raises(UserError, match="data.image_size=16: Scenes cannot be drawn"):
        load(CaptionDataConfig(image_size=16))


# === Summary ===


def test_summary(own):
    long = "a.png\t[/bold] [red] " + "x" * 500 + "\n"
    settings = own(TRAIN + long, max_words=3)
    summary = json.loads(json.dumps(describe_splits(load(settings))))
    train = summary["splits"]["train"]
    assert train["num_images"] == 2 and train["num_captions"] == 4
    assert summary["examples"][1]["captions"] == ["Two dogs."]
    written = io.StringIO()
    show_splits(Console(file=written, width=200), load(settings))
    text = written.getvalue()
    for part in (
        *("b.png", "Two dogs.", "[/bold] [red]", " ...", "train.tsv", "validation"),
        *("1 to 3", "longest", "for each"),
    ):
        assert part in text
    assert "Left out, and why" not in text
    written = io.StringIO()
    show_splits(Console(file=written, width=200), load(own(max_words=2)))
    assert "captions of more than data.max_words=2 words" in written.getvalue()
