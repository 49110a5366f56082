"""The catalogue, and the real corpora where a mirror or the network has them."""

import os
from types import SimpleNamespace

import pytest

from seqloom.pipelines.corpora import CORPORA, corpus_named
from seqloom.pipelines.data import load_splits
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.splits import SPLITS
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


def test_every_source_is_pinned():
    sources = [source for c in CORPORA.values() for source in c.splits.values()]
    for source in sources:
        assert len(source.sha256) == 64
        assert bool(source.addresses) != bool(source.package)
        assert all(address.startswith("https://") for address in source.addresses)
    assert len({source.name for source in sources}) == len(sources)
    for name, corpus in CORPORA.items():
        assert name == corpus.name
        assert set(corpus.splits) == set(SPLITS)
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
