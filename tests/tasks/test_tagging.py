"""The tagging task: encoding, batches, the model under plain Keras, learning."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_preset import bert, byte_tokenizer, roberta, tokenizer

from seqloom.tasks.pretrained import Pretrained
from seqloom.tasks.records import DataError, TaggedSentence
from seqloom.tasks.spans import is_iob2_valid
from seqloom.tasks.synthetic import synthetic_sentences
from seqloom.tasks.tagger import Tagger
from seqloom.tasks.tagging import TaggingTask, join_pieces

SMALL = {"word_units": 12, "char_units": 6, "char_embedding_units": 5, "units": 12}


def make_task(records, spans=True, word_dropout=0.0, **model):
    task = TaggingTask(
        "ner", spans, word_dropout=word_dropout, model={**SMALL, **model}
    )
    task.fit_vocabulary(records)
    return task


@pytest.fixture(scope="module")
def records():
    return synthetic_sentences("ner", "train", num_sentences=60)


@pytest.fixture(scope="module")
def task(records):
    return make_task(records)


def whole_batch(task, records, training=False):
    rows = tf.range(len(records), dtype=tf.int64)
    return task.batch(task.examples(records), rows, training, [1, 2])


def test_tags_hold_both_sides_of_every_span_type():
    task = make_task([TaggedSentence(("a", "b"), ("B-X", "B-Y"))])
    assert task.tags == ["B-X", "B-Y", "I-X", "I-Y", "O"]


def test_a_batch_has_the_words_and_tags_of_its_rows(task, records):
    rows = tf.constant([5, 2], tf.int64)
    features, tag_ids = task.batch(task.examples(records), rows, False, [1, 2])
    longest = max(len(records[5].tokens), len(records[2].tokens))
    assert features["word_ids"].shape == (2, longest)
    for place, record in enumerate((records[5], records[2])):
        length = len(record.tokens)
        direct = task.features(tf.constant(record.tokens))
        np.testing.assert_array_equal(
            features["word_ids"][place, :length], direct["word_ids"]
        )
        assert (features["word_ids"][place, length:].numpy() == 0).all()
        found = [task.tags[index] for index in tag_ids[place, :length].numpy()]
        assert tuple(found) == record.tags


def test_training_and_serving_encode_alike(task, records):
    """The table of an epoch and the export's preprocessing give the same features."""
    from_table, _ = whole_batch(task, records)
    served = task.preprocess(tf.ragged.constant([list(r.tokens) for r in records]))
    assert from_table.keys() == served.keys()
    for name, values in from_table.items():
        np.testing.assert_array_equal(values, served[name])


def test_rare_words_are_replaced_in_training_only(records):
    task = make_task(records, word_dropout=1.0)
    plain, _ = whole_batch(task, records)
    noisy, _ = whole_batch(task, records, training=True)
    changed = plain["word_ids"].numpy() != noisy["word_ids"].numpy()
    assert 0 < changed.sum() < changed.size / 2
    assert (noisy["word_ids"].numpy()[changed] == 1).all()
    np.testing.assert_array_equal(plain["char_ids"], noisy["char_ids"])


def test_an_unknown_tag_is_named_with_its_place(task):
    strange = TaggedSentence(("Rhea",), ("B-GOD",), "my.conll:7")
    with pytest.raises(DataError, match="'B-GOD' in the sentence at my.conll:7"):
        task.examples([strange])


@pytest.mark.parametrize("output", ["crf", "softmax"])
def test_the_loss_ignores_padding(records, output):
    """A padded batch costs what its sentences cost one by one."""
    task = make_task(records, output=output, dropout=0.0)
    model = task.build_model()
    batch = whole_batch(task, records[:6])
    total, weight = task.loss(model, batch, model(batch[0]))
    alone = [whole_batch(task, [record]) for record in records[:6]]
    losses = [task.loss(model, one, model(one[0])) for one in alone]
    np.testing.assert_allclose(total, sum(float(loss) for loss, _ in losses), rtol=1e-5)
    assert float(weight) == sum(len(record.tokens) for record in records[:6])


