"""Loading labelled texts: own files, splits by hash, and every complaint."""

import io
import json
from collections import Counter

import pytest
from rich.console import Console

from seqloom.pipelines import text_data
from seqloom.pipelines.config import TextDataConfig
from seqloom.pipelines.data import describe_splits, load_splits, show_splits
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.hash_split import normalize, split_of
from seqloom.pipelines.sources import Fetched
from seqloom.pipelines.splits import SPLITS, texts_sha256
from seqloom.pipelines.text_corpora import TEXT_CORPORA
from seqloom.tasks.records import DataError, LabelledText

TRAIN = "text\tlabel\nA fine film\tgood\nA dull film\tbad\nFine\tgood\n"
HEAD = "text\tlabel\n"


@pytest.fixture
def own(tmp_path):
    """Write the files that are given and return settings that name them."""

    def own(train=TRAIN, dev=None, test=None, suffix="tsv", **changed):
        paths = {}
        for name, text in (("train", train), ("dev", dev), ("test", test)):
            if text is not None:
                path = tmp_path / f"{name}.{suffix}"
                path.write_text(text, encoding="utf-8")
                paths[name] = str(path)
        return TextDataConfig(**paths | changed)

    return own


def many(num_texts=300):
    """A file of so many texts, sorted by label, each third one written twice."""
    rows = [
        f"Text {n}\t{'bad' if n < num_texts / 2 else 'good'}" for n in range(num_texts)
    ]
    doubles = [
        row.upper().replace("\tBAD", "\tbad").replace("\tGOOD", "\tgood")
        for row in rows[::3]
    ]
    return HEAD + "\n".join(rows + doubles) + "\n"


def load(settings, say=lambda line: None):
    return load_splits(settings, "sentiment", seed=1, say=say)


def test_three_files_are_taken_as_given(own):
    said = []
    settings = own(dev=HEAD + "Dull\tbad\n", test=HEAD + "x\tgood\ny\tbad\n")
    splits = load(settings, said.append)
    assert splits.train[0] == ("A fine film", "good", f"{settings.train}:2")
    assert [len(splits.split(name)) for name in SPLITS] == [3, 1, 2]
    assert (splits.unit, splits.scheme, splits.name) == ("texts", "none", "train.tsv")
    info = splits.info["train"]
    assert info.labels == {"good": 2, "bad": 1}
    assert (info.num_texts, info.num_tokens, info.longest) == (3, 7, 3)
    assert (info.longest_characters, info.origin, info.by_hash) == (
        11,
        "own file",
        False,
    )
    assert said == []


def test_a_lone_file_is_split_by_hash(own):
    said = []
    splits = load(own(many()), said.append)
    for name in SPLITS:
        assert all(split_of(text.text) == name for text in splits.split(name))
        assert splits.info[name].by_hash
        assert splits.info[name].sha256 == texts_sha256(splits.split(name))
    everything = [
        normalize(text.text) for name in SPLITS for text in splits.split(name)
    ]
    assert sorted(Counter(everything).values()) == [1] * 200 + [2] * 100
    (line,) = said
    assert "No file for validation (" in line
    assert "taken out of the 400 texts of " in line


def test_only_what_is_missing_is_taken_out_of_training(own):
    test = HEAD + "Dull\tbad\n"
    splits = load(own(many(), test=test))
    assert [text.text for text in splits.test] == ["Dull"]
    assert {split_of(text.text) for text in splits.dev} == {"dev"}
    assert {split_of(text.text) for text in splits.train} == {"train", "test"}
    assert len(splits.train) + len(splits.dev) == 400
    splits = load(own(many(), dev=test))
    assert {split_of(text.text) for text in splits.train} == {"train", "dev"}
    assert {split_of(text.text) for text in splits.test} == {"test"}


def test_a_limit_of_a_file_sorted_by_label_is_a_fair_sample(own):
    splits = load(own(many(), limit=20))
    assert [len(splits.split(name)) for name in SPLITS] == [20, 20, 20]
    assert min(splits.info["train"].labels.values()) >= 5


def test_own_files_go_before_the_corpus_and_other_columns(own):
    rows = "sentence,stars\nfine,5\ndull,1\n"
    settings = own(
        rows, rows, rows,
        suffix="csv", corpus="vader", text_column="sentence", label_column="stars",
    )  # fmt: skip
    splits = load(settings)
    assert splits.name == "train.csv"
    assert [text.label for text in splits.train] == ["5", "1"]
    forced = own(
        "fine,5\ndull,1\n",
        rows,
        rows,
        "txt",
        format="csv",
        text_column=0,
        label_column=1,
    )
    with pytest.raises(DataError, match="'stars' is one that no training text has"):
        load(forced)


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_label_not_seen_in_training(own, split):
    rows = {"dev": HEAD + "a\tgood\n", "test": HEAD + "b\tbad\n"}
    rows[split] += "c\tgod\n"
    with pytest.raises(DataError) as error:
        load(own(**rows))
    for part in (
        f"{split}.tsv:3: the label 'god' is one that no training text has. Known are "
        "bad, good. Did you mean 'good'? Correct the label",
        "set data.on_error=skip to drop such texts.",
    ):
        assert part in str(error.value)
    said = []
    splits = load(own(**rows, on_error="skip"), said.append)
    assert len(splits.split(split)) == 1
    assert splits.info[split].num_skipped == 1
    assert "'god'" in splits.info[split].skipped_reasons[0]
    assert any("Left out 1" in line and "malformed" in line for line in said)


