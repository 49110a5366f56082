"""What a classifier looked at: gradients of real classifiers, words, examples."""

import numpy as np
import pytest
import tensorflow as tf
from tiny_classifier import classifier

from seqloom.tasks import explanation
from seqloom.tasks.explanation import (
    choose_examples,
    explain,
    piece_gradients,
    replaced_output,
)

IDS = tf.constant([7, 3, 22, 15, 9])


def probabilities(model, ids, vectors):
    """Of all labels `(N, K)`, if the embedding gave these vectors `(N, S, D)`."""
    rows = tf.tile(ids[None], [len(vectors), 1])
    with replaced_output(model.embedding, lambda found: tf.cast(vectors, found.dtype)):
        logits = model({"piece_ids": rows})["logits"]
    return tf.nn.softmax(logits).numpy()


def embedded(model, ids):
    seen = []
    with replaced_output(model.embedding, lambda found: seen.append(found) or found):
        model({"piece_ids": ids[None]})
    return seen[0][0].numpy()


@pytest.mark.parametrize("encoder", ["none", "recurrent", "transformer", "pretrained"])
def test_gradients_are_the_sum_along_the_way(encoder):
    """Against central differences of the probability, and complete."""
    model = classifier(encoder)
    vectors = embedded(model, IDS)  # (S, D)
    ends = probabilities(model, IDS, np.stack([vectors, np.zeros_like(vectors)]))
    difference = ends[0] - ends[1]
    label = np.abs(difference).argmax()
    assert abs(difference[label]) > 0.01
    places = (np.arange(explanation.STEPS) + 0.5)[:, None, None] / explanation.STEPS
    expected = np.zeros(len(vectors))
    for step in range(len(vectors)):
        shift = np.zeros_like(vectors)
        shift[step] = vectors[step] * 1e-2
        high, low = (
            probabilities(model, IDS, places * vectors + side * shift)[:, label]
            for side in (1, -1)
        )
        expected[step] = np.mean(high - low) / 2e-2
    around = int(encoder == "pretrained")  # start and end
    inner = expected[around : len(expected) - around]
    found = piece_gradients(model, IDS, int(label))
    np.testing.assert_allclose(found, inner, atol=1e-3)
    left_out = expected.sum() - inner.sum()
    assert abs(found.sum() + left_out - difference[label]) < 5e-3


def test_a_replaced_output_comes_back_even_after_an_error():
    model = classifier("recurrent")
    before = model({"piece_ids": IDS[None]})["logits"].numpy()
    with replaced_output(model.embedding, tf.zeros_like):
        replaced = model({"piece_ids": IDS[None]})["logits"].numpy()
    assert np.abs(replaced - before).max() > 0.1
    with (
        pytest.raises(KeyError, match="lost"),
        replaced_output(model.embedding, lambda found: {}["lost"]),
    ):
        model({"piece_ids": IDS[None]})
    after = model({"piece_ids": IDS[None]})["logits"].numpy()
    np.testing.assert_array_equal(after, before)


# === Words ===


def spell(texts):
    """Words between spaces, one piece for each two bytes."""
    words = tf.strings.split(texts)
    numbers, ids, starts, ends = [], [], [], []
    place = 0
    for number, word in enumerate(words[0].numpy()):
        starts.append(place)
        place += len(word) + 1
        ends.append(place - 1)
        for first in range(0, len(word), 2):
            numbers.append(number)
            ids.append(1 + sum(word[first : first + 2]) % 39)
    if not ids:
        ids, numbers = [1], [-1]
    return {
        "ids": tf.ragged.constant([ids], dtype=tf.int32),
        "words": tf.ragged.constant([numbers], dtype=tf.int64),
        "starts": tf.ragged.constant([starts], dtype=tf.int64),
        "ends": tf.ragged.constant([ends], dtype=tf.int64),
    }


def row_of(text):
    return {"text": text, "reference": "a", "prediction": "b", "score": 0.7}


def test_words_get_what_their_pieces_have():
    model = classifier("recurrent")
    found = explain(model, spell, row_of("Zoë fine 😀 film"), 2, "best")
    assert [found.text[a:b] for a, b in found.spans] == ["Zoë", "fine", "😀", "film"]
    encoded = spell(["Zoë fine 😀 film"])
    ids, numbers = encoded["ids"].values, encoded["words"].values.numpy()
    weights = model({"piece_ids": ids[None]})["weights"][0].numpy()
    gradients = piece_gradients(model, ids, 2)
    for word in range(4):
        own = numbers == word
        np.testing.assert_allclose(found.attention[word], weights[own].sum(), rtol=1e-5)
        np.testing.assert_allclose(
            found.gradients[word], gradients[own].sum(), atol=1e-6
        )
    assert (found.heading, found.prediction, found.score) == ("best", "b", 0.7)


def test_a_text_without_words_has_nothing_to_show():
    found = explain(classifier("recurrent"), spell, row_of(""), 0)
    assert found.spans == found.attention == found.gradients == []


def test_of_a_long_text_the_beginning_is_looked_at(monkeypatch):
    monkeypatch.setattr(explanation, "MOST_PIECES", 3)
    found = explain(classifier("recurrent"), spell, row_of("ab cd ef gh"), 0)
    assert len(found.spans) == 4
    np.testing.assert_allclose(sum(found.attention), 1, rtol=1e-5)
    assert found.attention[3] == found.gradients[3] == 0


# === Examples ===


def test_examples_are_the_surest_and_some_others():
    random = np.random.default_rng(0)
    rows = [
        {
            "text": str(number),
            "reference": "a",
            "prediction": random.choice(["a", "b"]),
            "score": float(score),
        }
        for number, score in enumerate(random.permutation(20))
    ]
    found = choose_examples(rows, number=2)
    headings = [heading for heading, _ in found]
    assert headings == [
        *["surest, and right"] * 2,
        *["surest, but wrong"] * 2,
        *["drawn at random"] * 2,
    ]
    for heading, answer in (("and right", "a"), ("but wrong", "b")):
        scores = sorted(row["score"] for row in rows if row["prediction"] == answer)
        shown = [row["score"] for title, row in found if heading in title]
        assert shown == scores[: -2 - 1 : -1]
    assert found == choose_examples(rows, number=2)
    assert found[4:] != choose_examples(rows, number=2, seed=1)[4:]


def test_few_rows_are_all_there_is():
    row = {"text": "", "reference": "a", "prediction": "a", "score": 1.0}
    assert [heading for heading, _ in choose_examples([row])] == [
        "surest, and right",
        "drawn at random",
    ]
    assert choose_examples([]) == []
