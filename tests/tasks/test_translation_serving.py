"""The exported translator against the model, decoded text by text."""

import re
from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_translator import translator

from seqloom.layers import DecodingOptions, generate
from seqloom.tasks.translation import Search

TEXTS = [
    "Rhea met Ada in Oslo .",
    "",
    "Ada",
    " \t\u2003 ",
    "5 of 7 met Rhea, not Ada in Paris. " * 9,
    "Zoë 😀",
]
BLANK = (1, 3)
SIGNATURES = ("serving_default", "search", "attention", "score")


@cache
def serve(kind):
    task, model = translator(kind)
    return task, model, task.serving_module(model)


@pytest.fixture(params=["recurrent", "transformer"])
def served(request):
    return serve(request.param)


@pytest.fixture
def recurrent():
    return serve("recurrent")


def numpy(outputs):
    return {name: np.asarray(tensor) for name, tensor in outputs.items()}


@cache
def search(model, beam, n_best, length_penalty):
    """`generate` as a function of source ids and the maximum length."""

    @tf.function(
        input_signature=[tf.TensorSpec([1, None], tf.int32), tf.TensorSpec([])]
    )
    def write(ids, longest):
        options = DecodingOptions(
            beam, n_best, length_penalty, max_length=tf.cast(longest, tf.int32)
        )
        return generate(
            model.decoder, model.begin(ids), options, collect_attention=True
        )

    return write


def written_for(task, model, text, beam=3, n_best=1, length_penalty=0.6, longest=None):
    """What is found for one text, and its source ids; by default as in the task."""
    ids, _ = task.encode_source(tf.constant([text]))
    ids = ids.to_tensor()
    if longest is None:
        longest = ids.shape[1] // 2 + 4
    return search(model, beam, n_best, length_penalty)(ids, longest), ids


def test_translations_are_those_of_the_search_text_by_text(served):
    task, model, module = served
    outputs = numpy(module.serving_default(tf.constant(TEXTS)))
    for row, text in enumerate(TEXTS):
        found, _ = written_for(task, model, text)
        if row not in BLANK:
            expected = task.target.decode(found.token_ids[:, 0])[0]
            assert outputs["translations"][row] == expected
            for name in ("scores", "log_probabilities"):
                value = getattr(found, name)[0, 0]
                np.testing.assert_allclose(outputs[name][row], value, rtol=1e-5)
    assert outputs["truncated"].tolist() == [False] * 4 + [True, False]
    assert len(set(outputs["translations"])) >= 4


def test_a_text_that_says_nothing_is_translated_to_nothing(recurrent):
    _, _, module = recurrent
    outputs = numpy(module.search(tf.constant(TEXTS), 3, 2, 0.6, 0))
    for row in BLANK:
        assert outputs["translations"][row].tolist() == [b"", b""]
        for name in ("scores", "log_probabilities"):
            assert outputs[name][row].tolist() == [0.0, -np.inf]


def test_options_of_the_search_are_inputs(served):
    task, model, module = served
    given = (4, 3, 0.2, 5)
    outputs = numpy(module.search(tf.constant(TEXTS), *given))
    for row, text in enumerate(TEXTS):
        if row in BLANK:
            continue
        found, _ = written_for(task, model, text, *given)
        expected = task.target.decode(found.token_ids[0]).numpy().tolist()
        assert outputs["translations"][row].tolist() == expected
        np.testing.assert_allclose(outputs["scores"][row], found.scores[0], rtol=1e-5)
    assert (np.diff(outputs["scores"][0]) <= 0).all()
    short = numpy(module.search(tf.constant(TEXTS), 1, 1, 0.0, 1))
    assert len(set(short["translations"][:, 0]) - {b""}) >= 2
    with pytest.raises(tf.errors.InvalidArgumentError, match="n_best=4 .* beam=2"):
        module.search(tf.constant(TEXTS), 2, 4, 0.6, 0)


