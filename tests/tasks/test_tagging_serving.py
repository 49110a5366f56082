import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from seqloom.tasks.records import TaggedSentence
from seqloom.tasks.spans import spans
from seqloom.tasks.tagging import TaggingTask
from seqloom.tasks.tagging_serving import TaggingServing, cudnn, find_entities

TAGS = ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]
SENTENCES = [
    "Rhea met Ada in Paris .",
    "Ada 's boat , the Zoë , left Oslo on 3.5 knots",
    "Oslo",
    "Kim Ng of Paris saw Rhea in Oslo , and Ada , and Kim",
]


def untrained(spans_=True):
    """A small tagger with weights large enough for tags to vary."""
    tags = TAGS if spans_ else ["CD", "DT", "NN", "VB"]
    task = TaggingTask(
        "ner" if spans_ else "pos",
        spans_,
        model={"word_units": 8, "units": 6, "char_units": 4, "output": "crf"},
    )
    task.fit_vocabulary(
        [
            TaggedSentence(
                tuple(text.split()), tuple(np.resize(tags, len(text.split())))
            )
            for text in SENTENCES * 5
        ]
    )
    tf.keras.utils.set_random_seed(3)
    model = task.build_model()
    for variable in model.trainable_variables:
        variable.assign(variable + np.random.normal(0, 0.6, variable.shape))
    return task, model


@pytest.fixture(scope="module")
def serving():
    task, model = untrained()
    return task.serving_module(model)


def numpy(outputs):
    return {name: tensor.numpy() for name, tensor in outputs.items()}


def label_words(serving, rows):
    words = tf.constant([word for row in rows for word in row], tf.string)
    return numpy(serving.tokens(words, tf.constant([len(r) for r in rows], tf.int64)))


def rows_of(flat, lengths):
    return np.split(flat, np.cumsum(lengths)[:-1]) if len(lengths) else []


def test_both_signatures_agree(serving):
    by_text = numpy(serving.serving_default(tf.constant(SENTENCES)))
    by_words = label_words(serving, [text.split() for text in SENTENCES])
    assert by_text.keys() == by_words.keys()
    for name in by_text.keys() - {"starts", "ends", "entity_starts", "entity_ends"}:
        np.testing.assert_array_equal(by_text[name], by_words[name], err_msg=name)
    assert len(by_text["entity_texts"]) > 3


def test_entities_are_the_spans_of_the_tags(serving):
    outputs = label_words(serving, [text.split() for text in SENTENCES])
    expected = []
    parts = (
        rows_of(outputs[name], outputs["row_lengths"]) for name in ("tags", "scores")
    )
    for text, tags, scores in zip(SENTENCES, *parts, strict=True):
        words = text.split()
        expected += [
            (" ".join(words[a:b]).encode(), kind.encode(), a, b, min(scores[a:b]))
            for a, b, kind in spans([tag.decode() for tag in tags])
        ]
    names = ("texts", "types", "starts", "ends", "scores")
    columns = [outputs[f"entity_{name}"] for name in names]
    assert list(zip(*columns, strict=True)) == expected
    assert sum(outputs["entity_row_lengths"]) == len(expected)


def test_offsets_are_bytes_into_the_text(serving):
    texts = ["  Zoë 😀 met Ada's Kim Ng .", "Rhea"]
    outputs = numpy(serving.serving_default(tf.constant(texts)))
    for prefix in ("entity_", ""):
        lengths = outputs[f"{prefix}row_lengths"]
        names = (
            f"{prefix}texts" if prefix else "tokens",
            f"{prefix}starts",
            f"{prefix}ends",
        )
        parts = (rows_of(outputs[name], lengths) for name in names)
        for text, *columns in zip(texts, *parts, strict=True):
            for piece, start, end in zip(*columns, strict=True):
                assert text.encode()[start:end] == piece


def test_scores_are_the_probabilities_of_the_tags():
    task, model = untrained()
    module = task.serving_module(model)
    outputs = label_words(module, [SENTENCES[0].split()])
    features = task.preprocess(tf.ragged.constant([SENTENCES[0].split()]))
    ids, scores = task.decode(model, model(features), features["word_ids"] != 0)
    assert [task.tags[i].encode() for i in ids[0]] == list(outputs["tags"])
    np.testing.assert_allclose(outputs["scores"], scores[0], atol=1e-6)


