"""The three splits of a dataset and what is known of them."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from seqloom.tasks.records import (
    CaptionedImage,
    LabelledText,
    SentencePair,
    TaggedSentence,
)

SPLITS = ("train", "dev", "test")
SPLIT_TITLES = {"train": "training", "dev": "validation", "test": "test"}

Record = TypeVar("Record", TaggedSentence, LabelledText, SentencePair, CaptionedImage)


@dataclass
class SplitInfo:
    """What a split was read from, and what came of it.

    `num_tokens` counts tokens, or in labelled texts words between blanks (in pairs
    those of the sources), and `longest` is the most of them in one record.
    `num_skipped` counts records that `data.on_error=skip` dropped, `num_out_of_limit`
    those of validation and test whose tags or labels the first `data.limit` training
    records lack.
    """

    path: str
    sha256: str
    origin: str
    num_tokens: int = 0
    longest: int = 0
    num_skipped: int = 0
    skipped_reasons: list[str] = field(default_factory=list)
    num_out_of_limit: int = 0


@dataclass
class TaggedSplitInfo(SplitInfo):
    """Of tagged sentences: how many, their tags, and how many training left out.

    `num_too_long` counts training sentences beyond `data.max_length`.
    """

    num_sentences: int = 0
    tags: dict[str, int] = field(default_factory=dict)
    num_too_long: int = 0


@dataclass
class TextSplitInfo(SplitInfo):
    """Of labelled texts: how many, their labels, and how long they are.

    `lengths` says how many words half, nine tenths and 99 of a hundred texts have at
    the most. `by_hash` marks a split that is a part of the file, by
    `hash_split`, in the order of the hashes; its `sha256` is then that of its texts.
    """

    num_texts: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    longest_characters: int = 0
    by_hash: bool = False


@dataclass
class PairSplitInfo(SplitInfo):
    """Of pairs of sentences: how many, how long both sides are, what was left out.

    `lengths` says how many words half, nine tenths and 99 of a hundred sources have at
    the most, `target_lengths` the same of targets. `ratio` is the targets' characters
    for each one of the sources. `left_out` counts, reason -> pairs, what `num_skipped`
    does not: what a corpus is rid of before it is split stands with training.
    `num_repeated` counts pairs of validation and test whose source is a training
    source too. `by_hash` is as for `TextSplitInfo`. A split read from several files
    has the hash of their hashes.
    """

    num_pairs: int = 0
    num_target_tokens: int = 0
    lengths: dict[str, int] = field(default_factory=dict)
    target_lengths: dict[str, int] = field(default_factory=dict)
    longest_target: int = 0
    ratio: float = 0.0
    left_out: dict[str, int] = field(default_factory=dict)
    num_repeated: int = 0
    by_hash: bool = False


@dataclass(frozen=True)
class Splits(Generic[Record]):
    """Training, validation and test records, and where they are from.

    `unit` is what the records are called: "sentences", "texts", "pairs" or "images".
    `scheme` is what the files of a tagging task used ("none" for tags that mark no
    spans, and for all others); the tags of the sentences are IOB2 wherever it is not
    "none".
    `sha256` identifies what the records of all splits say as they are here, wherever
    the files lay. Records are lists, or where memory may be too small for them a
    `PairStore` on disk.
    """

    task: str
    name: str
    title: str
    licence: str
    licence_note: str
    scheme: str
    train: Sequence[Record]
    dev: Sequence[Record]
    test: Sequence[Record]
    info: Mapping[str, SplitInfo]
    sha256: str
    unit: str

    def split(self, name: str) -> Sequence[Record]:
        return {"train": self.train, "dev": self.dev, "test": self.test}[name]


def sentences_sha256(sentences: Iterable[TaggedSentence]) -> str:
    digest = hashlib.sha256()
    for sentence in sentences:
        pairs = zip(sentence.tokens, sentence.tags, strict=True)
        text = "".join(f"{token}\t{tag}\n" for token, tag in pairs)
        digest.update(text.encode("utf-8") + b"\n")
    return digest.hexdigest()


def texts_sha256(texts: Iterable[LabelledText]) -> str:
    digest = hashlib.sha256()
    for record in texts:
        # The lengths keep a text's own tabs and line ends apart from those between.
        head = f"{len(record.label)} {len(record.text)}\n"
        digest.update(f"{head}{record.label}\t{record.text}\n".encode())
    return digest.hexdigest()


def pairs_sha256(pairs: Iterable[SentencePair]) -> str:
    digest = hashlib.sha256()
    for pair in pairs:
        head = f"{len(pair.source)} {len(pair.target)}\n"
        digest.update(f"{head}{pair.source}\t{pair.target}\n".encode())
    return digest.hexdigest()


def files_sha256(hashes: Sequence[str]) -> str:
    """That of a lone file; of several the hash of their hashes, a line each."""
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha256("".join(f"{h}\n" for h in hashes).encode()).hexdigest()


def dataset_sha256(hashes: Mapping[str, str]) -> str:
    """One hash of those of the splits."""
    parts = "".join(f"{name} {hashes[name]}\n" for name in SPLITS)
    return hashlib.sha256(parts.encode("utf-8")).hexdigest()