def test_attention_gives_the_same_and_what_was_looked_at(served):
    task, model, module = served
    plain = numpy(module.serving_default(tf.constant(TEXTS)))
    outputs = numpy(module.attention(tf.constant(TEXTS)))
    for name in ("translations", "truncated"):
        np.testing.assert_array_equal(outputs[name], plain[name])
    np.testing.assert_allclose(outputs["scores"], plain["scores"], rtol=1e-5)
    read, wrote = outputs["source_lengths"], outputs["target_lengths"]
    ends = {"source": read.cumsum(), "target": wrote.cumsum()}
    weights = np.split(outputs["weights"], (read * wrote).cumsum()[:-1])
    for row, text in enumerate(TEXTS):
        found, ids = written_for(task, model, text)
        source = task.source.pieces(ids[0].numpy())
        length = int(found.lengths[0, 0]) * (row not in BLANK)
        target = task.target.pieces(found.token_ids[0, 0, :length].numpy())
        for name, pieces in (("source", source), ("target", target)):
            end = ends[name][row]
            flat = outputs[f"{name}_pieces"][end - len(pieces) : end]
            assert [piece.decode() for piece in flat] == pieces
        looks = weights[row].reshape(wrote[row], read[row])
        np.testing.assert_allclose(looks, found.attention[0, 0, :length], atol=1e-5)


def test_scores_of_pairs(served):
    task, model, module = served
    texts = [*TEXTS, "Ada"]
    others = ["Rhea", "", "Ada n'était pas à Paris ! " * 9, "é", "", "😀 Zoë", "Oslo ."]
    outputs = numpy(module.score(tf.constant(texts), tf.constant(others)))
    for row, (text, other) in enumerate(zip(texts, others, strict=True)):
        source, _ = task.encode_source(tf.constant([text]))
        labels, _ = task.encode_target(tf.constant([other]))
        labels = labels.to_list()[0]
        inputs = {"source_ids": source.to_tensor(), "target_ids": [[2, *labels[:-1]]]}
        inputs = {name: tf.constant(ids) for name, ids in inputs.items()}
        logits = model(inputs)["logits"][0].numpy()
        shares = tf.nn.log_softmax(logits).numpy()
        total = sum(shares[step, label] for step, label in enumerate(labels))
        np.testing.assert_allclose(outputs["log_probabilities"][row], total, rtol=1e-5)
        assert outputs["pieces"][row] == len(labels)
    assert outputs["truncated"].tolist() == [row in (2, 4) for row in range(len(texts))]
    with pytest.raises(tf.errors.InvalidArgumentError, match="as many translations"):
        module.score(tf.constant(texts), tf.constant(others[1:]))


@pytest.mark.parametrize("sizes", [(7, 7, 256), (7, 2048, 256), (99, 99, 2)])
def test_groups_of_any_size_keep_the_order(served, sizes, monkeypatch):
    task, model, module = served
    whole = numpy(module.attention(tf.constant(TEXTS)))
    names = ("READ_TOKENS", "WRITE_TOKENS", "WRITE_ROWS")
    for name, size in zip(names, sizes, strict=True):
        monkeypatch.setattr(f"seqloom.tasks.translation_writer.{name}", size)
    module = task.serving_module(model)
    parts = numpy(module.attention(tf.constant(TEXTS)))
    for name, values in whole.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(parts[name], values, atol=1e-5)
        else:
            np.testing.assert_array_equal(parts[name], values)


def test_no_texts_give_no_translations(recurrent):
    _, _, module = recurrent
    none = tf.constant([], tf.string)
    assert {len(values) for values in module.attention(none).values()} == {0}
    assert module.search(none, 3, 2, 0.6, 0)["scores"].shape == (0, 2)
    assert {len(values) for values in module.score(none, none).values()} == {0}


