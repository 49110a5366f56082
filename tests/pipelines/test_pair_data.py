"""Loading pairs: own files, splits by hash, filters, twins, and every complaint."""

import io
import json

import pytest
from pydantic import ValidationError
from rich.console import Console

from seqloom.pipelines import pair_data
from seqloom.pipelines.config import PairDataConfig
from seqloom.pipelines.data import describe_splits, load_splits, show_splits
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.hash_split import split_of
from seqloom.pipelines.pair_corpora import PAIR_CORPORA
from seqloom.pipelines.sources import Fetched, file_sha256
from seqloom.pipelines.splits import SPLITS, pairs_sha256
from seqloom.tasks.records import DataError, SentencePair

TRAIN = "A ball.\tEin Ball.\nTwo dogs.\tZwei Hunde.\nA big ball.\tEin großer Ball.\n"
DEV, TEST = "One dog.\tEin Hund.\n", "Balls.\tBälle.\nDogs.\tHunde.\n"


@pytest.fixture
def own(tmp_path):
    """Write the files that are given and return settings that name them."""

    def own(train=TRAIN, dev=None, test=None, **changed):
        paths = {}
        texts = {"train": train, "dev": dev, "test": test}
        texts |= {key: changed.pop(key) for key in [*changed] if "_target" in key}
        for name, text in texts.items():
            if text is not None:
                path = tmp_path / f"{name}.txt"
                path.write_text(text, encoding="utf-8")
                paths[name] = str(path)
        return PairDataConfig(**paths | changed)

    return own


def load(settings, say=lambda line: None):
    return load_splits(settings, "translation", seed=1, say=say)


def many(num_pairs=300):
    """So many sources, sorted by length, each third one with another target."""
    rows = [f"Text {n}\tTexte {n}" for n in range(num_pairs)]
    return "\n".join(sorted(rows + [row.upper() for row in rows[::3]], key=len)) + "\n"


# === Where pairs come from ===


def test_three_tables_are_taken_as_given(own):
    said = []
    settings = own(dev=DEV, test=TEST)
    splits = load(settings, said.append)
    assert splits.train[0] == ("A ball.", "Ein Ball.", f"{settings.train}:1")
    assert [len(splits.split(name)) for name in SPLITS] == [3, 1, 2]
    assert (splits.unit, splits.scheme, splits.name) == ("pairs", "none", "train.txt")
    info = splits.info["train"]
    assert (info.num_pairs, info.num_tokens, info.num_target_tokens) == (3, 7, 7)
    assert (info.longest, info.longest_target, info.by_hash) == (3, 3, False)
    assert info.ratio == round((9 + 11 + 16) / (7 + 9 + 11), 3)
    assert info.sha256 == file_sha256(settings.train)
    assert said == []


def test_line_files_and_tables_go_together(own):
    settings = own(
        "A ball.\nTwo dogs.\n", DEV, TEST, train_target="Ein Ball.\nZwei Hunde.\n"
    )
    splits = load(settings)
    assert [pair[:2] for pair in splits.train] == [
        ("A ball.", "Ein Ball."),
        ("Two dogs.", "Zwei Hunde."),
    ]
    assert splits.dev[0][:2] == ("One dog.", "Ein Hund.")
    info = splits.info["train"]
    assert info.path == f"{settings.train} + {settings.train_target}"
    assert len(info.sha256) == 64 and info.sha256 != file_sha256(settings.train)


def test_own_files_go_before_the_corpus_and_other_columns(own):
    settings = own(
        "en\tn\tde\nA\t1\tEin\n",
        *("de\ten\nX\tY\n", "en\tde\nY\tX\n"),
        corpus="multi30k",
        source_column="de",
        target_column="en",
    )
    splits = load(settings)
    assert [splits.split(name)[0][:2] for name in SPLITS] == [
        ("Ein", "A"),
        ("X", "Y"),
        ("X", "Y"),
    ]


@pytest.mark.parametrize("kind", ["copy", "reverse"])
def test_twins(kind):
    said = []
    splits = load(PairDataConfig(corpus=kind), said.append)
    assert [len(splits.split(name)) for name in SPLITS] == [4000, 200, 200]
    assert splits.info["test"].num_repeated == 0
    assert said == []
    other = load_splits(PairDataConfig(corpus=kind), "translation", seed=2)
    assert other.sha256 != splits.sha256


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """Replaces what corpora fetch by files as if just downloaded."""

    def fetched(content):
        path = tmp_path / "corpus"
        path.write_text(content, encoding="utf-8")
        found = Fetched(path, "0" * 64, "public", "download")
        monkeypatch.setattr(pair_data, "fetch", lambda source, progress: found)

    return fetched


