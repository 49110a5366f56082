"""A translator as CTranslate2 runs it: the same numbers, and nothing missing."""

import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_translator import PAIRS

from seqloom.tasks.ctranslate2_format import (
    check_expressible,
    longest_translation,
    save_ctranslate2,
)
from seqloom.tasks.records import SentencePair
from seqloom.tasks.translation import Search, TranslationTask
from seqloom.tasks.translator import build_translator

BEGIN, END = 2, 3
SIZES = {"units": 8, "num_layers": 2, "num_heads": 2, "feed_forward_units": 12}
LONGEST = 9
SEPARATE = {"joint": False}
CASES = {
    "pre, sinusoidal, tied, joint": {},
    "post, learned, untied, separate": {
        "norm": "post",
        "position": "learned",
        "tied": False,
        **SEPARATE,
    },
    "pre, learned, tied, separate": {"position": "learned", **SEPARATE},
    "post, sinusoidal, untied, joint": {"norm": "post", "tied": False},
    "pre, sinusoidal, untied, separate": {"tied": False, **SEPARATE},
    "post, learned, tied, joint": {"norm": "post", "position": "learned"},
    "rotary": {"position": "rotary"},
    "no positions": {"position": "none", "norm": "post"},
    "projected": {"embedding_units": 6, **SEPARATE},
    "projected, untied": {"embedding_units": 6, "tied": False},
    "gelu": {"activation": "gelu"},
}


@pytest.fixture(scope="module")
def tasks():
    """Tasks with one vocabulary and with two, by `joint`."""
    found = {}
    for joint, size in ((True, 320), (False, 300)):
        found[joint] = TranslationTask(
            "translation", vocabulary_size=size, joint=joint, max_length=40
        )
        found[joint].fit_vocabulary([SentencePair(*pair) for pair in PAIRS] * 3)
    return found


def random_model(task, activation="relu", **arguments):
    model = build_translator(
        task.source.size,
        None if task.joint else task.target.size,
        max_length=41,
        dropout=0.0,
        **{**SIZES, **arguments},
    )
    if activation == "gelu":  # no setting of translators, but one of their layers
        reader = model.get_layer("reader")
        for layer in (*reader.layers, *model.decoder.layers):
            layer.feed_forward.activation = "gelu"
            layer.feed_forward.inner.activation = keras.activations.gelu
    random = np.random.default_rng(7)
    for weight in model.trainable_weights:
        if not weight.path.endswith("gamma"):
            weight.assign(random.normal(0, 0.7, weight.shape))
    # Padding and begin would be written if they could be; some texts end early.
    bias = model.decoder.logits.bias
    more = {0: 9.0, BEGIN: 9.0, END: 2.0}
    bias.assign([more.get(number, value) for number, value in enumerate(bias.numpy())])
    return model


def exported(model, task, folder):
    ctranslate2 = pytest.importorskip("ctranslate2")
    save_ctranslate2(model, task, folder)
    return ctranslate2.Translator(str(folder), intra_threads=1)


def random_rows(size, count, seed):
    """Ids without begin and end."""
    random = np.random.default_rng(seed)
    return [random.integers(4, size, 1 + row % 9).tolist() for row in range(count)]


def log_probabilities(model, sources, targets):
    """A `(T, V)` for each target's pieces and its end; padding and begin left out."""
    features = {
        "source_ids": padded([[*source, END] for source in sources]),
        "target_ids": padded([[BEGIN, *target] for target in targets]),
    }
    logits = model(features)["logits"].numpy()
    logits[..., [0, BEGIN]] = -np.inf
    tables = tf.nn.log_softmax(logits).numpy()
    rows = zip(tables, targets, strict=True)
    return [table[: len(target) + 1] for table, target in rows]


def padded(rows):
    return tf.ragged.constant(rows, tf.int32, ragged_rank=1).to_tensor()


def greedy(translator, task, sources, **options):
    """Ids that are written."""
    results = translator.translate_batch(
        [task.source.pieces(row) for row in sources],
        beam_size=1,
        **{"min_decoding_length": 0, **options},
    )
    pieces = task.target.pieces(range(task.target.size))
    return [[pieces.index(piece) for piece in row.hypotheses[0]] for row in results]


