"""The exported classifier against the model called text by text."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_preset import bert, tokenizer

from seqloom.tasks.classification import ClassificationTask
from seqloom.tasks.pretrained import Pretrained
from seqloom.tasks.records import LabelledText

LABELS = ("bad", "good", "so-so")
TRAINING = ["a fine film .", "the film was n't dull", "Zoe met Paris !", "not a film"]
TEXTS = [
    "A fine film, not dull.",
    "",
    "the film " * 9,
    " \t ",
    "Zoë 😀 met  北京!",
    "film",
    "not a fine film " * 5,
]


def untrained(encoder, **arguments):
    """A small classifier with weights large enough for its answers to vary."""
    if encoder == "preset":
        arguments["preset"] = lambda: Pretrained(tokenizer(), bert)
        encoder = "none"
    task = ClassificationTask(
        "sentiment",
        model={"word_units": 8, "units": 8, "num_heads": 2, "encoder": encoder},
        max_length=30,
        **arguments,
    )
    records = [
        LabelledText(text, label) for text in TRAINING for label in LABELS
    ]  # every label
    task.fit_vocabulary(records)
    model = task.build_model()
    random = np.random.default_rng(4)
    for weight in model.trainable_variables:
        if "transformer_layer" not in weight.path and "embedd" not in weight.path:
            weight.assign(random.normal(0, 0.8, weight.shape))
    return task, model


@pytest.fixture(scope="module", params=["recurrent", "transformer", "preset"])
def served(request):
    task, model = untrained(request.param)
    return task, model, task.serving_module(model)


def numpy(outputs):
    return {name: tensor.numpy() for name, tensor in outputs.items()}


def expected_of(task, model, text):
    """Probabilities, the words that are read with their weights, number of pieces."""
    words, starts, ends = (
        part.to_list()[0] for part in task.tokens.split(tf.constant([text]))
    )
    pieces = [task.tokens.pieces(tf.constant([word])).to_list()[0] for word in words]
    owners = [n for n, ids in enumerate(pieces) for _ in ids][: task.max_length]
    ids = [piece for ids in pieces for piece in ids] or [1]
    outputs = model({"piece_ids": np.array([ids[: task.max_length]])})
    weights = np.zeros(len(words))
    for owner, weight in zip(owners, outputs["weights"][0], strict=False):
        weights[owner] += weight
    shares = tf.nn.softmax(outputs["logits"])[0].numpy()
    read = list(zip(starts, ends, weights, strict=True))[: max(owners, default=-1) + 1]
    return shares, read, len(ids)


def test_answers_are_those_of_the_model_text_by_text(served):
    task, model, module = served
    outputs = numpy(module.serving_default(tf.constant(TEXTS)))
    assert outputs["label_names"].tolist() == [name.encode() for name in LABELS]
    for row, text in enumerate(TEXTS):
        shares, _, length = expected_of(task, model, text)
        np.testing.assert_allclose(outputs["probabilities"][row], shares, atol=1e-5)
        assert outputs["labels"][row].decode() == LABELS[shares.argmax()]
        np.testing.assert_allclose(outputs["scores"][row], shares.max(), atol=1e-5)
        assert outputs["truncated"][row] == (length > task.max_length)
    assert len({tuple(row.round(4)) for row in outputs["probabilities"]}) >= 5


def test_attention_gives_the_same_and_the_words(served):
    task, model, module = served
    short = numpy(module.serving_default(tf.constant(TEXTS)))
    outputs = numpy(module.attention(tf.constant(TEXTS)))
    for name, values in short.items():
        np.testing.assert_array_equal(outputs[name], values)
    ends = np.cumsum(outputs["row_lengths"])
    assert len(outputs["words"]) == ends[-1]
    for row, text in enumerate(TEXTS):
        _, words, _ = expected_of(task, model, text)
        part = slice(ends[row] - outputs["row_lengths"][row], ends[row])
        for column, name in ((0, "starts"), (1, "ends")):
            assert outputs[name][part].tolist() == [word[column] for word in words]
        np.testing.assert_allclose(
            outputs["weights"][part], [word[2] for word in words], atol=1e-5
        )
        raw = text.encode()
        assert outputs["words"][part].tolist() == [raw[a:b] for a, b, _ in words]
        if words:
            np.testing.assert_allclose(outputs["weights"][part].sum(), 1, atol=1e-5)


def test_groups_of_any_size_keep_the_order(served, monkeypatch):
    task, model, module = served
    whole = numpy(module.attention(tf.constant(TEXTS)))
    monkeypatch.setattr("seqloom.tasks.sorted_rows.CHUNK_TOKENS", 7)
    module = task.serving_module(model)
    parts = numpy(module.attention(tf.constant(TEXTS)))
    for name in ("probabilities", "weights"):
        np.testing.assert_allclose(parts[name], whole[name], atol=1e-5)


def test_no_texts_give_no_answers(served):
    outputs = numpy(served[2].attention(tf.constant([], tf.string)))
    assert outputs.pop("label_names").shape == (3,)
    assert outputs["probabilities"].shape == (0, 3)
    assert {len(values) for values in outputs.values()} == {0}


def test_a_very_long_text_is_cut_and_says_so(served):
    task, _, module = served
    text = "the film was fine . " * 5000
    assert len(text) == 100_000
    outputs = numpy(module.attention(tf.constant([text, "film", "z" * 100_000])))
    assert outputs["truncated"].tolist() == [True, False, False]
    assert outputs["row_lengths"].tolist() == [task.max_length, 1, 1]
    first = outputs["weights"][: task.max_length]
    np.testing.assert_allclose(first.sum(), 1, atol=1e-5)


def test_bytes_that_are_no_text_are_answered(served):
    texts = [b"film \xff\xfe fine \xc3", b"film\x00 fine\x01"]
    outputs = numpy(served[2].attention(tf.constant(texts)))
    assert np.isfinite(outputs["probabilities"]).all()
    for word in outputs["words"]:
        word.decode()


def test_a_saved_model_answers_alike_and_holds_no_optimizer(served, tmp_path):
    task, model, module = served
    model.compile(keras.optimizers.Adam(0.1))
    model.optimizer.build(model.trainable_variables)
    names = ("serving_default", "attention")
    module = task.serving_module(model)
    tf.saved_model.save(
        module, tmp_path, signatures={name: getattr(module, name) for name in names}
    )
    size = sum(np.prod(weight.shape) for weight in model.variables)
    saved = tf.train.list_variables(str(tmp_path / "variables/variables"))
    kept = [shape for _, shape in saved if shape]
    assert sum(np.prod(shape) for shape in kept) <= size
    assert not any("optimizer" in name or "momentum" in name for name, _ in saved)
    loaded = tf.saved_model.load(tmp_path)
    for name in names:
        expected = numpy(getattr(module, name)(tf.constant(TEXTS)))
        found = numpy(loaded.signatures[name](texts=tf.constant(TEXTS)))
        assert found.keys() == expected.keys()
        for key, values in expected.items():
            if values.dtype.kind == "f":
                np.testing.assert_allclose(found[key], values, atol=1e-5)
            else:
                np.testing.assert_array_equal(found[key], values)


@pytest.mark.parametrize("kind", ["wordpiece", "sentencepiece"])
def test_learned_vocabularies_are_saved_with_the_model(kind, tmp_path):
    task, model = untrained("none", tokenizer=kind, vocabulary_size=290)
    module = task.serving_module(model)
    tf.saved_model.save(module, tmp_path, {"attention": module.attention})
    expected = numpy(module.attention(tf.constant(TEXTS)))
    loaded = tf.saved_model.load(tmp_path)
    found = numpy(loaded.signatures["attention"](texts=tf.constant(TEXTS)))
    for key in ("probabilities", "weights"):
        np.testing.assert_allclose(found[key], expected[key], atol=1e-5)
    np.testing.assert_array_equal(found["words"], expected["words"])