def test_labels_that_a_limit_cuts_off(own):
    said = []
    train = TRAIN + "So so\tmixed\n"
    dev = HEAD + "a\tmixed\nb\tgood\n"
    splits = load(own(train, dev, HEAD + "c\tbad\n", limit=3), said.append)
    assert splits.info["dev"].num_out_of_limit == 1
    assert (
        "Left out 1 validation texts with labels that the first data.limit=3" in said[0]
    )


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"train": HEAD + "a\tgood\nb\tgood\n"},
            "All 2 training texts of .*train.tsv have the label 'good', so there",
        ),
        ({"limit": 1}, "All 1 training texts .* Only the first data.limit=1 are read"),
        ({"test": HEAD + " \tgood\n"}, "test.tsv:2: ' \\\\tgood': the text is empty"),
        ({"dev": ""}, "dev.tsv: no texts: the file is empty"),
        (
            {"dev": HEAD + "c\tgod\n", "on_error": "skip"},
            "validation split is empty: no text of .*dev.tsv is left.",
        ),
        ({"label_column": "labels"}, "train.tsv:1: there is no column 'labels'"),
        ({"train": "a\n"}, "there is no column 'text'. The names are: 'a'. Set"),
    ],
)
def test_bad_files(own, files, message):
    rows = {"dev": HEAD + "a\tgood\n", "test": HEAD + "b\tbad\n"}
    with pytest.raises(DataError, match=message):
        load(own(**rows | files))


def test_too_few_texts_to_split(own):
    with pytest.raises(DataError, match="validation split is empty: about a tenth of"):
        load(own())
    with pytest.raises(DataError, match=r"The training split is empty: no text of"):
        load(own(HEAD + "d\tgood\n"))  # its hash puts it into the test split


def test_missing_file(own, tmp_path):
    settings = TextDataConfig(train=str(tmp_path / "none.tsv"))
    with pytest.raises(UserError, match=r"data.train=.*none.tsv: cannot be read \(No"):
        load(settings)


def test_texts_of_training_in_other_splits_are_said(own):
    said = []
    files = {"dev": HEAD + "Dull\tbad\n", "test": HEAD + "FINE\tgood\nnew\tbad\n"}
    load(own(**files), said.append)
    assert said == ["1 of the 2 test texts are training texts too."]


def test_a_text_of_100_000_characters(own):
    long = "x" * 100_000
    row = HEAD + f"{long}\tgood\n"
    splits = load(own(row + "b\tbad\n", row, row))
    assert splits.train[0].text == splits.test[0].text == long
    assert splits.info["test"].longest_characters == 100_000


def test_dataset_hash_knows_content_not_place(own):
    rows = {"dev": HEAD + "a\tgood\n", "test": HEAD + "b\tbad\n"}
    first = load(own(**rows)).sha256
    assert load(own(**rows, suffix="txt")).sha256 == first
    assert load(own(**rows | {"test": HEAD + "b\tgood\n"})).sha256 != first
    assert load(own(**rows | {"test": HEAD + "b \tbad\n"})).sha256 != first
    shifted = [LabelledText("x\n1 1\nb\ty", "a"), LabelledText("x", "a\ty\n1 1\nb")]
    assert texts_sha256(shifted[:1]) != texts_sha256(shifted[1:])


def test_the_licence_is_said_and_phrases_are_for_training_alone(tmp_path, monkeypatch):
    path = tmp_path / "trees.txt"
    path.write_text("(4 (3 good) (2 film))\n(1 (2 a) (0 bore))\n(2 so)\n")
    fetched = Fetched(path, "0" * 64, "public", "download")
    monkeypatch.setattr(text_data, "fetch", lambda source, progress: fetched)
    said = []
    splits = load(TextDataConfig(corpus="sst2", phrases=True), said.append)
    note = TEXT_CORPORA["sst2"].licence_note
    assert note in said[0]
    assert "never train on one of the two and test on the other" in note
    assert splits.licence_note == note
    assert [text.text for text in splits.train] == [
        "good film",
        "good",
        "a bore",
        "bore",
    ]
    assert [text.label for text in splits.dev] == ["positive", "negative"]
    five = load(TextDataConfig(corpus="sst5"), said.append)
    assert [t.label for t in five.test] == ["very_positive", "negative", "neutral"]


def test_synthetic():
    splits = load(TextDataConfig(corpus="synthetic"))
    assert [len(splits.split(name)) for name in SPLITS] == [1600, 200, 200]
    again = load_splits(TextDataConfig(corpus="synthetic"), "sentiment", seed=2)
    assert again.sha256 != splits.sha256


def test_summary(own):
    tricky = TRAIN + "[/bold] [red]\t[b]\n" + "x" * 500 + "\tgood\n"
    splits = load(own(tricky, HEAD + "a\tgood\n", HEAD + "b\tbad\n"))
    summary = json.loads(json.dumps(describe_splits(splits)))
    assert summary["labels"]["train"] == {"good": 3, "bad": 1, "[b]": 1}
    assert summary["splits"]["train"]["lengths"] == {"50%": 2, "90%": 3, "99%": 3}
    assert [example["label"] for example in summary["examples"]] == [
        "good",
        "bad",
        "[b]",
    ]
    written = io.StringIO()
    show_splits(Console(file=written, width=200), splits, num_examples=5)
    text = written.getvalue()
    for part in ("[b]  [/bold] [red]", "train.tsv", "validation", "x" * 100, " ..."):
        assert part in text
    parted = io.StringIO()
    show_splits(Console(file=parted, width=200), load(own(many())))
    assert parted.getvalue().count("(a part, by hash)") == 3