@pytest.mark.parametrize("case", CASES)
def test_numbers_and_choices_are_those_of_the_model(case, tasks, tmp_path):
    arguments = dict(CASES[case])
    task = tasks[arguments.pop("joint", True)]
    model = random_model(task, **arguments)
    translator = exported(model, task, tmp_path)
    sources = random_rows(task.source.size, 12, seed=1)
    targets = random_rows(task.target.size, 12, seed=2)
    scored = translator.score_batch(
        [task.source.pieces(row) for row in sources],
        [task.target.pieces(row) for row in targets],
    )
    tables = log_probabilities(model, sources, targets)
    # Or what the encoder does would not show.
    assert np.ptp([table[0, 4:] for table in tables], axis=0).max() > 0.1
    for target, table, found in zip(targets, tables, scored, strict=True):
        expected = table[np.arange(len(table)), [*target, END]]
        np.testing.assert_allclose(found.log_probs, expected, atol=1e-4)
    written = greedy(translator, task, sources, max_decoding_length=LONGEST)
    assert any(written)
    tables = log_probabilities(model, sources, written)
    for row, table in zip(written, tables, strict=True):
        best = table.argmax(axis=-1).tolist()
        assert best[:LONGEST] == [*row, END][:LONGEST]


def test_its_attention_is_that_of_the_model(tasks, tmp_path):
    task = tasks[True]
    model = random_model(task)
    translator = exported(model, task, tmp_path)
    source = random_rows(task.source.size, 9, seed=3)[-1]
    result = translator.translate_batch(
        [task.source.pieces(source)],
        beam_size=1,
        min_decoding_length=4,
        max_decoding_length=4,
        return_attention=True,
    )[0]
    pieces = task.target.pieces(range(task.target.size))
    written = [pieces.index(piece) for piece in result.hypotheses[0]]
    features = {
        "source_ids": padded([[*source, END]]),
        "target_ids": padded([[BEGIN, *written]]),
    }
    expected = model(features)["attention"][0, :4, :-1]  # not of the end
    np.testing.assert_allclose(np.array(result.attention[0])[:4], expected, atol=1e-5)


def test_long_sources_are_read_as_far_as_ctranslate2_does(tasks, tmp_path):
    task = tasks[True]
    translator = exported(random_model(task), task, tmp_path)
    source = task.source.pieces([10] * 3000)
    assert translator.translate_batch([source], max_decoding_length=5)[0].hypotheses


def test_the_longest_translation_has_positions(tmp_path):
    search = Search(max_ratio=30.0, max_extra=5)
    task = TranslationTask(
        "translation", vocabulary_size=320, max_length=40, search=search
    )
    task.fit_vocabulary([SentencePair(*pair) for pair in PAIRS] * 3)
    model = random_model(task)
    longest = longest_translation(model, task)
    assert longest == 30 * 41 + 5
    translator = exported(model, task, tmp_path)
    length = {"min_decoding_length": longest, "max_decoding_length": longest}
    assert len(greedy(translator, task, [[10, 11]], **length)[0]) == longest
    assert longest_translation(random_model(task, position="learned"), task) == 41


def test_the_folder_is_complete_and_its_readme_works(tasks, tmp_path):
    task = tasks[False]
    translator = exported(random_model(task), task, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "model.bin",
        "config.json",
        "source_vocabulary.json",
        "target_vocabulary.json",
        "source.model",
        "target.model",
        "README.txt",
    }
    readme = (tmp_path / "README.txt").read_text()
    code = "".join(
        ln for ln in readme.splitlines(True) if ln.startswith(("    ", "\n"))
    )
    code = textwrap.dedent(code).replace("path/to/this/folder", str(tmp_path))
    code += "\nimport sys; print('tensorflow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    texts = tf.constant(["A text.", "Another one."])
    rows = task.source.encode(texts).to_list()
    ids = greedy(translator, task, rows, max_decoding_length=2 * 41 + 10)
    decoded = task.target.decode(tf.ragged.constant(ids, tf.int32, ragged_rank=1))
    expected = [text.decode() for text in decoded.numpy()]
    assert any(expected)
    assert done.stdout == f"{expected}\nFalse\n"


def test_tables_that_occur_twice_are_stored_once(tasks, tmp_path):
    task = tasks[True]
    sizes = {"units": 64, "num_layers": 1}
    for name, tied in (("one", True), ("two", False)):
        (tmp_path / name).mkdir()
        exported(random_model(task, tied=tied, **sizes), task, tmp_path / name)
    one, two = (
        (tmp_path / name / "model.bin").stat().st_size for name in ("one", "two")
    )
    table = 4 * 64 * task.source.size
    assert two - one == pytest.approx(table, rel=0.01)
    assert one < 4 * 64 * 1024 + table + 4 * 64 * 64 * 15  # one table of positions


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "recurrent"}, "Transformers only, and this .* model.kind=recurrent"),
        ({"normalizer": "sigmoid"}, "softmax only, .* model.normalizer=sigmoid"),
    ],
)
def test_what_it_cannot_express(arguments, message):
    sizes = {**SIZES, **arguments}
    with pytest.raises(ValueError, match=message):
        check_expressible(build_translator(9, None, **sizes))