def test_a_row_does_not_depend_on_its_neighbours(serving):
    texts = [*SENTENCES, "", " ", SENTENCES[1] * 30]
    together = numpy(serving.serving_default(tf.constant(texts)))
    tags = rows_of(together["tags"], together["row_lengths"])
    scores = rows_of(together["scores"], together["row_lengths"])
    for text, row_tags, row_scores in zip(texts, tags, scores, strict=True):
        alone = numpy(serving.serving_default(tf.constant([text])))
        np.testing.assert_array_equal(alone["tags"], row_tags)
        np.testing.assert_allclose(alone["scores"], row_scores, atol=1e-5)


def test_pieces_of_any_size_give_the_same(monkeypatch):
    task, model = untrained()
    texts = tf.constant([*SENTENCES * 5, ""])
    module = task.serving_module(model)
    whole = numpy(module.serving_default(texts))
    monkeypatch.setattr("seqloom.tasks.sorted_rows.CHUNK_TOKENS", 7)
    module = task.serving_module(model)
    pieces = numpy(module.serving_default(texts))
    np.testing.assert_array_equal(whole["tags"], pieces["tags"])
    np.testing.assert_allclose(whole["scores"], pieces["scores"], atol=1e-5)


@pytest.mark.parametrize("texts", [[], [""], ["", " \n", ""]])
def test_rows_without_tokens(serving, texts):
    outputs = numpy(serving.serving_default(tf.constant(texts, tf.string)))
    for lengths in ("row_lengths", "entity_row_lengths"):
        assert outputs[lengths].tolist() == [0] * len(texts)
    for name in outputs.keys() - {"row_lengths", "entity_row_lengths"}:
        assert outputs[name].size == 0, name
    words = label_words(serving, [[] for _ in texts])
    assert words["tags"].size == 0
    assert words["row_lengths"].tolist() == [0] * len(texts)


def test_long_and_broken_texts(serving):
    texts = [b"Ada met Kim , " * 715, b"x" * 10_000, b"\xff\xfe Ada \xe2\x82", b"\x00"]
    outputs = numpy(serving.serving_default(tf.constant(texts)))
    assert outputs["row_lengths"].tolist() == [2860, 1, 3, 0]
    for name in ("tokens", "entity_texts"):
        for text in outputs[name]:
            text.decode()


def test_row_lengths_must_fit_the_words(serving):
    with pytest.raises(tf.errors.InvalidArgumentError, match="one length for each row"):
        serving.tokens(tf.constant(["a", "b"]), tf.constant([1], tf.int64))


def test_part_of_speech_has_no_entities():
    task, model = untrained(spans_=False)
    module = task.serving_module(model)
    outputs = module.serving_default(tf.constant(["a b"]))
    assert set(outputs) == {"tokens", "starts", "ends", "tags", "scores", "row_lengths"}


def test_cudnn_is_forbidden_while_tracing_only():
    _, model = untrained()
    encoder = model.get_layer("encoder")
    with cudnn(model, False):
        assert encoder.use_cudnn is False
    assert encoder.use_cudnn == "auto"
    with cudnn(model, True):
        assert encoder.use_cudnn == "auto"


def test_only_weights_and_tables_are_saved():
    task, model = untrained()
    model.compile("adam")
    model.optimizer.build(model.trainable_variables)
    module = task.serving_module(model)
    assert len(module.variables) == len(model.variables)
    assert isinstance(module, TaggingServing)


# Any tags, valid IOB2 or not: an I- without a beginning begins a span.
@given(st.lists(st.lists(st.integers(0, 4), max_size=8), max_size=4))
@settings(max_examples=100, deadline=None)
def test_graph_entities_equal_spans(rows):
    ids = tf.constant([i for row in rows for i in row], tf.int32)
    numbers = tf.constant([n for n, row in enumerate(rows) for _ in row], tf.int32)
    found = numpy(find_entities(ids, numbers, TAGS))
    expected, offset = [], 0
    for row in rows:
        for start, end, kind in spans([TAGS[i] for i in row]):
            expected.append((offset + start, offset + end - 1, kind.encode()))
        offset += len(row)
    columns = (found[name] for name in ("first", "last", "types"))
    assert list(zip(*columns, strict=True)) == expected
    assert set(found["segments"]) == set(range(len(expected)))
    assert len(found["segments"]) == found["inside"].sum()
