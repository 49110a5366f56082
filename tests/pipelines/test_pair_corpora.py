"""The catalogue of pairs, and the corpora where a mirror or the network has them."""

import os

import pytest

from seqloom.pipelines.config import PairDataConfig
from seqloom.pipelines.data import load_splits
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.hash_split import normalize
from seqloom.pipelines.pair_corpora import PAIR_CORPORA, check_pair
from seqloom.pipelines.splits import SPLITS


def load(corpus, pair):
    if corpus != "localization" and not os.environ.get("SEQLOOM_MIRROR"):
        pytest.skip("SEQLOOM_MIRROR is not set: no mirror to read the corpus from")
    try:
        return load_splits(PairDataConfig(corpus=corpus, pair=pair), "translation")
    except UserError as error:
        if "Cannot download" not in str(error):
            raise
        pytest.skip(f"the corpus cannot be fetched: {error}")


@pytest.mark.parametrize(
    ("corpus", "pair", "pairs", "num_held_out"),
    [
        ("localization", "en-fr", [3332, 419, 418], 0),
        ("localization", "en-hi", [437, 46, 63], 0),
        ("multi30k", "de-en", [28995, 1014, 1000], 1),
        ("tatoeba", "en-fr", [114165, 14442, 14175], 0),
    ],
)
def test_sizes(corpus, pair, pairs, num_held_out):
    """Of Multi30k those published, less what the filters drop; all of Tatoeba."""
    splits = load(corpus, pair)
    assert [splits.info[name].num_pairs for name in SPLITS] == pairs
    assert splits.unit == "pairs"
    trained = {normalize(pair.source) for pair in splits.train}
    for name, number in (("dev", num_held_out), ("test", 0)):
        repeated = [p for p in splits.split(name) if normalize(p.source) in trained]
        assert len(repeated) == splits.info[name].num_repeated == number


def test_both_directions_part_the_same_messages():
    there, back = load("localization", "en-de"), load("localization", "de-en")
    for name in ("dev", "test"):
        turned = [(pair.target, pair.source) for pair in back.split(name)]
        assert turned == [pair[:2] for pair in there.split(name)]
        assert back.info[name].num_repeated == 0
    reason = "with a source that validation or test has"
    assert back.info["train"].left_out[reason] > 0
    assert reason not in there.info["train"].left_out


def test_every_source_is_pinned():
    for name, corpus in PAIR_CORPORA.items():
        assert name == corpus.name
        assert corpus.licence_note
        for pair in corpus.pairs:
            splits = corpus.sources(pair)
            assert set(splits) == (set(SPLITS) if name == "multi30k" else {"train"})
            for source in (source for files in splits.values() for source in files):
                assert len(source.sha256) == 64
                assert bool(source.addresses) != bool(source.package)
                assert all(a.startswith("https://") for a in source.addresses)
                if source.package:
                    assert source.package.sha256 == source.sha256


def test_the_pairs_there_are():
    assert PAIR_CORPORA["multi30k"].pairs == (
        *("en-de", "en-fr", "de-en", "de-fr", "fr-en", "fr-de"),
    )
    assert set(PAIR_CORPORA["tatoeba"].pairs) == {"en-fr", "fr-en", "en-de", "de-en"}
    assert len(PAIR_CORPORA["localization"].pairs) == 8


@pytest.mark.parametrize(
    ("corpus", "pair", "parts"),
    [
        (
            "multi30k",
            "en-es",
            ("data.pair=en-es: data.corpus=multi30k has no such pair", "en-de, en-fr"),
        ),
        ("localization", "en-fra", ("Did you mean 'en-fr'?", "data.train=my.tsv")),
        ("localization", "fr-de", ("It has en-fr, fr-en, en-de, de-en, en-es",)),
        ("tatoeba", "EN-DE", ("It has en-fr, fr-en, en-de, de-en.",)),
    ],
)
def test_a_pair_that_the_corpus_lacks(corpus, pair, parts):
    with pytest.raises(UserError) as error:
        check_pair(PAIR_CORPORA[corpus], pair)
    for part in parts:
        assert part in str(error.value)


def test_a_file_that_its_publisher_replaced(tmp_path, monkeypatch):
    path = tmp_path / "tatoeba/fra-eng.zip"
    path.parent.mkdir()
    path.write_bytes(b"newer")
    monkeypatch.setenv("SEQLOOM_MIRROR", str(tmp_path))
    with pytest.raises(UserError) as error:
        load_splits(PairDataConfig(corpus="tatoeba", pair="fr-en"), "translation")
    for part in (
        "Hash mismatch",
        "publisher replaces this file several times a year",
        'SET="data.train=fra.txt"',
        "data.source_column=1 data.target_column=0",
    ):
        assert part in str(error.value)