def test_the_licence_is_said(fetched):
    fetched("A ball.\nTwo dogs.\n")
    said = []
    splits = load(PairDataConfig(corpus="multi30k", pair="fr-de"), said.append)
    note = PAIR_CORPORA["multi30k"].licence_note
    assert note in said[0]
    assert "Licence: non-commercial research. " in said[0]
    assert splits.licence_note == note
    assert splits.title.endswith(", fr-de")


# === Splits by hash ===


def test_a_lone_file_is_split_by_its_sources(own):
    said = []
    splits = load(own(many()), said.append)
    for name in SPLITS:
        assert all(split_of(pair.source) == name for pair in splits.split(name))
        assert splits.info[name].by_hash
    assert sum(len(splits.split(name)) for name in SPLITS) == 400
    assert [splits.info[name].num_repeated for name in SPLITS] == [0, 0, 0]
    assert splits.info["test"].sha256 == pairs_sha256(splits.test)
    (line,) = said
    assert f"No file for validation ({len(splits.dev)}) and test (" in line
    assert "taken out of the 400 pairs of " in line


def test_only_what_is_missing_is_taken_out_of_training(own):
    splits = load(own(many(), test=TEST))
    assert [pair.source for pair in splits.test] == ["Balls.", "Dogs."]
    assert {split_of(pair.source) for pair in splits.dev} == {"dev"}
    assert {split_of(pair.source) for pair in splits.train} == {"train", "test"}
    assert not splits.info["test"].by_hash


def test_a_limit_of_a_sorted_file_is_a_fair_sample(own):
    splits = load(own(many(), limit=20))
    assert [len(splits.split(name)) for name in SPLITS] == [20, 20, 20]
    assert {len(pair.source) for pair in splits.train} >= {7, 8}


def test_corpora_are_split_by_their_english_side(tmp_path, monkeypatch):
    """One French sentence for each ten English ones, which lie in all splits."""
    rows = [SentencePair(f"Text {n // 10}", f"Text {n}") for n in range(500)]
    corpus = PAIR_CORPORA["tatoeba"]
    monkeypatch.setitem(
        pair_data.PAIR_CORPORA,
        "tatoeba",
        type(corpus)(
            **vars(corpus)
            | {"read": lambda *_: iter(rows), "sources": lambda pair: {"train": ()}}
        ),
    )
    monkeypatch.setattr(
        pair_data, "_info", lambda found: pair_data.PairSplitInfo(*"abc")
    )
    splits = load(PairDataConfig(corpus="tatoeba", pair="fr-en"))
    for name in ("dev", "test"):
        assert [split_of(pair.target) for pair in splits.split(name)]
        assert {split_of(pair.target) for pair in splits.split(name)} == {name}
        assert splits.info[name].num_repeated == 0
    held_out = {pair.source for pair in [*splits.dev, *splits.test]}
    wanted = [
        p for p in rows if split_of(p.target) == "train" and p.source not in held_out
    ]
    assert sorted(splits.train) == sorted(wanted) and wanted
    left_out = splits.info["train"].left_out
    assert left_out == {
        "with a source that validation or test has": 500
        - sum(len(splits.split(name)) for name in SPLITS)
    }


# === Filters ===


def test_filters_are_for_training_alone_and_said(own):
    rows = "a b c\td e\nA\tB\nA\tB\nA\tBBBBBBB\n"
    said = []
    splits = load(own(rows, rows, rows, max_words=2, max_ratio=3), said.append)
    assert [len(splits.split(name)) for name in SPLITS] == [1, 4, 4]
    assert said[0] == (
        "Left out 3 training pairs: 1 with a side of more than data.max_words=2 words; "
        "1 that were there before (data.duplicates=drop); 1 with a side longer than "
        "data.max_ratio=3.0 times the other."
    )
    assert splits.info["dev"].left_out == {}
    kept = load(
        own(rows, rows, rows, max_words=None, max_ratio=None, duplicates="keep")
    )
    assert len(kept.train) == 4


def test_limit_counts_what_the_filters_leave(own):
    rows = "".join(f"A {n}\tB {n}\nA {n}\tB {n}\n" for n in range(50))
    splits = load(own(rows, DEV, TEST, limit=10))
    assert [pair.source for pair in splits.train] == [f"A {n}" for n in range(10)]


def test_skipped_pairs_are_counted_and_said(own):
    said = []
    splits = load(own(TRAIN + "no tab\n", DEV, TEST, on_error="skip"), said.append)
    assert splits.info["train"].num_skipped == 1
    assert "no tab" in splits.info["train"].skipped_reasons[0]
    assert said == ["Left out 1 training pairs: 1 malformed (data.on_error=skip)."]