@pytest.mark.parametrize(
    "model",
    [
        {"output": "crf", "characters": "convolution", "cell": "lstm"},
        {"output": "softmax", "characters": "recurrent", "cell": "gru"},
        {"output": "crf", "characters": "none", "cell": "simple", "num_layers": 2},
        {"output": "softmax", "shape_units": 0, "affix_units": 0, "residual": True},
    ],
    ids=lambda model: "-".join(map(str, model.values())),
)
def test_eight_sentences_are_learned_by_plain_keras(records, model):
    """compile() and fit() of Keras work on our models, and the tags are learned."""
    keras.utils.set_random_seed(3)
    task = make_task(records[:8], dropout=0.0, **model)
    features, tag_ids = whole_batch(task, records[:8])
    tagger = task.build_model()
    tagger.compile(keras.optimizers.Adam(0.02))
    data = tf.data.Dataset.from_tensors((features, tag_ids)).repeat(60)
    losses = tagger.fit(data, epochs=1, steps_per_epoch=60, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    predicted = task.predict(tagger, (features, tag_ids), tagger(features))
    rows = task.predictions(
        records[:8], list(zip(*(t.numpy() for t in predicted), strict=True))
    )
    assert task.evaluate(rows).values["accuracy"] > 0.95


def test_a_constrained_tagger_never_leaves_iob2(task, records):
    model = task.build_model()  # untrained: its tags are noise
    model.set_weights(
        [np.random.default_rng(1).normal(size=w.shape) for w in model.get_weights()]
    )
    batch = whole_batch(task, records)
    predicted = task.predict(model, batch, model(batch[0]))
    rows = task.predictions(
        records, list(zip(*(t.numpy() for t in predicted), strict=True))
    )
    assert all(is_iob2_valid(row["prediction"]) for row in rows)
    assert len({tag for row in rows for tag in row["prediction"]}) > 3


def test_a_saved_vocabulary_makes_the_same_task(task, records, tmp_path):
    task.save_vocabulary(tmp_path)
    twin = TaggingTask("ner", model=SMALL)
    twin.load_vocabulary(tmp_path)
    assert (twin.tags, twin.spans) == (task.tags, True)
    assert twin.training_words == task.training_words
    model = task.build_model()
    model.save_weights(tmp_path / "model.weights.h5")
    other = twin.build_model()
    other.load_weights(tmp_path / "model.weights.h5")
    features, _ = whole_batch(task, records)
    np.testing.assert_array_equal(model(features), other(features))


def test_a_tagger_is_saved_and_loaded_by_keras(task, records, tmp_path):
    model = task.build_model()
    model.save(tmp_path / "tagger.keras")
    other = keras.models.load_model(tmp_path / "tagger.keras")
    assert isinstance(other, Tagger)
    features, tag_ids = whole_batch(task, records)
    np.testing.assert_allclose(model(features), other(features), atol=1e-6)
    mine, theirs = (
        task.loss(m, (features, tag_ids), m(features))[0] for m in (model, other)
    )
    np.testing.assert_allclose(mine, theirs, rtol=1e-6)


def test_a_wrong_kind_of_characters_is_told(records):
    task = make_task(records, characters="rnn")
    with pytest.raises(ValueError, match="convolution, recurrent or none, got 'rnn'"):
        task.build_model()


# === On a pretrained encoder ===

SENTENCES = [
    ("The", "film", "was", "unfine", "."),
    ("", "Zoe"),
    ("b" * 10_000, "met", "z" * 40, "paris"),
    ("a",) * 40,  # longer than the window
    ("film",),
]


def tiny_pretrained():
    return Pretrained(tokenizer(), bert)


def pretrained_task(records, preset=tiny_pretrained, **model):
    views = {"word_units": 0, "affix_units": 0, "characters": "none", "num_layers": 0}
    task = TaggingTask(
        "ner", True, preset=preset, model={**views, "dropout": 0.0, **model}
    )
    task.fit_vocabulary(records)
    return task


@pytest.fixture(scope="module")
def sentences():
    return [
        TaggedSentence(words, tuple(np.resize(["B-X", "O", "I-X"], len(words))))
        for words in SENTENCES
    ]


@pytest.fixture(scope="module")
def on_pieces(sentences):
    return pretrained_task(sentences)


def test_pieces_are_joined_and_counted_from_one():
    rows = [[[7, 8, 0], [9, 0, 0], [0, 0, 0]], [[4, 5, 6], [7, 0, 0], [8, 9, 0]]]
    joined = join_pieces(tf.constant(rows))
    expected = [[7, 8, 9, 0, 0, 0], [4, 5, 6, 7, 8, 9]]
    assert joined["piece_ids"].numpy().tolist() == expected
    assert joined["first_pieces"].numpy().tolist() == [[1, 3, 0], [1, 4, 5]]


def test_a_batch_holds_the_pieces_of_its_words(on_pieces, sentences):
    features, _ = whole_batch(on_pieces, sentences)
    lengths = on_pieces.examples(sentences).lengths
    for row, words in enumerate(SENTENCES):
        pieces = [on_pieces.pretrained.pieces([word]).to_list()[0] for word in words]
        joined = [piece + 1 for ids in pieces for piece in ids]
        found = features["piece_ids"][row].numpy()
        assert found[: len(joined)].tolist() == joined
        assert not found[len(joined) :].any()
        assert lengths[row] == len(joined)  # what a batch counts
        first = np.cumsum([0, *map(len, pieces)])[:-1] + 1
        found = features["first_pieces"][row].numpy()
        assert found[: len(words)].tolist() == first.tolist()
        assert not found[len(words) :].any()


def test_a_word_is_read_off_its_first_piece(on_pieces, sentences):
    """Against a loop over words that calls the encoder sentence by sentence."""
    model = on_pieces.build_model()
    features, _ = whole_batch(on_pieces, sentences)
    view = model.get_layer("features").input[0]
    vectors = keras.Model(model.input, view)(features)
    encoder = model.get_layer("pretrained")
    for row, words in enumerate(SENTENCES):
        pieces = [on_pieces.pretrained.pieces([word]).to_list()[0] for word in words]
        joined = [piece for ids in pieces for piece in ids]
        read = encoder(np.array([joined]))[0].numpy()  # (S, D)
        for place in range(len(words)):
            expected = read[sum(map(len, pieces[:place]))]
            assert np.std(expected) > 0.1
            np.testing.assert_allclose(vectors[row, place], expected, atol=1e-5)


def test_every_word_gets_a_tag_however_long_it_is(on_pieces, sentences):
    model = on_pieces.build_model()
    batch = whole_batch(on_pieces, sentences)
    predicted = [t.numpy() for t in on_pieces.predict(model, batch, model(batch[0]))]
    rows = on_pieces.predictions(sentences, list(zip(*predicted, strict=True)))
    assert [len(row["prediction"]) for row in rows] == list(map(len, SENTENCES))
    assert np.isfinite([score for row in rows for score in row["scores"]]).all()


def test_training_and_serving_cut_alike(on_pieces, sentences):
    from_table, _ = whole_batch(on_pieces, sentences)
    served = on_pieces.preprocess(tf.ragged.constant([list(r) for r in SENTENCES]))
    assert {"piece_ids", "first_pieces"} <= served.keys()
    for name, values in from_table.items():
        np.testing.assert_array_equal(values, served[name])


def test_a_pretrained_tagger_learns_and_is_loaded_equal(records, tmp_path):
    keras.utils.set_random_seed(3)
    task = pretrained_task(records[:8])
    features, tag_ids = whole_batch(task, records[:8])
    model = task.build_model()
    model.compile(keras.optimizers.Adam(0.01))
    data = tf.data.Dataset.from_tensors((features, tag_ids)).repeat(40)
    losses = [model.fit(data.take(1), verbose=0).history["loss"][0]]
    losses += model.fit(data, verbose=0).history["loss"]
    assert model.evaluate(data.take(1), verbose=0) < losses[0] / 4
    task.save_vocabulary(tmp_path)
    model.save_weights(tmp_path / "model.weights.h5")
    twin = TaggingTask(
        "ner", preset=pytest.fail, model={**task.model_arguments, "dropout": 0.0}
    )
    twin.load_vocabulary(tmp_path)
    other = twin.build_model()
    other.load_weights(tmp_path / "model.weights.h5")
    again, _ = whole_batch(twin, records[:8])
    np.testing.assert_array_equal(model(features), other(again))


def test_a_pretrained_tagger_is_exported(sentences, tmp_path):
    """With byte pairs; word pieces are exported with a classifier."""
    task = pretrained_task(sentences, lambda: Pretrained(byte_tokenizer(), roberta))
    module = task.serving_module(task.build_model())
    tf.saved_model.save(module, tmp_path, {"serve": module.serving_default})
    texts = tf.constant(["The film was unfine.", "", "Zoe " * 30, "b" * 10_000])
    expected = module.serving_default(texts)
    assert expected["row_lengths"].numpy().tolist() == [5, 0, 30, 1]
    found = tf.saved_model.load(tmp_path).signatures["serve"](texts=texts)
    np.testing.assert_array_equal(found["tags"], expected["tags"])
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-5)


def test_a_tagger_without_a_view_is_told(records):
    task = make_task(
        records, word_units=0, shape_units=0, affix_units=0, characters="none"
    )
    with pytest.raises(ValueError, match="sees nothing of a word: give one of"):
        task.build_model()
