"""The catalogue, and the real corpora where a mirror or the network has them."""

import os
from types import SimpleNamespace

import pytest

from seqloom.pipelines.config import TextDataConfig
from seqloom.pipelines.corpora import CORPORA, corpus_named
from seqloom.pipelines.data import load_splits
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.splits import SPLITS
from seqloom.pipelines.text_corpora import TEXT_CORPORA
from seqloom.tasks.spans import is_iob2_valid


def settings(**changed):
    defaults = dict.fromkeys(("corpus", "train", "dev", "test", "limit", "max_length"))
    defaults |= {"format": "auto", "token_column": 0, "tag_column": None}
    defaults |= {"scheme": "auto", "on_error": "stop"}
    return SimpleNamespace(**defaults | changed)


def load(corpus, task):
    if corpus != "conll2003" and not os.environ.get("SEQLOOM_MIRROR"):
        pytest.skip("SEQLOOM_MIRROR is not set: no mirror to read the corpus from")
    try:
        return load_splits(settings(corpus=corpus), task)
    except UserError as error:
        if "Cannot download" not in str(error):
            raise
        pytest.skip(f"the corpus cannot be fetched: {error}")


def num_sentences(splits):
    return [splits.info[name].num_sentences for name in SPLITS]


@pytest.mark.parametrize(
    ("corpus", "task", "sentences", "tokens", "num_tags"),
    [
        ("conll2003", "ner", [14041, 3250, 3453], [203621, 51362, 46435], 9),
        ("conll2003", "pos", [14041, 3250, 3453], [203621, 51362, 46435], 45),
        ("wnut17", "ner", [3394, 1009, 1287], [62730, 15733, 23394], 13),
        ("ud_ewt", "pos", [12544, 2001, 2077], [204577, 25147, 25094], 17),
    ],
)
def test_official_sizes(corpus, task, sentences, tokens, num_tags):
    """Published sizes; that loading stops at nothing shows the tags to be sound."""
    splits = load(corpus, task)
    assert num_sentences(splits) == sentences
    assert [splits.info[name].num_tokens for name in SPLITS] == tokens
    assert len(splits.info["train"].tags) == num_tags
    everything = [sentence for name in SPLITS for sentence in splits.split(name)]
    assert "-DOCSTART-" not in {token for s in everything for token in s.tokens}
    if task == "ner":
        assert all(is_iob2_valid(sentence.tags) for sentence in everything)


def load_texts(corpus, **changed):
    if corpus != "vader" and not os.environ.get("SEQLOOM_MIRROR"):
        pytest.skip("SEQLOOM_MIRROR is not set: no mirror to read the corpus from")
    try:
        return load_splits(TextDataConfig(corpus=corpus, **changed), "sentiment")
    except UserError as error:
        if "Cannot download" not in str(error):
            raise
        pytest.skip(f"the corpus cannot be fetched: {error}")


@pytest.mark.parametrize(
    ("corpus", "texts", "test_labels"),
    [
        (
            "vader",
            [8510, 1060, 1035],
            {"negative": 516, "positive": 461, "neutral": 58},
        ),
        ("sst2", [6920, 872, 1821], {"negative": 912, "positive": 909}),
        (
            "sst5",
            [8544, 1101, 2210],
            {
                "negative": 633,
                "positive": 510,
                "very_positive": 399,
                "neutral": 389,
                "very_negative": 279,
            },
        ),
    ],
)
def test_sizes_of_texts(corpus, texts, test_labels):
    """Those published for the trees; of the snippets all 10,605 are there."""
    splits = load_texts(corpus)
    assert [len(splits.split(name)) for name in SPLITS] == texts
    assert splits.info["test"].labels == test_labels
    assert splits.info["train"].by_hash == (corpus == "vader")


def test_phrases_of_the_trees():
    splits = load_texts("sst2", phrases=True)
    assert [len(splits.split(name)) for name in SPLITS] == [77616, 872, 1821]
    assert len({text.text for text in splits.train}) == 77616


def test_every_source_is_pinned():
    corpora = CORPORA | TEXT_CORPORA
    # Two corpora read the same trees.
    own = [corpora[name] for name in corpora if name != "sst5"]
    sources = [source for c in own for source in c.splits.values()]
    for source in sources:
        assert len(source.sha256) == 64
        assert bool(source.addresses) != bool(source.package)
        assert all(address.startswith("https://") for address in source.addresses)
    assert len({source.name for source in sources}) == len(sources)
    for name, corpus in corpora.items():
        assert name == corpus.name
        assert set(corpus.splits) == ({"train"} if name == "vader" else set(SPLITS))
        assert corpus.licence_note


def test_corpus_without_the_task():
    with pytest.raises(UserError) as error:
        load_splits(settings(corpus="ud_ewt"), "ner")
    for part in (
        "ud_ewt has no tags for the task 'ner'",
        "has 'pos'",
        "conll2003 or wn",
    ):
        assert part in str(error.value)


def test_unknown_corpus():
    with pytest.raises(UserError, match="'conl' is unknown"):
        corpus_named("conl")