def test_sources_of_training_in_other_splits_are_said(own):
    said = []
    load(own(dev=DEV, test="a  BALL.\tAnders.\nNew.\tNeu.\n"), said.append)
    assert said == [
        "1 of the 2 test pairs have a source that is a training source too."
    ]


# === Complaints ===


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"train_target": "X\nY\n"},
            r"train.txt has 3 lines and .*train_target.txt has 2 lines: line n of one",
        ),
        ({"test": "No tab\n"}, "test.txt:1: 'No tab': no tab: .* data.test_target"),
        ({"dev": "\n"}, "dev.txt: no pairs: the file is empty"),
        ({"dev": "A\t\n"}, "dev.txt:1: 'A\\\\t': the target is empty"),
        (
            {"max_words": 1},
            r"training split is empty: all pairs of .*train.txt are left out \(3 with",
        ),
    ],
)
def test_bad_files(own, changed, message):
    with pytest.raises(DataError, match=message):
        load(own(**{"dev": DEV, "test": TEST} | changed))


def test_too_few_pairs_to_split(own):
    with pytest.raises(DataError, match="validation split is empty: about one in ten"):
        load(own("A\tB\n"))
    source = next(f"Text {n}" for n in range(99) if split_of(f"Text {n}") == "test")
    with pytest.raises(DataError, match="training split is empty: about eight in ten"):
        load(own(f"{source}\tB\n"))


@pytest.mark.parametrize("key", ["train", "train_target", "test_target"])
def test_missing_files(own, tmp_path, key):
    settings = own("A\nB\n", DEV, "A\nB\n", train_target="X\nY\n", test_target="X\nY\n")
    (tmp_path / f"{key}.txt").unlink()
    with pytest.raises(
        UserError, match=rf"data.{key}=.*{key}.txt: cannot be read \(No"
    ):
        load(settings)


def test_a_pair_that_the_corpus_lacks():
    with pytest.raises(
        UserError, match=r"multi30k has no such pair.*Did you mean 'en-"
    ):
        load(PairDataConfig(corpus="multi30k", pair="en-d"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "data.corpus and data.train are both null. Set data.corpus=localization"),
        ({"dev": "a"}, "data.dev set but not data.train"),
        ({"train_target": "a", "corpus": "copy"}, "data.train_target set but not data"),
        (
            {"train": "a", "dev_target": "b"},
            "data.dev_target set but not data.dev: targets without sources",
        ),
        (
            {"corpus": "copy", "pair": "enfr"},
            "data.pair='enfr' is no pair of languages",
        ),
        ({"corpus": "copy", "pair": "en-en"}, "'en-en' is no pair"),
        ({"train": "a", "source_column": "en"}, "Give both by name, or both by number"),
        ({"train": "a", "source_column": 1}, "are both 1. Give each its own column"),
        ({"corpus": "copy", "max_ratio": 0.5}, "greater than or equal to 1"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValidationError, match=message):
        PairDataConfig(**settings)


# === What is shown ===


def test_dataset_hash_knows_content_not_place(own):
    first = load(own(dev=DEV, test=TEST)).sha256
    lines = TRAIN.splitlines()
    sides = ["\n".join(line.split("\t")[n] for line in lines) for n in (0, 1)]
    assert load(own(sides[0], DEV, TEST, train_target=sides[1])).sha256 == first
    assert load(own(dev=DEV, test=TEST[:-2] + "!\n")).sha256 != first
    shifted = [SentencePair("a\tb", "c"), SentencePair("a", "b\tc")]
    assert pairs_sha256(shifted[:1]) != pairs_sha256(shifted[1:])


def test_summary(own):
    long = "[/bold] [red] a b c\t" + "x" * 500 + "\n"
    settings = own(TRAIN + TRAIN + long, DEV, TEST, max_ratio=None)
    summary = json.loads(json.dumps(describe_splits(load(settings))))
    train = summary["splits"]["train"]
    assert train["lengths"] == {"50%": 2, "90%": 5, "99%": 5}
    assert train["target_lengths"] == {"50%": 2, "90%": 3, "99%": 3}
    assert train["left_out"] == {"that were there before (data.duplicates=drop)": 3}
    assert [example["source"] for example in summary["examples"]] == [
        "[/bold] [red] a b c"
    ]
    written = io.StringIO()
    show_splits(Console(file=written, width=200), load(settings))
    text = written.getvalue()
    for part in (
        *("[/bold] [red] a b c", "train.txt", "validation", "x" * 100, " ..."),
        *("that were there before", "target words", "longest"),
    ):
        assert part in text
    parted = io.StringIO()
    show_splits(Console(file=parted, width=200), load(own(many())))
    assert parted.getvalue().count("(a part, by hash)") == 3
    assert "Left out, and why" not in parted.getvalue()
