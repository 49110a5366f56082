"""The translation task: examples, batches, predictions and their scores."""

import math

import numpy as np
import pytest
import tensorflow as tf

from seqloom.tasks.records import SentencePair
from seqloom.tasks.synthetic_pairs import synthetic_pairs
from seqloom.tasks.translation import Search, TranslationTask

MODEL = {"units": 8, "num_layers": 1, "num_heads": 2, "feed_forward_units": 12}
PAIRS = synthetic_pairs("reverse", "train", 1)[:200]


def new_task(records=PAIRS, **arguments):
    task = TranslationTask(
        "translation", **{"vocabulary_size": 400, "model": MODEL, **arguments}
    )
    task.fit_vocabulary(records)
    return task


@pytest.fixture(scope="module")
def task():
    return new_task()


def ids(subwords, text):
    return list(subwords.encode(tf.constant([text]))[0].numpy())


def test_a_batch_is_shifted_ended_and_padded(task):
    records = [SentencePair("balo dorn", "dorn balo gump"), SentencePair("fiju", "")]
    examples = task.examples(records)
    features, labels = task.batch(examples, tf.constant([0, 1]), True, [0, 0])
    source, target = (ids(task.source, text) for text in records[0][:2])
    assert list(features["source_ids"][0].numpy()) == [*source, 3]
    assert list(features["target_ids"][0].numpy()) == [2, *target]
    assert list(labels[0].numpy()) == [*target, 3]
    # An empty side is its end alone.
    assert list(features["target_ids"][1].numpy()) == [2] + [0] * len(target)
    assert list(labels[1].numpy()) == [3] + [0] * len(target)
    np.testing.assert_array_equal(
        examples.lengths, [[len(source) + 1, len(target) + 1], [2, 1]]
    )


def test_long_sides_are_cut_and_counted():
    task = new_task(max_length=3)
    records = [
        SentencePair("balo dorn fiju gump jasu", "balo"),
        SentencePair("balo", "balo dorn fiju gump jasu lusk"),
        SentencePair("balo", "dorn"),
    ]
    examples = task.examples(records)
    assert examples.num_truncated == 2
    assert examples.lengths.max() == 4
    assert examples.columns["source_ids"][0].numpy()[-1] == 3


def test_sides_of_their_own_have_their_own_pieces(tmp_path):
    records = [SentencePair("balo " * n, "ZYX " * n) for n in range(1, 30)]
    task = new_task(records, joint=False, vocabulary_size=280)
    first = 4 + 256  # the reserved ids and the bytes
    assert min(ids(task.source, "balo")) >= first
    assert min(ids(task.target, "balo")) < first  # the target has no such letters
    task.save_vocabulary(tmp_path)
    again = TranslationTask("translation", joint=False, model=MODEL)
    again.load_vocabulary(tmp_path)
    for side in ("source", "target"):
        old, new = getattr(task, side), getattr(again, side)
        assert ids(old, "ZYX balo") == ids(new, "ZYX balo")
    assert again.build_model().count_params() == task.build_model().count_params()


@pytest.mark.parametrize(("tokenizer", "strength"), [("unigram", 0.2), ("bpe", 0.3)])
def test_sampling_cuts_anew_at_each_epoch_and_the_same_again(tokenizer, strength):
    task = new_task(tokenizer=tokenizer, sampling=strength, seed=5)
    assert task.examples(PAIRS).resample is None
    examples = task.examples(PAIRS, training=True)

    def rows(epoch, made=examples):
        return made.resample(epoch).columns["source_ids"].to_list()

    assert rows(0) != rows(1)
    assert rows(1) == rows(1, new_task(
        tokenizer=tokenizer, sampling=strength, seed=5
    ).examples(PAIRS, training=True))  # fmt: skip
    for row, pair in zip(rows(1), PAIRS, strict=True):
        [text] = task.source.decode(tf.constant([row])).numpy()
        assert text.decode() == pair.source
        assert row[-1] == 3
    lengths = [len(row) for row in rows(1)]
    np.testing.assert_array_equal(examples.resample(1).lengths[:, 0], lengths)


def test_without_sampling_examples_stay_the_same(task):
    assert task.examples(PAIRS, training=True).resample is None


