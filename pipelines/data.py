"""Load the three splits of a task: located, checked, read, normalised.

Labelled texts are loaded in `text_data.py`, pairs of sentences in `pair_data.py`,
images with captions in `caption_data.py`, tagged sentences here.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from seqloom.pipelines.caption_data import load_captions
from seqloom.pipelines.config import (
    CaptionDataConfig,
    DataConfig,
    PairDataConfig,
    TextDataConfig,
)
from seqloom.pipelines.corpora import Corpus, corpus_named
from seqloom.pipelines.data_summary import describe_splits, show_splits
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.pair_data import load_pairs
from seqloom.pipelines.readers import (
    Skipped,
    detect_format,
    read_conll,
    read_conllu,
)
from seqloom.pipelines.sources import Progress, fetch, own_file
from seqloom.pipelines.splits import (
    SPLIT_TITLES,
    SPLITS,
    Splits,
    TaggedSplitInfo,
    dataset_sha256,
    sentences_sha256,
)
from seqloom.pipelines.text_data import load_texts
from seqloom.tasks.records import DataError, TaggedSentence
from seqloom.tasks.spans import detect_scheme, split_tag, to_iob2
from seqloom.tasks.synthetic import synthetic_sentences

logger = logging.getLogger(__name__)

__all__ = ["Splits", "describe_splits", "load_splits", "show_splits"]


Say = Callable[[str], None]
Stream = Iterable[TaggedSentence]
Lists = dict[str, list[TaggedSentence]]


@dataclass(frozen=True)
class _Origin:
    name: str
    title: str
    licence: str = "your own files"
    licence_note: str = ""
    scheme: str = "auto"


def load_splits(
    data: DataConfig | TextDataConfig | PairDataConfig | CaptionDataConfig,
    task: str,
    seed: int = 0,
    progress: Progress | None = None,
    say: Say = logger.warning,
) -> Splits:
    """Load what the `data` settings name.

    Args:
        data: The settings. `train`, `dev` and `test` go before `corpus`. Their kind
            says whether tagged sentences, labelled texts, pairs of sentences or images
            with captions are read.
        task: Its name; "ner" means that tags mark spans and come out as IOB2.
        seed: Seed of the corpora "synthetic", "copy", "reverse" and "scenes".
        progress: Told about downloads.
        say: Told what a user should know: the licence when a corpus is downloaded,
            records left out.

    Raises:
        UserError: A split that is not given, a missing file, a failing download.
        DataError: A bad line, an empty split, a tag or label that training does not
            know.
    """
    if isinstance(data, TextDataConfig):
        return load_texts(data, task, seed, progress, say)
    if isinstance(data, PairDataConfig):
        return load_pairs(data, task, seed, progress, say)
    if isinstance(data, CaptionDataConfig):
        return load_captions(data, task, seed, progress, say)
    return _load_sentences(data, task, seed, progress, say)


def _load_sentences(
    data: DataConfig, task: str, seed: int, progress: Progress | None, say: Say
) -> Splits[TaggedSentence]:
    origin, info, streams, skipped = _open_splits(data, task, seed, progress, say)
    splits = {name: _first(streams[name], data.limit) for name in SPLITS}
    scheme = _scheme(data, task, origin)
    if scheme != "none":
        scheme = _normalise(splits, scheme, data.on_error, skipped)
    _drop_long(splits, info, data.max_length)
    _refuse_empty(splits, info, ("train",))
    _check_known(splits, info, data, skipped)
    _refuse_empty(splits, info, ("dev", "test"))
    for name, sentences in splits.items():
        _describe(info[name], sentences, skipped[name])
        _say_what_is_left_out(name, info[name], data, say)
    return Splits(
        task=task,
        name=origin.name,
        title=origin.title,
        licence=origin.licence,
        licence_note=origin.licence_note,
        scheme=scheme,
        info=info,
        sha256=dataset_sha256({n: sentences_sha256(splits[n]) for n in SPLITS}),
        unit="sentences",
        **splits,
    )


def _open_splits(
    data: DataConfig, task: str, seed: int, progress: Progress | None, say: Say
) -> tuple[_Origin, dict[str, TaggedSplitInfo], dict[str, Stream], dict[str, Skipped]]:
    skipped = {name: Skipped() for name in SPLITS}
    paths = {name: getattr(data, name) for name in SPLITS}
    if any(paths.values()):
        origin, info = _own_files(paths)
        streams = {n: _read(str(paths[n]), data, skipped[n]) for n in SPLITS}
    elif data.corpus == "synthetic":
        origin = _Origin(
            "synthetic", f"invented sentences made from seed {seed}", "none needed"
        )
        made = f"synthetic, seed {seed}"
        streams = {n: synthetic_sentences(task, n, seed) for n in SPLITS}
        info = {
            n: TaggedSplitInfo(made, sentences_sha256(streams[n]), "made")
            for n in SPLITS
        }
    elif data.corpus:
        corpus = corpus_named(data.corpus)
        origin, info = _fetch_corpus(corpus, task, data, progress, say)
        streams = {
            n: _read(info[n].path, data, skipped[n], corpus, task) for n in SPLITS
        }
    else:
        raise UserError(
            "There is nothing to train on: data.corpus and data.train are both empty. "
            'Set data.corpus=conll2003, or SET="data.train=my.conll data.dev=... '
            'data.test=...".'
        )
    return origin, info, streams, skipped


def _own_files(
    paths: dict[str, str | None],
) -> tuple[_Origin, dict[str, TaggedSplitInfo]]:
    missing = [name for name in SPLITS if not paths[name]]
    if missing:
        given = " ".join(f"data.{name}={path}" for name, path in paths.items() if path)
        wanted = " ".join(f"data.{name}={paths[name] or '...'}" for name in SPLITS)
        raise UserError(
            f"{' and '.join(f'data.{name}' for name in missing)} missing: {given} is "
            "set, and files of your own are needed for training, validation and test. "
            f'Give all three: SET="{wanted}".'
        )
    info = {}
    for name, path in paths.items():
        found = own_file(f"data.{name}", str(path))
        info[name] = TaggedSplitInfo(str(path), found.sha256, found.origin)
    return _Origin(Path(str(paths["train"])).name, "files of your own"), info


def _fetch_corpus(
    corpus: Corpus,
    task: str,
    data: DataConfig,
    progress: Progress | None,
    say: Say,
) -> tuple[_Origin, dict[str, TaggedSplitInfo]]:
    if data.tag_column is None:
        corpus.tag_column(task)  # complain before anything is downloaded
    info = {}
    for name in SPLITS:
        fetched = fetch(corpus.splits[name], progress)
        info[name] = TaggedSplitInfo(str(fetched.path), fetched.sha256, fetched.origin)
    if any(split.origin == "download" for split in info.values()):
        say(f"{corpus.title}. Licence: {corpus.licence}. {corpus.licence_note}")
    origin = _Origin(
        corpus.name, corpus.title, corpus.licence, corpus.licence_note, corpus.scheme
    )
    return origin, info


def _read(
    path: str,
    data: DataConfig,
    skipped: Skipped,
    corpus: Corpus | None = None,
    task: str = "",
) -> Stream:
    """Open a reader; the settings go before what the corpus says of itself."""
    tag_column = data.tag_column
    layout: str = data.format
    if corpus and tag_column is None:
        tag_column = corpus.tag_column(task)
    if layout == "auto":
        layout = corpus.format if corpus else detect_format(path)
    if layout == "conllu":
        # Column 0 is the default for CoNLL columns; in CoNLL-U it holds no words.
        token_column = data.token_column or "FORM"
        return read_conllu(path, tag_column, token_column, data.on_error, skipped)
    return read_conll(path, data.token_column, tag_column, data.on_error, skipped)


def _first(stream: Stream, limit: int | None) -> list[TaggedSentence]:
    return list(islice(stream, limit))


def _scheme(data: DataConfig, task: str, origin: _Origin) -> str:
    if data.scheme != "auto":
        return data.scheme
    if task != "ner":
        return "none"
    # A column of one's own choice need not follow the scheme of the corpus' NER tags.
    return origin.scheme if data.tag_column is None else "auto"


def _normalise(
    splits: Lists, scheme: str, on_error: str, skipped: dict[str, Skipped]
) -> str:
    """Bring the tags of all splits to IOB2, in place; return the scheme they had."""

    def check(sentence: TaggedSentence) -> TaggedSentence:
        for tag in sentence.tags:
            split_tag(tag)
        return sentence

    def convert(sentence: TaggedSentence) -> TaggedSentence:
        return sentence._replace(tags=to_iob2(sentence.tags, scheme))

    for name in SPLITS:
        splits[name] = list(_kept(splits[name], check, on_error, skipped[name]))
    if scheme == "auto":
        everything = (sentence.tags for name in SPLITS for sentence in splits[name])
        scheme = detect_scheme(everything)
    for name in SPLITS:
        splits[name] = list(_kept(splits[name], convert, on_error, skipped[name]))
    return scheme


def _kept(
    sentences: Stream,
    check: Callable[[TaggedSentence], TaggedSentence],
    on_error: str,
    skipped: Skipped,
) -> Iterator[TaggedSentence]:
    for sentence in sentences:
        try:
            yield check(sentence)
        except DataError as error:
            problem = f"The sentence at {sentence.where}: {error}"
            if on_error == "stop":
                raise DataError(problem) from error
            skipped.add(problem)


def _drop_long(
    splits: Lists, info: dict[str, TaggedSplitInfo], max_length: int | None
) -> None:
    if max_length is None:
        return
    short = [sentence for sentence in splits["train"] if len(sentence[0]) <= max_length]
    info["train"].num_too_long = len(splits["train"]) - len(short)
    splits["train"] = short


def _refuse_empty(
    splits: Lists, info: dict[str, TaggedSplitInfo], names: Iterable[str]
) -> None:
    for name in names:
        if not splits[name]:
            raise DataError(
                f"The {SPLIT_TITLES[name]} split is empty: no sentence of "
                f"{info[name].path} is left. Check data.max_length, data.limit and "
                "data.on_error, or give another file."
            )


def _check_known(
    splits: Lists,
    info: dict[str, TaggedSplitInfo],
    data: DataConfig,
    skipped: dict[str, Skipped],
) -> None:
    """Stop at, or drop, sentences of validation and test with tags training lacks."""
    known = {tag for sentence in splits["train"] for tag in sentence.tags}

    def check(sentence: TaggedSentence) -> TaggedSentence:
        for token, tag in zip(sentence.tokens, sentence.tags, strict=True):
            if tag not in known:
                raise DataError(
                    f"the word {token!r} has the tag {tag!r}, which no training "
                    f"sentence has. Known are {', '.join(sorted(known))}. Correct the "
                    "tag, train on sentences that have it, or set data.on_error=skip "
                    "to drop such sentences."
                )
        return sentence

    for name in ("dev", "test"):
        if data.limit:
            # A few sentences can hardly show all tags; that is no fault of the data.
            kept = [s for s in splits[name] if known.issuperset(s.tags)]
            info[name].num_out_of_limit = len(splits[name]) - len(kept)
            splits[name] = kept
        else:
            splits[name] = list(
                _kept(splits[name], check, data.on_error, skipped[name])
            )


def _describe(
    info: TaggedSplitInfo, sentences: list[TaggedSentence], skipped: Skipped
) -> None:
    counts = Counter(tag for sentence in sentences for tag in sentence.tags)
    info.num_sentences = len(sentences)
    info.num_tokens = counts.total()
    info.longest = max((len(sentence.tokens) for sentence in sentences), default=0)
    info.tags = dict(sorted(counts.items()))
    info.num_skipped = skipped.count
    info.skipped_reasons = list(skipped.reasons)


def _say_what_is_left_out(
    name: str, info: TaggedSplitInfo, data: DataConfig, say: Say
) -> None:
    reasons = {
        "malformed (data.on_error=skip)": info.num_skipped,
        f"longer than data.max_length={data.max_length} tokens": info.num_too_long,
        f"with tags that the first data.limit={data.limit} training sentences lack": (
            info.num_out_of_limit
        ),
    }
    for reason, count in reasons.items():
        if count:
            say(f"Left out {count} {SPLIT_TITLES[name]} sentences {reason}.")
