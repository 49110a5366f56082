"""Loading splits: own files, schemes, what is dropped, and every complaint."""

import io
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

from seqloom.pipelines import data as data_module
from seqloom.pipelines.corpora import CORPORA
from seqloom.pipelines.data import describe_splits, load_splits, show_splits
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.sources import Fetched
from seqloom.tasks.records import DataError

TRAIN = "Ada B-PER\nByron I-PER\nmet O\n\nKos B-LOC\n\n"


def settings(**changed):
    defaults = dict.fromkeys(("corpus", "train", "dev", "test", "limit", "max_length"))
    defaults |= {"format": "auto", "token_column": 0, "tag_column": None}
    defaults |= {"scheme": "auto", "on_error": "stop"}
    return SimpleNamespace(**defaults | changed)


@pytest.fixture
def own(tmp_path):
    """Write the three files and return settings that name them."""

    def own(train=TRAIN, dev="Rhea B-PER\n", test="Rome B-LOC\n", **changed):
        suffix = changed.pop("suffix", "conll")
        paths = {}
        for name, text in (("train", train), ("dev", dev), ("test", test)):
            path = tmp_path / f"{name}.{suffix}"
            path.write_text(text, encoding="utf-8")
            paths[name] = str(path)
        return settings(**paths | changed)

    return own


def test_own_files(own):
    splits = load_splits(own(), "ner")
    assert splits.train[0].tokens == ("Ada", "Byron", "met")
    assert splits.train[0].tags == ("B-PER", "I-PER", "O")
    assert [len(splits.split(name)) for name in ("train", "dev", "test")] == [2, 1, 1]
    assert splits.name == "train.conll"
    assert splits.scheme == "iob2"
    info = splits.info["train"]
    assert (info.num_sentences, info.num_tokens, info.longest) == (2, 4, 3)
    assert info.tags == {"B-LOC": 1, "B-PER": 1, "I-PER": 1, "O": 1}
    assert info.origin == "own file"
    assert len(info.sha256) == 64


def test_own_files_go_before_the_corpus(own):
    assert load_splits(own(corpus="conll2003"), "ner").name == "train.conll"


def test_conllu_files_use_form_and_upos(own):
    rows = "1\tdogs\t_\tNOUN\tNNS\t_\t0\troot\t_\t_\n"
    splits = load_splits(own(rows, rows, rows, suffix="conllu"), "pos")
    assert splits.train[0][:2] == (("dogs",), ("NOUN",))
    by_name = own(rows, rows, rows, suffix="conllu", tag_column="XPOS")
    assert load_splits(by_name, "pos").train[0].tags == ("NNS",)
    forced = own(rows, rows, rows, suffix="txt", format="conllu")
    assert load_splits(forced, "pos").train[0].tags == ("NOUN",)


def test_the_scheme_is_found_over_all_files_together(own):
    # The test file alone would pass for IOB2.
    train = "Ada I-PER\nByron I-PER\nmet O\n\nKos I-LOC\nRome B-LOC\n"
    iob1 = own(train, "Rhea I-PER\n", TRAIN)
    splits = load_splits(iob1, "ner")
    assert splits.scheme == "iob1"
    assert splits.train[0].tags == ("B-PER", "I-PER", "O")
    assert splits.train[1].tags == ("B-LOC", "B-LOC")
    assert splits.dev[0].tags == ("B-PER",)
    bioes = own("Ada B-PER\nByron E-PER\n\nKos S-LOC\n", "Rhea S-PER\n", "Rome S-LOC\n")
    splits = load_splits(bioes, "ner")
    assert (splits.scheme, splits.train[0].tags) == ("bioes", ("B-PER", "I-PER"))


def test_a_slip_in_iob2_stops_or_is_read_as_told(own):
    slip = TRAIN + "Mia O\nRoss I-PER\n"
    with pytest.raises(DataError, match=r"train.conll:7: Tag 2 .*must be 'B-PER'"):
        load_splits(own(slip), "ner")
    assert load_splits(own(slip, scheme="iob1"), "ner").train[2].tags == ("O", "B-PER")
    skipping = load_splits(own(slip, on_error="skip"), "ner")
    assert (len(skipping.train), skipping.info["train"].num_skipped) == (2, 1)


def test_pos_tags_are_left_alone(own):
    splits = load_splits(own("a DET\ndog S-X\n", "a DET\n", "a DET\n"), "pos")
    assert (splits.scheme, splits.train[0].tags) == ("none", ("DET", "S-X"))


def test_tags_that_are_no_spans(own):
    with pytest.raises(DataError, match=r"train.conll:1: The tag 'DET' names no part"):
        load_splits(own("a DET\n"), "ner")


@pytest.mark.parametrize("split", ["dev", "test"])
def test_unknown_tag_in_validation_or_test(own, split):
    bad = own(**{split: "Rhea B-PER\n\nMia O\nOslo B-CITY\n"})
    with pytest.raises(DataError) as error:
        load_splits(bad, "ner")
    for part in (
        f"{split}.conll:3: the word 'Oslo' has the tag 'B-CITY', which no training",
        "Known are B-LOC, B-PER, I-PER, O.",
        "data.on_error=skip",
    ):
        assert part in str(error.value)
    bad.on_error = "skip"
    said = []
    splits = load_splits(bad, "ner", say=said.append)
    assert len(splits.split(split)) == 1
    assert splits.info[split].num_skipped == 1
    assert "B-CITY" in splits.info[split].skipped_reasons[0]
    assert any("Left out 1" in text and "malformed" in text for text in said)


