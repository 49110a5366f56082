"""Readers of captions: every layout, and everything that can be wrong with them."""

import gzip
import json

import pytest

from seqloom.pipelines.caption_readers import detect_caption_format, read_captions
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.readers import Skipped
from seqloom.tasks.records import DataError

COCO = {
    "info": {},
    "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 3, "file_name": "in/b.jpg"}],
    "annotations": [
        {"image_id": 3, "id": 1, "caption": "Two dogs. "},
        {"image_id": 7, "id": 2, "caption": "A ball."},
        {"image_id": 3, "id": 3, "caption": "Dogs, running."},
    ],
}


def karpathy(split, name="1.jpg", *captions, **more):
    sentences = [{"raw": caption, "tokens": []} for caption in captions]
    return {"filename": name, "split": split, "sentences": sentences, **more}


KARPATHY = {
    "dataset": "my",
    "images": [
        karpathy("train", "1.jpg", "One.", "Uno."),
        karpathy("restval", "2.jpg", "Two.", filepath="val2014"),
        karpathy("val", "3.jpg", "Three."),
        karpathy("test", "4.jpg", "Four."),
    ],
}


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        if isinstance(content, dict | list):
            content = json.dumps(content)
        content = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write


def complaint(path, *arguments, **more):
    with pytest.raises(DataError) as error:
        read_captions(path, *arguments, **more)
    return str(error.value)


def plain(path, layout="auto"):
    return [(image.name, image.captions) for image in read_captions(path, layout)]


# === Layouts ===

WANTED = [("a.jpg", ("A ball.", "One ball, red.")), ("in/b.jpg", ("Two dogs.",))]
CSV = 'image,caption\na.jpg, A ball.\nin/b.jpg,Two dogs.\na.jpg,"One ball, red."\n'
TSV = "a.jpg\tA ball.\n\nin/b.jpg\t Two dogs. \n./a.jpg\tOne ball, red."
NUMBERED = "a.jpg#0\tA ball.\na.jpg#1\tOne ball, red.\r\nin/b.jpg#0\tTwo dogs.\n"
LINES = (
    '{"image": "a.jpg", "caption": "A ball.", "id": 1}\n\n'
    '{"image": "in/b.jpg", "captions": ["Two dogs."]}\n'
    '{"image": "a.jpg", "caption": "One ball, red."}\n'
)


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        ("my.csv", CSV, (2, 3)),
        ("my.csv.gz", CSV, (2, 3)),
        ("my.txt", CSV, (2, 3)),
        ("my.tsv", TSV, (1, 3)),
        ("my.tsv", "\ufeffimage\tcaption\n" + TSV, (2, 4)),
        ("my.txt", TSV, (1, 3)),
        ("Flickr8k.token.txt", NUMBERED, (1, 3)),
        ("my.jsonl", LINES, (1, 3)),
        ("my.json", LINES, (1, 3)),
        ("my.json.gz", LINES, (1, 3)),
        ("my", LINES, (1, 3)),
    ],
)
def test_lines(write, name, content, lines):
    path = write(name, content)
    assert plain(path) == WANTED
    wheres = [f"{path}:{line}" for line in lines]
    assert [image.where for image in read_captions(path)] == wheres
    assert {image.split for image in read_captions(path)} == {""}


def test_other_columns_and_orders_in_csv(write):
    path = write("my.csv", "id,caption, image\n1,Hm.,a#1.jpg\n")
    assert plain(path) == [("a#1.jpg", ("Hm.",))]


def test_a_single_json_line(write):
    path = write("my.json", '{"image": "a.jpg", "captions": ["One.", "Two."]}\n')
    assert plain(path) == [("a.jpg", ("One.", "Two."))]


@pytest.mark.parametrize("layout", ["auto", "coco"])
def test_coco(write, layout):
    path = write("captions_val.json", COCO)
    assert plain(path, layout) == [
        ("a.jpg", ("A ball.",)),
        ("in/b.jpg", ("Two dogs.", "Dogs, running.")),
    ]
    assert read_captions(path)[1].where == f"{path}: images[1]"


@pytest.mark.parametrize("layout", ["auto", "karpathy"])
def test_karpathy(write, layout):
    path = write("dataset.json.gz", KARPATHY)
    images = read_captions(path, layout)
    assert [(image.name, image.split) for image in images] == [
        ("1.jpg", "train"),
        ("val2014/2.jpg", "train"),
        ("3.jpg", "dev"),
        ("4.jpg", "test"),
    ]
    assert images[0].captions == ("One.", "Uno.")


