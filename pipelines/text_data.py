"""Load the three splits of a task on labelled texts: located, read, split, checked."""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from seqloom.pipelines.config import TextDataConfig
from seqloom.pipelines.hash_split import digest, normalize, split_of
from seqloom.pipelines.readers import Skipped
from seqloom.pipelines.sources import Progress, fetch, own_file
from seqloom.pipelines.splits import (
    SPLIT_TITLES,
    SPLITS,
    Splits,
    TextSplitInfo,
    dataset_sha256,
    texts_sha256,
)
from seqloom.pipelines.text_corpora import TEXT_CORPORA, TextCorpus
from seqloom.pipelines.text_readers import read_texts
from seqloom.tasks.records import DataError, LabelledText
from seqloom.tasks.synthetic_texts import synthetic_texts

Say = Callable[[str], None]


@dataclass
class _File:
    """Where texts come from, and the texts, not yet read."""

    info: TextSplitInfo
    texts: Iterator[LabelledText]
    skipped: Skipped = field(default_factory=lambda: Skipped(unit="text"))


@dataclass(frozen=True)
class _Origin:
    name: str
    title: str
    licence: str = "your own files"
    licence_note: str = ""


Files = dict[str, _File]
Lists = dict[str, list[LabelledText]]


def load_texts(
    data: TextDataConfig, task: str, seed: int, progress: Progress | None, say: Say
) -> Splits[LabelledText]:
    """Load what the `data` settings name; see `data.load_splits`.

    Of a split without a file of its own the texts are taken out of training, by
    `hash_split`.

    Raises:
        UserError: A missing file, a failing download.
        DataError: A bad line, an empty split, a label that training does not know, or
            only one label in training.
    """
    origin, files = _open(data, seed, progress, say)
    splits = _split(files, say if data.train else None)
    splits = {name: texts[: data.limit] for name, texts in splits.items()}
    _check_training(splits["train"], files["train"].info, data)
    _check_labels(splits, files, data)
    for name, texts in splits.items():
        _describe(files[name], texts)
        _say_what_is_left_out(name, files[name].info, data, say)
    _say_what_is_repeated(splits, say)
    info = {name: files[name].info for name in SPLITS}
    return Splits(
        task=task,
        name=origin.name,
        title=origin.title,
        licence=origin.licence,
        licence_note=origin.licence_note,
        scheme="none",
        info=info,
        sha256=dataset_sha256({name: texts_sha256(splits[name]) for name in SPLITS}),
        unit="texts",
        **splits,
    )


# === Where the texts are ===


def _open(
    data: TextDataConfig, seed: int, progress: Progress | None, say: Say
) -> tuple[_Origin, Files]:
    if data.train:
        return _Origin(Path(data.train).name, "files of your own"), _own_files(data)
    if data.corpus == "synthetic":
        title = f"invented texts made from seed {seed}"
        return _Origin("synthetic", title, "none needed"), _made(seed)
    corpus = TEXT_CORPORA[str(data.corpus)]
    files = _fetched(corpus, data, progress)
    if any(file.info.origin == "download" for file in files.values()):
        say(f"{corpus.title}. Licence: {corpus.licence}. {corpus.licence_note}")
    origin = _Origin(corpus.name, corpus.title, corpus.licence, corpus.licence_note)
    return origin, files


def _own_files(data: TextDataConfig) -> Files:
    files = {}
    for name in SPLITS:
        path = getattr(data, name)
        if not path:
            continue
        found = own_file(f"data.{name}", path)
        skipped = Skipped(unit="text")
        texts = read_texts(
            path,
            data.format,
            data.text_column,
            data.label_column,
            data.on_error,
            skipped,
        )
        info = TextSplitInfo(path, found.sha256, found.origin)
        files[name] = _File(info, texts, skipped)
    return files


def _made(seed: int) -> Files:
    files = {}
    for name in SPLITS:
        texts = synthetic_texts(name, seed)
        info = TextSplitInfo(f"synthetic, seed {seed}", texts_sha256(texts), "made")
        files[name] = _File(info, iter(texts))
    return files


def _fetched(
    corpus: TextCorpus, data: TextDataConfig, progress: Progress | None
) -> Files:
    files = {}
    for name, source in corpus.splits.items():
        fetched = fetch(source, progress)
        read = corpus.read
        if name == "train" and data.phrases and corpus.read_phrases:
            read = corpus.read_phrases
        info = TextSplitInfo(str(fetched.path), fetched.sha256, fetched.origin)
        files[name] = _File(info, read(fetched.path))
    return files


# === Splits ===