def test_limit_takes_the_first_and_says_what_tags_cost(own):
    said = []
    splits = load_splits(
        own(dev="Rhea B-PER\n\nKos B-LOC\n", test="Mia B-PER\n", limit=1),
        "ner",
        say=said.append,
    )
    assert [len(splits.split(name)) for name in ("train", "dev", "test")] == [1, 1, 1]
    assert not said
    dev = "Kos B-LOC\n\nRhea B-PER\n"
    longer = own(TRAIN.replace("Kos", "met O\n\nKos"), dev, "Mia B-PER\n", limit=2)
    longer.limit = 2
    splits = load_splits(longer, "ner", say=said.append)
    assert splits.info["dev"].num_out_of_limit == 1
    assert "Left out 1 validation sentences with tags that the first" in said[0]


def test_long_sentences_leave_training_only(own):
    said = []
    long = "a O\nb O\nc O\nd O\n"
    splits = load_splits(own(TRAIN + long, long, max_length=3), "ner", say=said.append)
    assert (len(splits.train), splits.info["train"].num_too_long) == (2, 1)
    assert splits.dev[0].tokens == ("a", "b", "c", "d")
    assert said == [
        "Left out 1 training sentences longer than data.max_length=3 tokens."
    ]


def test_nothing_left(own):
    with pytest.raises(DataError, match=r"The training split is empty.*max_length"):
        load_splits(own(max_length=0), "ner")
    with pytest.raises(DataError, match="The validation split is empty"):
        load_splits(own(dev="Oslo B-CITY\n", on_error="skip"), "ner")


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_an_empty_file(own, split):
    with pytest.raises(DataError, match=rf"{split}.conll: no sentences: the file"):
        load_splits(own(**{split: ""}), "ner")


def test_missing_settings_and_files(own):
    with pytest.raises(UserError) as error:
        load_splits(settings(train="my.conll", test="t.conll"), "ner")
    assert "data.dev missing" in str(error.value)
    wanted = 'SET="data.train=my.conll data.dev=... data.test=t.conll"'
    assert wanted in str(error.value)
    with pytest.raises(UserError, match=r"nothing to train on.*data.corpus=conll2003"):
        load_splits(settings(), "ner")
    gone = own()
    gone.dev = "gone.conll"
    with pytest.raises(UserError, match=r"data.dev=gone.conll: cannot be read"):
        load_splits(gone, "ner")


def test_malformed_line_of_own_file(own):
    with pytest.raises(DataError, match=r"dev.conll:2: 'b': 1 column where"):
        load_splits(own(dev="a O\nb\n"), "ner")


def test_dataset_hash_knows_content_not_place(own, tmp_path):
    first = load_splits(own(), "ner").sha256
    (tmp_path / "other").mkdir()
    assert load_splits(own(suffix="txt"), "ner").sha256 == first
    assert load_splits(own(test="Rom B-LOC\n"), "ner").sha256 != first
    tabbed = load_splits(own(TRAIN.replace(" ", "\t")), "ner")
    assert tabbed.sha256 == first


@pytest.mark.parametrize("origin", ["download", "cache"])
def test_the_licence_is_said_when_a_corpus_is_fetched(tmp_path, monkeypatch, origin):
    path = tmp_path / "c.txt"
    path.write_text("EU NNP B-NP B-ORG\n")
    fetched = Fetched(path, "0" * 64, "public", origin)
    monkeypatch.setattr(data_module, "fetch", lambda source, progress: fetched)
    said = []
    splits = load_splits(settings(corpus="conll2003"), "ner", say=said.append)
    assert splits.train[0].tags == ("B-ORG",)
    assert splits.licence_note == CORPORA["conll2003"].licence_note
    assert any("Reuters" in text and "research" in text for text in said) == (
        origin == "download"
    )
    pos = load_splits(settings(corpus="conll2003"), "pos", say=said.append)
    assert pos.train[0].tags == ("NNP",)
    by_column = settings(corpus="conll2003", tag_column=2)
    chunks = load_splits(by_column, "ner", say=said.append)
    assert chunks.train[0].tags == ("B-NP",)


@pytest.mark.parametrize(("task", "scheme"), [("ner", "iob2"), ("pos", "none")])
def test_synthetic(task, scheme):
    splits = load_splits(settings(corpus="synthetic"), task, seed=5)
    assert (len(splits.train), len(splits.dev), len(splits.test)) == (800, 200, 200)
    assert splits.scheme == scheme
    assert (
        splits.sha256 == load_splits(settings(corpus="synthetic"), task, seed=5).sha256
    )
    assert (
        splits.sha256 != load_splits(settings(corpus="synthetic"), task, seed=6).sha256
    )


def test_summary(own):
    tricky = TRAIN + "[/bold] O\n[red] O\nx O\ny O\nKos B-LOC\n"
    splits = load_splits(own(tricky), "ner")
    summary = json.loads(json.dumps(describe_splits(splits)))
    assert summary["labels"]["train"] == {"LOC": 2, "PER": 1}
    assert summary["splits"]["train"]["num_sentences"] == 3
    assert summary["examples"][0]["tokens"][0] == "[/bold]"
    written = io.StringIO()
    show_splits(Console(file=written, width=200), splits)
    text = written.getvalue()
    for part in ("[/bold] [red] x y Kos/B-LOC", "train.conll", "validation", "LOC"):
        assert part in text
    pos = load_splits(own("a DET\n", "a DET\n", "a DET\n"), "pos")
    assert describe_splits(pos)["labels"]["dev"] == {"DET": 1}


def test_no_heavy_import():
    code = (
        "import sys, seqloom.pipelines.data\n"
        "heavy = {'tensorflow', 'keras', 'mlflow', 'pooch', 'requests'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
