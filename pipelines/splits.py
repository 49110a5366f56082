"""The three splits of a tagging dataset and what is known of them."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from seqloom.tasks.records import TaggedSentence

SPLITS = ("train", "dev", "test")
SPLIT_TITLES = {"train": "training", "dev": "validation", "test": "test"}


@dataclass
class SplitInfo:
    """What a split was read from, and what came of it.

    `num_skipped` counts sentences that `data.on_error=skip` dropped, `num_too_long`
    training sentences beyond `data.max_length`, `num_out_of_limit` those of validation
    and test whose tags the first `data.limit` training sentences lack.
    """

    path: str
    sha256: str
    origin: str
    num_sentences: int = 0
    num_tokens: int = 0
    longest: int = 0
    tags: dict[str, int] = field(default_factory=dict)
    num_skipped: int = 0
    skipped_reasons: list[str] = field(default_factory=list)
    num_too_long: int = 0
    num_out_of_limit: int = 0


@dataclass(frozen=True)
class Splits:
    """Training, validation and test sentences, and where they are from.

    `scheme` is what the files used ("none" for tags that mark no spans); the tags of
    the sentences are IOB2 wherever it is not "none". `sha256` identifies tokens and
    tags of all splits as they are here, wherever the files lay.
    """

    task: str
    name: str
    title: str
    licence: str
    licence_note: str
    scheme: str
    train: list[TaggedSentence]
    dev: list[TaggedSentence]
    test: list[TaggedSentence]
    info: dict[str, SplitInfo]
    sha256: str

    def split(self, name: str) -> list[TaggedSentence]:
        return {"train": self.train, "dev": self.dev, "test": self.test}[name]


def sentences_sha256(sentences: Iterable[TaggedSentence]) -> str:
    digest = hashlib.sha256()
    for sentence in sentences:
        pairs = zip(sentence.tokens, sentence.tags, strict=True)
        text = "".join(f"{token}\t{tag}\n" for token, tag in pairs)
        digest.update(text.encode("utf-8") + b"\n")
    return digest.hexdigest()


def dataset_sha256(splits: dict[str, list[TaggedSentence]]) -> str:
    parts = "".join(f"{name} {sentences_sha256(splits[name])}\n" for name in SPLITS)
    return hashlib.sha256(parts.encode("utf-8")).hexdigest()