def test_the_format_goes_before_the_name(write):
    assert plain(write("my.csv", TSV), "tsv") == WANTED
    assert plain(write("my.tsv", CSV), "csv") == WANTED
    assert plain(write("my.json", LINES), "jsonl") == WANTED


def test_detection(write):
    assert detect_caption_format(write("a.TSV.gz", CSV)) == "tsv"
    assert detect_caption_format(write("a.txt", "\n[1]")) == "json"
    assert detect_caption_format(write("b.txt", "\n")) == "tsv"


# === Complaints ===

EMPTY = "no captions: the file is empty, or holds nothing below its first line"
FIX = "data.on_error=skip to drop it"


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("a.csv", "", (EMPTY,)),
        ("a.csv", "image,caption\n", (EMPTY,)),
        ("a.json", " \n", (EMPTY,)),
        ("a.txt", "\n", (EMPTY,)),
        (
            "a.txt",
            "hello there\n",
            ("a.txt:1: 'hello there': neither JSON, nor an image and", "data.format"),
        ),
        (
            "a.csv",
            "img,text\n1.jpg,A\n",
            (
                "a.csv:1: 'img,text': the first line of a CSV file of captions names",
                "here they are 'img', 'text'. Write `image,caption` above",
            ),
        ),
        (
            "a.csv",
            "1.jpg\tA\n",
            ("Its cells look parted by tabs: set data.format=tsv",),
        ),
        (
            "a.csv",
            "image,caption,image\n1.jpg,A,2.jpg\n",
            ("a.csv:1: 2 columns are called 'image' (the image). Rename all but one",),
        ),
        (
            "a.csv",
            "image,caption\n1.jpg,A, B\n",
            ("a.csv:2: '1.jpg,A, B': 3 columns where line 1 has 2", FIX),
        ),
        (
            "a.csv",
            'image,caption\n1.jpg,"A\n2.jpg,B\n',
            ("a.csv:2: ", "a quote is opened here and never closed"),
        ),
        (
            "a.csv",
            "image,caption\n1.jpg, \n",
            ("a.csv:2: '1.jpg, ': the caption is", FIX),
        ),
        (
            "a.csv",
            "image,caption\n,A\n",
            ("a.csv:2: ',A': the name of the image is", FIX),
        ),
        (
            "a.csv",
            b"image,caption\n1.jpg,\xe9\n",
            ("a.csv:2: ", "byte 0xe9 at position 7"),
        ),
        ("a.tsv", "1.jpg A\n", ("a.tsv:1: '1.jpg A': no tab: a line holds an", FIX)),
        ("a.tsv", "1.jpg\tA\tB\n", ("a.tsv:1: ", "2 tabs: a line holds an image")),
        ("a.tsv", "1.jpg#0\t\n", ("a.tsv:1: ", "the caption is empty")),
        (
            "a.tsv",
            "../1.jpg\tA\n",
            ("a.tsv:1: ", "'../1.jpg', leaves the folder of the images", FIX),
        ),
        ("a.tsv", "/x/1.jpg\tA\n", ("a.tsv:1: ", "leaves the folder", "data.images")),
        (
            "a.jsonl",
            "{]\n",
            ("a.jsonl:1: '{]': no JSON: ", 'such as {"image": "1.jpg"'),
        ),
        ("a.jsonl", "[1]\n", ("a.jsonl:1: '[1]': no object, such as", FIX)),
        ("a.jsonl", '{"caption": "A"}\n', ("there is no 'image', only 'caption'",)),
        ("a.jsonl", '{"image": "1"}\n', ('neither of "caption" (a text) and "capt',)),
        (
            "a.jsonl",
            '{"image": "1", "caption": "A", "captions": ["A"]}\n',
            ('both of "caption"', "give one of the two"),
        ),
        (
            "a.jsonl",
            '{"image": "1", "captions": "A"}\n',
            ("'captions' must be a list, got a text",),
        ),
        (
            "a.jsonl",
            '{"image": "1", "captions": ["A", 5]}\n',
            ("'captions' must be a text, got a number",),
        ),
        (
            "a.jsonl",
            '{"image": 1, "caption": "A"}\n',
            ("'image' must be a text, got a n",),
        ),
        (
            "a.jsonl",
            '{"image": "1", "captions": []}\n',
            ("the image '1' has no caption",),
        ),
        (
            "a.jsonl",
            '{"image": "1", "captions": ["A", ""]}\n',
            ("the caption is empty",),
        ),
        (
            "a.jsonl",
            '{"image": "1", "caption": "\\ud83d"}\n',
            ("a.jsonl:1: ", "half a character"),
        ),
        (
            "a.json",
            '{"images": [],\n"a',
            ("a.json:2: no JSON: ", "is cut off or damaged"),
        ),
        ("a.json", b'{"a": "\xe9"}', ("a.json:1: ", "byte 0xe9 at position 8 is not")),
        (
            "a.json",
            "[1, 2]",
            ("a.json: JSON, but a list, which is no layout", "COCO's"),
        ),
        ("a.json", {"b": 1}, ("a.json: JSON, but an object with 'b', which is no",)),
        ("a.json", {"images": []}, ("JSON, but an object with 'images'",)),
        ("a.json", {"images": [], "annotations": []}, (EMPTY,)),
        (
            "a.json",
            COCO | {"annotations": {}},
            ('"annotations" must be a list in COCO\'s layout, got an object',),
        ),
        (
            "a.json",
            COCO | {"annotations": [{"image_id": 7, "bbox": []}]},
            ("annotations of objects, not captions", "captions_*.json"),
        ),
        (
            "a.json",
            COCO | {"annotations": [{"image_id": 8, "caption": "A"}]},
            ('a.json: annotations[0]: there is no image with the "id" 8', FIX),
        ),
        (
            "a.json",
            COCO | {"annotations": COCO["annotations"][:1]},
            ("a.json: images[0]: the image 'a.jpg' has no caption", FIX),
        ),
        (
            "a.json",
            COCO | {"images": [{"id": [], "file_name": "a"}], "annotations": []},
            ("images[0]: 'id' must be a number or a text, got a list",),
        ),
        (
            "a.json",
            {"images": [karpathy("dev", "1.jpg", "A")]},
            ("images[0]: the \"split\" is 'dev', not one of train, restval, val",),
        ),
        (
            "a.json",
            {"images": [karpathy("val", "1.jpg")]},
            ("a.json: images[0]: the image '1.jpg' has no caption", FIX),
        ),
        (
            "a.json",
            {"images": [karpathy("val", "", "A", filepath="in")]},
            ("images[0]: the name of the image is empty",),
        ),
        (
            "a.json",
            {"images": [karpathy("val", "1.jpg", "A"), 5]},
            ("images[1]: a number where an object is wanted",),
        ),
        (
            "a.json",
            {"images": [karpathy("val", "1", "A"), karpathy("test", "1", "B")]},
            (
                "images[1]: the image '1' is in 'test' here and in 'dev' at ",
                "images[0]",
            ),
        ),
    ],
)
def test_bad_files(write, name, content, parts):
    path = write(name, content)
    message = complaint(path)
    assert message.startswith(str(path))
    for part in parts:
        assert part in message


