"""Pairs on disk: a store is a list, and large files give what small ones do."""

import dataclasses
import gzip
import tempfile
import tracemalloc
from pathlib import Path

import pytest

from seqloom.pipelines import pair_store
from seqloom.pipelines.config import PairDataConfig
from seqloom.pipelines.data import load_splits
from seqloom.pipelines.pair_store import PairStore, is_large
from seqloom.pipelines.splits import SPLITS
from seqloom.tasks.records import DataError, SentencePair

ODD = [
    SentencePair("A red ball.", "Ein roter Ball.", "my.tsv:1"),
    SentencePair("", "", ""),
    SentencePair("tab\tand\nline\r\n\x00", "  ", "\ttab"),
    SentencePair("Zoë 北京 😀", "e\u0301 \u2028", "caf\udce9/my.tsv:4"),
]
PAIRS = [*ODD, *(SentencePair("x" * n, "y" * (n % 7), f"f:{n}") for n in range(23))]


@pytest.fixture
def store(monkeypatch):
    monkeypatch.setattr(pair_store, "PAIRS_AT_ONCE", 5)
    return PairStore(iter(PAIRS))


def test_a_store_is_a_list(store):
    assert list(store) == PAIRS
    assert len(store) == len(PAIRS) == 27
    for index in (0, 3, 26, -1, -27):
        assert store[index] == PAIRS[index]
    for part in (slice(3), slice(2, 19), slice(-4, None), slice(9, 4), slice(0, 99)):
        assert store[part] == PAIRS[part]
        assert store[part][::-2] == PAIRS[part][::-2]
    assert store[20:3:-4] == PAIRS[20:3:-4]
    assert list(reversed(store)) == PAIRS[::-1]
    assert store.index(PAIRS[9]) == 9
    assert isinstance(store[0], SentencePair)
    for index in (27, -28):
        with pytest.raises(IndexError):
            store[index]


def test_a_store_of_nothing():
    store = PairStore([])
    assert list(store) == store[:] == []
    assert not store


def test_two_can_read_at_a_time(store):
    for first, second in zip(store, iter(store), strict=True):
        assert first == second == store[store.index(first)]


def test_no_file_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store = PairStore(PAIRS)
    assert list(tmp_path.iterdir()) == []  # it has no name from the beginning
    assert store[0] == PAIRS[0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_told(monkeypatch):
    def full(buffering):
        return Path("/dev/full").open("r+b", buffering=buffering)

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(DataError, match=r"cannot hold .*\(No space.* set .* TMPDIR to"):
        PairStore(PAIRS)


# === Loading ===


def test_what_is_large(tmp_path, monkeypatch):
    plain, zipped = tmp_path / "a", tmp_path / "b"
    plain.write_bytes(b"x" * 100)
    zipped.write_bytes(b"\x1f\x8b" + b"x" * 48)
    for limit, paths, large in (
        (100, [plain], False),
        (99, [plain], True),
        (200, [zipped], False),
        (199, [zipped], True),
        (299, [plain, zipped], True),
    ):
        monkeypatch.setattr(pair_store, "LARGE_BYTES", limit)
        assert is_large(paths) == large


SOURCES = [f"Text {n} {'é' * (n % 9)}" for n in range(300)]
SOURCES += [text.upper() for text in SOURCES[::3]] + SOURCES[::5]
TARGETS = [f"Texte {n % 300}" * (1 + n % 4) for n in range(len(SOURCES))]


@pytest.fixture
def files(tmp_path):
    """Paths of the same pairs in several forms, and of two more pairs."""
    lines = {
        "source": "\n".join(SOURCES) + "\n",
        "target": "\n".join(TARGETS) + "\n",
        "table": "".join(f"{a}\t{b}\n" for a, b in zip(SOURCES, TARGETS)) + "bad\n",
        "other": "text 1\tX\nB\tY\n",
    }
    for name, text in lines.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    return {path.name: str(path) for path in tmp_path.iterdir()}


LINES = {"train": "source", "train_target": "target"}
OTHERS = {"dev": "other", "test": "other"}
CASES = {
    "line files": LINES,
    "gzip": {"train": "source.gz", "train_target": "target.gz", **OTHERS},
    "table": {"train": "table", **OTHERS},
    "one split by hash": {**LINES, "dev": "other"},
    "limit": {**LINES, "limit": 20},
    "limit without hashes": {**LINES, **OTHERS, "limit": 20},
}


@pytest.mark.parametrize("case", CASES)
def test_large_files_give_the_same(files, monkeypatch, case):
    named = {key: files.get(value, value) for key, value in CASES[case].items()}
    # Some are too long, uneven, there twice or malformed.
    settings = PairDataConfig(**named, max_ratio=3, max_words=6, on_error="skip")
    said = [], []
    small = load_splits(settings, "translation", seed=1, say=said[0].append)
    monkeypatch.setattr(pair_store, "LARGE_BYTES", 0)
    large = load_splits(settings, "translation", seed=1, say=said[1].append)
    for name in SPLITS:
        assert isinstance(small.split(name), list)
        stored = name == "train" or small.info[name].by_hash
        assert isinstance(large.split(name), PairStore if stored else list)
        assert list(large.split(name)) == small.split(name)
        info = dataclasses.asdict(large.info[name])
        assert info == dataclasses.asdict(small.info[name])
    assert small.info["train"].left_out
    assert large.sha256 == small.sha256
    assert said[0] == said[1] != []


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    """Twice 3 MB, which as a list are in memory at least once."""
    path = tmp_path / "lines"
    path.write_text("".join(f"{n} {'x' * 1000}\n" for n in range(3000)))
    settings = PairDataConfig(train=str(path), train_target=str(path))
    monkeypatch.setattr(pair_store, "PAIRS_AT_ONCE", 50)
    peaks = []
    for limit in (0, 2**40):
        monkeypatch.setattr(pair_store, "LARGE_BYTES", limit)
        tracemalloc.start()
        splits = load_splits(settings, "translation", seed=1)
        peaks.append(tracemalloc.get_traced_memory()[1] / 1e6)
        tracemalloc.stop()
        assert sum(len(splits.split(name)) for name in SPLITS) == 3000
    on_disk, in_memory = peaks
    assert on_disk < 1.5 < 6 < in_memory
