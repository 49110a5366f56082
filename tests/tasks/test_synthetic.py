"""The synthetic twins: repeatable, and learnable from what a tagger can see."""

import pytest
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from seqloom.tasks.spans import is_iob2_valid
from seqloom.tasks.synthetic import synthetic_sentences


def features(words, i):
    padded = ["<s>", *words, "</s>", "</s>"]
    word, before, after = padded[i + 1], padded[i], padded[i + 2]
    return {
        "word": word,
        "ending": word[-3:],
        "capital": word[0].isupper(),
        "digit": word.isdigit(),
        "before": before,
        "before ending": before[-3:] + str(before[0].isupper()),
        "before + capital": before + str(word[0].isupper()),
        "before + word": f"{before} {word}",
        "around": f"{before[-4:]} {word} {after}",
        "after": after,
        "after ending": after[-3:],
    }


def rows(sentences):
    return [features(s.tokens, i) for s in sentences for i in range(len(s.tokens))]


@pytest.mark.parametrize("task", ["ner", "pos"])
def test_a_linear_model_over_visible_cues_reaches_99_percent(task):
    train = synthetic_sentences(task, "train", seed=3)
    test = synthetic_sentences(task, "test", seed=3)
    vectorizer = DictVectorizer()
    model = LogisticRegression(C=30.0, max_iter=300)
    model.fit(vectorizer.fit_transform(rows(train)), [t for s in train for t in s.tags])
    flat = iter(model.predict(vectorizer.transform(rows(test))))
    predicted = [[next(flat) for _ in sentence.tags] for sentence in test]
    reference = [list(sentence.tags) for sentence in test]
    if task == "ner":
        score = f1_score(reference, predicted, mode="strict", scheme=IOB2)
    else:
        hits = [
            p == r
            for pair in zip(predicted, reference, strict=True)
            for p, r in zip(*pair, strict=True)
        ]
        score = sum(hits) / len(hits)
    assert score >= 0.99


@pytest.mark.parametrize("task", ["ner", "pos"])
def test_splits_are_repeatable_and_differ(task):
    train = synthetic_sentences(task, "train", seed=1)
    assert train == synthetic_sentences(task, "train", seed=1)
    assert train != synthetic_sentences(task, "train", seed=2)
    assert train[:10] == synthetic_sentences(task, "train", seed=1, num_sentences=10)
    test = synthetic_sentences(task, "test", seed=1)
    assert (len(train), len(test)) == (800, 200)
    assert not {s.tokens for s in train} & {s.tokens for s in test}
    assert {t for s in test for t in s.tags} == {t for s in train for t in s.tags}
    known = {token for s in train for token in s.tokens}
    words = [token for s in test for token in s.tokens]
    assert sum(word not in known for word in words) / len(words) > 0.1
    assert all(3 <= len(s.tokens) <= 14 for s in train)


def test_ner_has_valid_multi_token_spans_and_words_of_several_types():
    train = synthetic_sentences("ner", "train")
    assert all(is_iob2_valid(sentence.tags) for sentence in train)
    tags_of_jordan = {
        tag
        for sentence in train
        for token, tag in zip(sentence.tokens, sentence.tags, strict=True)
        if token == "Jordan"
    }
    assert tags_of_jordan == {"B-PER", "B-LOC", "B-ORG"}
    assert {"I-PER", "I-LOC", "I-ORG"} <= {t for s in train for t in s.tags}


def test_unknown_task():
    with pytest.raises(ValueError, match="no synthetic twin of the task 'chess'"):
        synthetic_sentences("chess", "train")