def test_a_saved_model_answers_alike_and_holds_no_optimizer(recurrent, tmp_path):
    _, model, module = recurrent
    model.compile(keras.optimizers.Adam(0.1))
    model.optimizer.build(model.trainable_variables)
    functions = {name: getattr(module, name) for name in SIGNATURES}
    tf.saved_model.save(module, tmp_path, signatures=functions)
    size = sum(np.prod(weight.shape) for weight in model.variables)
    saved = tf.train.list_variables(str(tmp_path / "variables/variables"))
    assert sum(np.prod(shape) for _, shape in saved if shape) <= size
    assert not any("optimizer" in name or "momentum" in name for name, _ in saved)
    loaded = tf.saved_model.load(tmp_path)
    options = {"beam": 4, "n_best": 2, "length_penalty": 1.0, "max_length": 6}
    options = {
        "search": {name: tf.constant(value) for name, value in options.items()},
        "score": {"translations": tf.constant(TEXTS[::-1])},
    }
    for name, function in functions.items():
        more = options.get(name, {})
        expected = numpy(function(tf.constant(TEXTS), **more))
        found = numpy(loaded.signatures[name](texts=tf.constant(TEXTS), **more))
        assert found.keys() == expected.keys()
        for key, values in expected.items():
            if values.dtype.kind == "f":
                np.testing.assert_allclose(found[key], values, atol=1e-5)
            else:
                np.testing.assert_array_equal(found[key], values)


def test_learned_positions_are_never_run_out_of():
    search = Search(beam=2, max_ratio=3.0, max_extra=4)
    task, model = translator(
        "transformer", search, max_length=6, position="learned", scale=0.1
    )
    module = task.serving_module(model)
    outputs = module.attention(tf.constant(["Rhea met Ada !" * 5]))
    assert outputs["target_lengths"].numpy().tolist() == [7]


# === Options in memory ===


def test_the_same_seed_draws_the_same_at_the_same_place(recurrent):
    _, _, module = recurrent
    answer = module.with_options(sample=True, n_best=3, top_k=20, seed=5)
    texts = [TEXTS[0]] * 4
    first = answer(texts, 0)["translations"].numpy()
    np.testing.assert_array_equal(answer(texts, 0)["translations"], first)
    assert len(set(first.flat)) >= 6
    assert (answer(texts, 4)["translations"].numpy() != first).any()
    # Whatever else is there:
    np.testing.assert_array_equal(
        answer([*texts[:2], "", ""])["translations"][:2], first[:2]
    )
    other = module.with_options(sample=True, n_best=3, top_k=20, seed=6)
    assert (other(texts)["translations"].numpy() != first).any()


def test_options_as_numbers_are_those_of_the_signature(recurrent):
    _, _, module = recurrent
    answer = module.with_options(beam=4, n_best=2, length_penalty=0.2, max_length=5)
    expected = numpy(module.search(tf.constant(TEXTS), 4, 2, 0.2, 5))
    found = numpy(answer(TEXTS))
    np.testing.assert_array_equal(found["translations"], expected["translations"])
    np.testing.assert_allclose(found["scores"], expected["scores"], rtol=1e-5)
    looks = module.with_options(attention=True)(TEXTS)
    expected = module.attention(tf.constant(TEXTS))
    np.testing.assert_allclose(looks["weights"], expected["weights"], atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam": 301}, "beam=301 is larger than the vocabulary of 300 pieces. Set it"),
        ({"n_best": 4}, "n_best=4 hypotheses cannot come from beam=3. Ask for fewer"),
        ({"beem": 3}, "Writing has no option 'beem'. Did you mean 'beam'?"),
        ({"speed": 9}, "no option 'speed'. There are: beam, n_best, length_penalty"),
        ({"temperature": 0.5}, "temperature=0.5 says how to draw tokens, but"),
        ({"sample": True, "beam": 2}, "Sampling follows no beam, got beam=2"),
        ({"sample": True, "top_p": 2.0}, "needs 0 < top_p <= 1, got top_p=2.0."),
        ({"seed": 3}, "seed=3 is for drawing at random, but sample=False looks"),
        ({"max_length": -1}, "max_length must be 0 or more, got -1."),
    ],
)
def test_options_that_make_no_sense(recurrent, options, message):
    task, _, module = recurrent
    assert task.target.size == 300
    with pytest.raises(ValueError, match=re.escape(message)):
        module.with_options(**options)


def test_a_model_that_looks_nowhere_has_no_attention_to_show():
    task, model = translator(attention="none")
    module = task.serving_module(model)
    with pytest.raises(
        ValueError, match=r"model.attention=none\): it has no attention"
    ):
        module.with_options(attention=True)
    assert not np.any(module.attention(tf.constant(TEXTS))["weights"])