def _split(files: Files, say: Say | None) -> Lists:
    """Read all; take splits that have no file, added to `files`, out of training.

    Where that happens, the texts come out in the order of their hashes.
    """
    splits = {name: list(file.texts) for name, file in files.items()}
    missing = [name for name in SPLITS if name not in files]
    if not missing:
        return splits
    everything, splits["train"] = splits["train"], []
    splits |= {name: [] for name in missing}
    for text in everything:
        name = split_of(text.text)
        splits[name if name in missing else "train"].append(text)
    for name in missing:
        files[name] = _File(dataclasses.replace(files["train"].info), iter(()))
    for name in ("train", *missing):
        # Files are often sorted by label: in this order data.limit is a fair sample.
        splits[name].sort(key=lambda text: digest(text.text))
        files[name].info.by_hash = True
        files[name].info.sha256 = texts_sha256(splits[name])
    if say:
        parts = " and ".join(
            f"{SPLIT_TITLES[name]} ({len(splits[name]):,})" for name in missing
        )
        say(
            f"No file for {parts}: taken out of the {len(everything):,} texts of "
            f"{files['train'].info.path} by a hash of the text, always the same ones."
        )
    return splits


# === Checks ===


def _check_training(
    texts: list[LabelledText], info: TextSplitInfo, data: TextDataConfig
) -> None:
    labels = {text.label for text in texts}
    limit = f" Only the first data.limit={data.limit} are read." if data.limit else ""
    if not texts:
        raise DataError(f"The training split is empty: no text of {info.path} is left.")
    if len(labels) == 1:
        raise DataError(
            f"All {len(texts):,} training texts of {info.path} have the label "
            f"{labels.pop()!r}, so there is nothing to tell apart. Give texts of two "
            f"labels or more, or another data.label_column.{limit}"
        )


def _check_labels(splits: Lists, files: Files, data: TextDataConfig) -> None:
    """Stop at, or drop, texts of validation and test with labels training lacks."""
    known = {text.label for text in splits["train"]}
    for name in ("dev", "test"):
        file = files[name]
        kept = []
        for text in splits[name]:
            if text.label in known:
                kept.append(text)
            elif data.limit:
                # A few texts can hardly show all labels; no fault of the data.
                file.info.num_out_of_limit += 1
            elif data.on_error == "stop":
                raise DataError(_unknown_label(text, known))
            else:
                file.skipped.add(_unknown_label(text, known))
        splits[name] = kept
        if not kept:
            raise DataError(_empty_split(name, file, data))


def _unknown_label(text: LabelledText, known: set[str]) -> str:
    near = get_close_matches(text.label, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(sorted(known)[:20]) + (", ..." if len(known) > 20 else "")
    return (
        f"{text.where}: the label {text.label!r} is one that no training text has. "
        f"Known are {listed}.{hint} Correct the label, train on texts that have it, or "
        "set data.on_error=skip to drop such texts."
    )


def _empty_split(name: str, file: _File, data: TextDataConfig) -> str:
    title, path = SPLIT_TITLES[name], file.info.path
    if file.info.by_hash:
        return (
            f"The {title} split is empty: about a tenth of {path} makes it, by a hash "
            f"of the text, and there are too few texts. Give more, or a file of its "
            f"own: data.{name}=..."
        )
    return (
        f"The {title} split is empty: no text of {path} is left. Check data.limit and "
        "data.on_error, or give another file."
    )


# === What is known of them ===


def _describe(file: _File, texts: list[LabelledText]) -> None:
    info = file.info
    lengths = sorted(len(text.text.split()) for text in texts)
    info.num_texts = len(texts)
    info.num_tokens = sum(lengths)
    info.longest = lengths[-1]
    info.lengths = {
        f"{percent}%": lengths[math.ceil(len(lengths) * percent / 100) - 1]
        for percent in (50, 90, 99)
    }
    info.longest_characters = max(len(text.text) for text in texts)
    info.labels = dict(Counter(text.label for text in texts).most_common())
    info.num_skipped = file.skipped.count
    info.skipped_reasons = list(file.skipped.reasons)


def _say_what_is_left_out(
    name: str, info: TextSplitInfo, data: TextDataConfig, say: Say
) -> None:
    reasons = {
        "malformed (data.on_error=skip)": info.num_skipped,
        f"with labels that the first data.limit={data.limit} training texts lack": (
            info.num_out_of_limit
        ),
    }
    for reason, count in reasons.items():
        if count:
            say(f"Left out {count} {SPLIT_TITLES[name]} texts {reason}.")


def _say_what_is_repeated(splits: Lists, say: Say) -> None:
    trained = {normalize(text.text) for text in splits["train"]}
    for name in ("dev", "test"):
        texts = splits[name]
        count = sum(normalize(text.text) in trained for text in texts)
        if count:
            say(
                f"{count:,} of the {len(texts):,} {SPLIT_TITLES[name]} texts are "
                "training texts too."
            )