def test_the_longest_translation_goes_by_the_source():
    options = Search(beam=2, max_ratio=1.5, max_extra=4).options(tf.constant([2, 10]))
    np.testing.assert_array_equal(options.max_length, [7, 19])
    assert options.beam == 2
    assert Search().options(tf.constant([2]), beam=1).beam == 1


def test_predictions_say_what_was_written_and_how_the_reference_fares(task):
    model = task.build_model()
    examples = task.examples(PAIRS[:5])
    batch = task.batch(examples, tf.range(5), False, [0, 0])
    outputs = model(batch[0])
    found = task.predict(model, batch, outputs, quick=True)
    rows = task.predictions(PAIRS[:5], list(zip(*(t.numpy() for t in found))))
    logs = tf.nn.log_softmax(outputs["logits"]).numpy()
    for number, (row, pair) in enumerate(zip(rows, PAIRS[:5], strict=True)):
        labels = [label for label in batch[1][number].numpy() if label]
        assert (row["source"], row["reference"]) == (pair.source, pair.target)
        want = sum(logs[number, step, label] for step, label in enumerate(labels))
        assert row["reference_log_probability"] == pytest.approx(want, abs=1e-3)
        best = logs[number, : len(labels)].argmax(axis=-1)
        assert row["reference_pieces"] == len(labels)
        assert row["reference_pieces_right"] == int(np.sum(best == labels))


def test_perplexity_and_accuracy_are_over_all_pieces(task):
    row = {"source": "a", "reference": "a b", "prediction": "a b"}
    first = {
        "reference_log_probability": -2.0,
        "reference_pieces": 3,
        "reference_pieces_right": 1,
    }
    second = {
        "reference_log_probability": -1.0,
        "reference_pieces": 1,
        "reference_pieces_right": 1,
    }
    values = task.evaluate([{**row, **first}, {**row, **second}]).values
    assert values["perplexity"] == pytest.approx(math.exp(3 / 4))
    assert values["piece_accuracy"] == 0.5
    assert values["exact_match"] == 1.0


def test_what_is_watched_is_drawn_anew_from_the_model_as_it_is(task):
    model = task.build_model()
    draw = task.watch(model, PAIRS[:20])
    before = draw()["alignments"]
    model.set_weights([w * 3 for w in model.get_weights()])
    after = draw()["alignments"]

    def maps(figure):
        return [image.get_array() for axes in figure.axes for image in axes.images]

    assert maps(before)
    pairs = zip(maps(before), maps(after), strict=False)
    assert any(a.shape != b.shape or not np.allclose(a, b) for a, b in pairs)


def test_without_attention_there_is_nothing_to_draw():
    task = new_task(model={"kind": "recurrent", "units": 8, "attention": "none"})
    model = task.build_model()
    assert task.watch(model, PAIRS[:5])() == {}
    rows = [{"source": pair.source} for pair in PAIRS[:5]]
    assert task.look_inside(model, [], rows) == {}


def test_a_task_without_vocabulary_says_so():
    with pytest.raises(ValueError, match="Call fit_vocabulary or load_vocabulary"):
        _ = TranslationTask("translation").source


def test_a_beam_larger_than_the_vocabulary_is_told_before_training():
    task = new_task(search=Search(beam=999))
    with pytest.raises(ValueError, match=r"beam=999 is larger than the vocabulary of"):
        task.build_model()


def test_learned_positions_bound_the_translations():
    model = {"kind": "transformer", "position": "learned", "units": 8, "num_heads": 2}
    task = new_task(
        max_length=6,
        search=Search(beam=2, max_ratio=5.0, max_extra=50),
        model={**model, "feed_forward_units": 8, "num_layers": 1},
    )
    network = task.build_model()
    batch = task.batch(task.examples(PAIRS), tf.range(2, dtype=tf.int64), False, 0)
    outputs = network(batch[0])
    token_ids, *_ = task.predict(network, batch, outputs)
    # Six pieces, the end, and the begin, which is no part of the translation.
    assert token_ids.shape[1] == 7
    figures = task.look_inside(
        network, [], [{"source": text} for text, *_ in PAIRS[:2]]
    )
    assert "cross_heads" in figures