@pytest.mark.parametrize("layout", ["coco", "karpathy"])
def test_lines_given_out_as_one_object(write, layout):
    assert "a.json:3: no JSON: Extra data" in complaint(write("a.json", LINES), layout)


def test_bad_lines_are_skipped_and_counted(write):
    skipped = Skipped()
    path = write("my.tsv", "a.jpg\tA\nno tab\nb.jpg\t\n../c.jpg\tC\na.jpg\tB\n")
    images = read_captions(path, on_error="skip", skipped=skipped)
    assert images == [("a.jpg", ("A", "B"), f"{path}:1", "")]
    assert skipped.count == 3
    assert f"{path}:2: 'no tab': no tab" in skipped.reasons[0]
    message = complaint(write("b.tsv", "no tab\n"), on_error="skip")
    assert "no captions: all 1 were dropped by data.on_error=skip, the first" in message


def test_bad_entries_are_skipped_and_counted(write):
    skipped = Skipped()
    images = [*COCO["images"], {"id": 9, "file_name": "c.jpg"}, {"id": 7}]
    path = write("my.json", COCO | {"images": images})
    found = read_captions(path, on_error="skip", skipped=skipped)
    assert [image.name for image in found] == ["a.jpg", "in/b.jpg"]
    assert skipped.count == 2


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"none.tsv: no such file"):
        read_captions(tmp_path / "none.tsv")
