"""Load the three splits of pairs of sentences: located, read, split, filtered."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from seqloom.pipelines.config_pairs import PairDataConfig
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.hash_split import normalize, split_rows
from seqloom.pipelines.pair_corpora import PAIR_CORPORA, PairCorpus, check_pair
from seqloom.pipelines.pair_filters import filter_pairs
from seqloom.pipelines.pair_readers import read_line_pairs, read_pair_table
from seqloom.pipelines.pair_store import is_large, kept
from seqloom.pipelines.readers import Skipped
from seqloom.pipelines.sources import Fetched, Progress, fetch, own_file
from seqloom.pipelines.splits import (
    SPLIT_TITLES,
    SPLITS,
    PairSplitInfo,
    Splits,
    dataset_sha256,
    files_sha256,
    pairs_sha256,
)
from seqloom.pipelines.text_set import TextSet
from seqloom.tasks.records import DataError, SentencePair
from seqloom.tasks.synthetic_pairs import synthetic_pairs

Say = Callable[[str], None]


@dataclass
class _File:
    """Where pairs come from, and the pairs, not yet read.

    Those of a `large` file are never all in memory: see `pair_store.kept`.
    """

    info: PairSplitInfo
    pairs: Iterable[SentencePair]
    skipped: Skipped = field(default_factory=lambda: Skipped(unit="pair"))
    left_out: Counter[str] = field(default_factory=Counter)
    large: bool = False


@dataclass(frozen=True)
class _Origin:
    name: str
    title: str
    licence: str = "your own files"
    licence_note: str = ""


Files = dict[str, _File]
Kept = dict[str, Sequence[SentencePair]]


def load_pairs(
    data: PairDataConfig, task: str, seed: int, progress: Progress | None, say: Say
) -> Splits[SentencePair]:
    """Load what the `data` settings name; see `data.load_splits`.

    Of a split without files of its own the pairs are taken out of training, by
    `hash_split` of the source (in corpora: of the English side). Filters are for
    training alone.

    Raises:
        UserError: A missing file, a failing download, a pair of languages that the
            corpus does not have.
        DataError: A bad line, sides of different lengths, an empty split.
    """
    origin, files = _open(data, seed, progress, say)
    splits: Kept = {}
    _split_by_hash(files, data, say if data.train else None)
    for name in SPLITS:
        file = files[name]
        pairs = _filtered(file, data) if name == "train" else file.pairs
        splits[name] = kept(islice(pairs, data.limit), file.large)
        if not splits[name]:
            raise DataError(_empty_split(name, file))
    _count_repeated(splits, files)
    for name in SPLITS:
        _describe(files[name], splits[name])
        _say_what_is_left_out(name, files[name].info, say)
        _say_what_is_repeated(name, files[name].info, say)
    return Splits(
        task=task,
        name=origin.name,
        title=origin.title,
        licence=origin.licence,
        licence_note=origin.licence_note,
        scheme="none",
        info={name: files[name].info for name in SPLITS},
        sha256=dataset_sha256({name: pairs_sha256(splits[name]) for name in SPLITS}),
        unit="pairs",
        **splits,
    )


# === Where the pairs are ===


def _open(
    data: PairDataConfig, seed: int, progress: Progress | None, say: Say
) -> tuple[_Origin, Files]:
    if data.train:
        return _Origin(Path(data.train).name, "files of your own"), _own_files(data)
    if data.corpus in ("copy", "reverse"):
        title = f"invented sentences to {data.corpus}, made from seed {seed}"
        return _Origin(data.corpus, title, "none needed"), _made(data.corpus, seed)
    corpus = PAIR_CORPORA[str(data.corpus)]
    check_pair(corpus, data.pair)
    files = _fetched(corpus, data.pair, progress)
    if any(file.info.origin == "download" for file in files.values()):
        say(f"{corpus.title}. Licence: {corpus.licence}. {corpus.licence_note}")
    title = f"{corpus.title}, {data.pair}"
    origin = _Origin(corpus.name, title, corpus.licence, corpus.licence_note)
    return origin, files


def _own_files(data: PairDataConfig) -> Files:
    files = {}
    for name in SPLITS:
        keys = (name, f"{name}_target")
        paths = {
            f"data.{key}": getattr(data, key) for key in keys if getattr(data, key)
        }
        if not paths:
            continue
        found = [own_file(key, path) for key, path in paths.items()]
        skipped = Skipped(unit="pair")
        path, *target_path = paths.values()
        if target_path:
            pairs = read_line_pairs(path, target_path[0], data.on_error, skipped)
        else:
            pairs = read_pair_table(
                path, data.source_column, data.target_column, data.on_error, skipped
            )
        large = name == "train" and is_large(fetched.path for fetched in found)
        files[name] = _File(_info(found), pairs, skipped, large=large)
    return files


def _made(kind: str, seed: int) -> Files:
    files = {}
    for name in SPLITS:
        pairs = synthetic_pairs(kind, name, seed)
        info = PairSplitInfo(f"{kind}, seed {seed}", pairs_sha256(pairs), "made")
        files[name] = _File(info, pairs)
    return files


def _fetched(corpus: PairCorpus, pair: str, progress: Progress | None) -> Files:
    files = {}
    for name, sources in corpus.sources(pair).items():
        try:
            found = [fetch(source, progress) for source in sources]
        except UserError as error:
            raise UserError(f"{error} {corpus.remedy}".strip()) from error
        left_out: Counter[str] = Counter()
        pairs = corpus.read(pair, [fetched.path for fetched in found], left_out)
        files[name] = _File(_info(found), pairs, left_out=left_out)
    return files


def _info(found: list[Fetched]) -> PairSplitInfo:
    origins = {fetched.origin for fetched in found}
    return PairSplitInfo(
        " + ".join(str(fetched.path) for fetched in found),
        files_sha256([fetched.sha256 for fetched in found]),
        "download" if "download" in origins else found[0].origin,
    )


# === Splits ===


def _split_by_hash(files: Files, data: PairDataConfig, say: Say | None) -> None:
    """Take splits that have no file, added to `files`, out of training.

    Where that happens, the pairs come out in the order of the hashes of what they are
    split by.
    """
    missing = [name for name in SPLITS if name not in files]
    if not missing:
        return
    # In own files nobody knows which side is English.
    english = 1 if not data.train and data.pair.endswith("-en") else 0
    train = files["train"]
    pairs = kept(train.pairs, train.large)
    # Files are often sorted by length: in this order data.limit is a fair sample.
    rows = split_rows((pair[english] for pair in pairs), missing)
    if english:
        rows["train"] = _without_held_out(pairs, rows, missing, train.left_out)
    for name in ("train", *missing):
        part = kept((pairs[row] for row in rows[name]), train.large)
        info = PairSplitInfo(train.info.path, pairs_sha256(part), train.info.origin)
        info.by_hash = True
        files[name] = _File(info, part, large=train.large)
    files["train"].skipped, files["train"].left_out = train.skipped, train.left_out
    if say:
        taken = " and ".join(
            f"{SPLIT_TITLES[name]} ({len(rows[name]):,})" for name in missing
        )
        say(
            f"No file for {taken}: taken out of the "
            f"{sum(map(len, rows.values())):,} pairs of {train.info.path} by a hash "
            "of the source, always the same ones."
        )


def _without_held_out(
    pairs: Sequence[SentencePair],
    rows: Mapping[str, np.ndarray],
    missing: list[str],
    left_out: Counter[str],
) -> np.ndarray:
    """The training rows without the sources that were taken out of training.

    There are such where the split goes by the target, and a source has several.
    """
    held_out = {normalize(pairs[row].source) for name in missing for row in rows[name]}
    train = rows["train"]
    fit = [normalize(pairs[row].source) not in held_out for row in train]
    if not all(fit):
        left_out["with a source that validation or test has"] += fit.count(False)
    return train[fit]


def _filtered(file: _File, data: PairDataConfig) -> Iterator[SentencePair]:
    return filter_pairs(
        file.pairs,
        data.max_words,
        data.max_ratio,
        data.duplicates == "drop",
        file.left_out,
    )


def _empty_split(name: str, file: _File) -> str:
    title, path = SPLIT_TITLES[name], file.info.path
    if file.left_out.total():
        return (
            f"The {title} split is empty: all pairs of {path} are left out "
            f"({_listed(file.left_out)}). Set the limits higher, or give another file."
        )
    return (
        f"The {title} split is empty: about {'eight' if name == 'train' else 'one'} in "
        f"ten pairs of {path} make it, by a hash of the source, and there are too few "
        f"pairs. Give more, or a file of its own: data.{name}=..."
    )


# === What is known of them ===


def _count_repeated(splits: Kept, files: Files) -> None:
    held_out, repeated = TextSet(), TextSet()
    for name in ("dev", "test"):
        for source in _sources(splits[name]):
            held_out.add(source)
    for source in _sources(splits["train"]):
        if source in held_out:
            repeated.add(source)
    for name in ("dev", "test"):
        files[name].info.num_repeated = sum(
            source in repeated for source in _sources(splits[name])
        )


def _sources(pairs: Iterable[SentencePair]) -> Iterator[str]:
    return (normalize(pair.source) for pair in pairs)


def _describe(file: _File, pairs: Sequence[SentencePair]) -> None:
    info = file.info
    words = np.empty([2, len(pairs)], np.int32)
    characters = [0, 0]
    for row, pair in enumerate(pairs):
        for side in (0, 1):
            words[side, row] = len(pair[side].split())
            characters[side] += len(pair[side])
    info.num_pairs = len(pairs)
    info.num_tokens, info.num_target_tokens = words.sum(axis=1, dtype=int).tolist()
    info.longest, info.longest_target = words.max(axis=1).tolist()
    info.lengths, info.target_lengths = map(_percentiles, words)
    info.ratio = round(characters[1] / characters[0], 3)
    info.left_out = dict(file.left_out.most_common())
    info.num_skipped = file.skipped.count
    info.skipped_reasons = list(file.skipped.reasons)


def _percentiles(lengths: np.ndarray) -> dict[str, int]:
    lengths = np.sort(lengths)
    return {
        f"{percent}%": int(lengths[math.ceil(len(lengths) * percent / 100) - 1])
        for percent in (50, 90, 99)
    }


def _say_what_is_left_out(name: str, info: PairSplitInfo, say: Say) -> None:
    reasons = dict(info.left_out)
    if info.num_skipped:
        reasons["malformed (data.on_error=skip)"] = info.num_skipped
    if reasons:
        count = sum(reasons.values())
        say(f"Left out {count:,} {SPLIT_TITLES[name]} pairs: {_listed(reasons)}.")


def _listed(reasons: Mapping[str, int]) -> str:
    return "; ".join(f"{count:,} {reason}" for reason, count in reasons.items())


def _say_what_is_repeated(name: str, info: PairSplitInfo, say: Say) -> None:
    if info.num_repeated:
        say(
            f"{info.num_repeated:,} of the {info.num_pairs:,} {SPLIT_TITLES[name]} "
            "pairs have a source that is a training source too."
        )
