"""The classification task: encoding, batches, loss, learning, rows of predictions."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_preset import bert, tokenizer

from seqloom.tasks import classification
from seqloom.tasks.classification import ClassificationTask
from seqloom.tasks.pretrained import Pretrained
from seqloom.tasks.records import DataError, LabelledText
from seqloom.tasks.synthetic_texts import synthetic_texts

SMALL = {"word_units": 8, "units": 8, "dropout": 0.0}
TEXTS = (
    ("a fine film", "good"),
    ("a dull film", "bad"),
    ("not fine .", "bad"),
    ("not dull !", "good"),
    ("the film was fine", "good"),
    ("the film was dull , dull , dull", "bad"),
    ("paris", "place"),
    ("zoe met a film", "place"),
)


def make_task(records, model=None, **arguments):
    task = ClassificationTask(
        "sentiment", model={**SMALL, **(model or {})}, **arguments
    )
    task.fit_vocabulary(records)
    return task


def tiny_pretrained():
    return Pretrained(tokenizer(), bert)


@pytest.fixture(scope="module")
def records():
    return [
        LabelledText(text, label, f"my.tsv:{number}")
        for number, (text, label) in enumerate(TEXTS, 1)
    ]


@pytest.fixture(scope="module")
def task(records):
    return make_task(records)


def whole_batch(task, records, training=False):
    rows = tf.range(len(records), dtype=tf.int64)
    return task.batch(task.examples(records), rows, training, [1, 2])


def test_labels_are_sorted_by_name(task):
    assert task.labels == ["bad", "good", "place"]


def test_a_task_without_a_vocabulary_is_told():
    with pytest.raises(ValueError, match="sentiment has no vocabulary yet. Call fit"):
        _ = ClassificationTask("sentiment").tokens


def test_a_batch_has_the_pieces_and_labels_of_its_rows(task, records):
    rows = tf.constant([5, 2], tf.int64)
    features, label_ids = task.batch(task.examples(records), rows, False, [1, 2])
    assert features["piece_ids"].shape == (2, 8)
    for place, record in enumerate((records[5], records[2])):
        words = record.text.split()
        entries = [task.tokens.vocabulary.entries.index(word) + 2 for word in words]
        found = features["piece_ids"][place].numpy().tolist()
        assert found == entries + [0] * (8 - len(words))
        assert task.labels[label_ids[place]] == record.label


def test_many_texts_are_encoded_part_by_part(task, records, monkeypatch):
    whole = task.examples(records)
    monkeypatch.setattr(classification, "TEXTS_AT_ONCE", 3)
    parts = task.examples(records)
    assert parts.columns["piece_ids"].to_list() == (
        whole.columns["piece_ids"].to_list()
    )
    assert parts.lengths.tolist() == whole.lengths.tolist() == [3, 3, 3, 3, 4, 8, 1, 4]


def test_what_is_cut_off_is_counted(records):
    task = make_task(records, max_length=3)
    examples = task.examples(records)
    assert examples.num_truncated == 3
    assert examples.lengths.max() == 3
    assert make_task(records).examples(records).num_truncated == 0


def test_an_unknown_label_is_named_with_its_place(task):
    strange = LabelledText("a film", "superb", "my.tsv:7")
    with pytest.raises(
        DataError,
        match=r"Unknown label 'superb' of the text at my.tsv:7: training has only bad, "
        "good, place. Correct the label, or add training texts",
    ):
        task.examples([strange])


def test_rare_words_are_replaced_in_training_only(records):
    task = make_task(records, word_dropout=1.0)
    plain = whole_batch(task, records)[0]["piece_ids"].numpy()
    noisy = whole_batch(task, records, training=True)[0]["piece_ids"].numpy()
    changed = plain != noisy
    assert 0 < changed.sum() < (plain != 0).sum()
    assert (noisy[changed] == 1).all()
    assert (plain[changed] > 1).all()


def test_balanced_labels_weigh_the_same(records):
    task = make_task(records, class_weights="balanced", label_smoothing=0.1)
    logits = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    batch = whole_batch(task, records)
    total, weight = task.loss(None, batch, {"logits": logits})
    label_ids = batch[1].numpy()
    counts = np.bincount(label_ids)
    weights = np.array([8 / (3 * counts[label]) for label in label_ids])
    targets = np.eye(3)[label_ids] * 0.9 + 0.1 / 3
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -(weights[:, None] * targets * np.log(shares)).sum()
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    np.testing.assert_allclose(weight, 8, rtol=1e-6)
    for label in range(3):
        np.testing.assert_allclose(weights[label_ids == label].sum(), 8 / 3)


@pytest.mark.parametrize(
    "arguments",
    [
        {"tokenizer": "words"},
        {"tokenizer": "wordpiece", "vocabulary_size": 60},
        {"tokenizer": "sentencepiece", "vocabulary_size": 300},
        {"preset": tiny_pretrained},
    ],
    ids=["words", "wordpiece", "sentencepiece", "preset"],
)
def test_eight_texts_are_learned_and_kept(records, arguments, tmp_path):
    """The saved vocabulary and weights make the same task, with the same answers."""
    keras.utils.set_random_seed(3)
    task = make_task(records, **arguments)
    model = task.build_model()
    features, label_ids = whole_batch(task, records)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(tf.data.Dataset.from_tensors((features, label_ids)).repeat(80), verbose=0)
    outputs = model(features)
    predicted = task.predict(model, (features, label_ids), outputs)
    rows = task.predictions(records, list(zip(predicted[0].numpy(), strict=True)))
    assert task.evaluate(rows).values["accuracy"] == 1
    task.save_vocabulary(tmp_path)
    model.save_weights(tmp_path / "model.weights.h5")
    if "preset" in arguments:
        arguments = {"preset": pytest.fail}  # it is read from the run's copy
    twin = ClassificationTask("sentiment", **arguments, model=SMALL)
    twin.load_vocabulary(tmp_path)
    assert twin.labels == task.labels
    other = twin.build_model()
    other.load_weights(tmp_path / "model.weights.h5")
    again, _ = whole_batch(twin, records)
    np.testing.assert_allclose(other(again)["logits"], outputs["logits"], atol=1e-6)


def test_balanced_weights_are_kept(records, tmp_path):
    task = make_task(records, class_weights="balanced")
    task.save_vocabulary(tmp_path)
    twin = ClassificationTask("sentiment", class_weights="balanced")
    twin.load_vocabulary(tmp_path)
    batch = whole_batch(task, records)
    outputs = {"logits": np.eye(8, 3, dtype="float32")}
    assert task.loss(None, batch, outputs) == twin.loss(None, batch, outputs)


def test_rows_of_predictions(task, records):
    probabilities = np.array([[0.25, 0.5, 0.25], [0.125, 0.125, 0.75]])
    rows = task.predictions(records[:2], [(row,) for row in probabilities])
    assert rows == [
        {
            "text": "a fine film",
            "reference": "good",
            "prediction": "good",
            "score": 0.5,
            "probabilities": {"bad": 0.25, "good": 0.5, "place": 0.25},
        },
        {
            "text": "a dull film",
            "reference": "bad",
            "prediction": "place",
            "score": 0.75,
            "probabilities": {"bad": 0.125, "good": 0.125, "place": 0.75},
        },
    ]
    tables = task.tables(rows)
    assert tables["predictions"][0]["probabilities"].startswith('{"bad": 0.25')
    assert [row["text"] for row in tables["confident_mistakes"]] == ["a dull film"]
    assert set(task.figures(rows)) == {"confusion", "labels", "reliability"}


def test_a_text_goes_through_a_pretrained_encoder_in_one_piece(records):
    task = make_task(records, preset=tiny_pretrained)
    task.build_model()
    assert task.max_length == 14  # 16 with start and end
    long = LabelledText("a film " * 30, "good")
    assert task.examples([long]).lengths.tolist() == [14]


def test_looking_inside_gives_a_figure_and_a_page(task, records):
    import matplotlib.figure

    model = task.build_model()
    batch = whole_batch(task, records)
    predicted = task.predict(model, batch, model(batch[0]))[0].numpy()
    rows = task.predictions(records, list(zip(predicted, strict=True)))
    found = task.look_inside(model, [], rows)
    assert isinstance(found["highlights"], matplotlib.figure.Figure)
    assert "surest, " in found["attention"]
    assert "film" in found["attention"]


def test_longer_training_texts_have_positions(records):
    """A learned position for every piece that is read, and no more are read."""
    task = make_task(
        [LabelledText("a film " * 20, "good"), *records],
        {"encoder": "transformer", "position": "learned", "num_heads": 2},
        max_length=10,
    )
    model = task.build_model()
    features, _ = whole_batch(task, [LabelledText("a film " * 20, "good")])
    assert features["piece_ids"].shape == (1, 10)
    assert np.isfinite(model(features)["logits"]).all()


def test_the_synthetic_twin_has_labels_enough():
    assert len({record.label for record in synthetic_texts("train")}) == 3
