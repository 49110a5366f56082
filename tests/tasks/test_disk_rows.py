"""Rows on disk, and translators that learn from them as from memory."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_translator import translator
from toy_training import strategy_of

from seqloom.pipelines import batching
from seqloom.pipelines.config import TrainingConfig
from seqloom.pipelines.feed import Feed
from seqloom.pipelines.pair_store import PairStore
from seqloom.tasks import subword_sampling, translation
from seqloom.tasks.disk_rows import DiskRows
from seqloom.tasks.examples import gather
from seqloom.tasks.subwords import Subwords
from seqloom.tasks.synthetic_pairs import synthetic_pairs
from seqloom.tasks.translation import TranslationTask

ROWS = [[5, 7], [], [7, 9, 1], [-3], [], [2] * 6]
PAIRS = synthetic_pairs("reverse", "train", 1)[:90]


def chunks(rows, at_once):
    for first in range(0, len(rows), at_once):
        some = rows[first : first + at_once]
        values = [value for row in some for value in row]
        yield np.array(values, np.int64), np.array([len(row) for row in some])


@pytest.mark.parametrize("at_once", [1, 2, 99])
def test_rows_are_as_in_memory(at_once):
    column = DiskRows(chunks(ROWS, at_once), np.int32)
    assert len(column) == 6
    assert column.row_lengths().tolist() == [2, 0, 3, 1, 0, 6]
    memory = tf.ragged.constant(ROWS, tf.int32)
    for rows in ([0, 2], [5, 0, 0, 1], [1, 4], []):
        rows = tf.constant(rows, tf.int64)
        found = tf.function(gather)(column, rows)
        assert found.dtype == tf.int32
        assert found.to_list() == gather(memory, rows).to_list()
    data, ends = column.span(1, 4)
    assert np.frombuffer(data, np.int32).tolist() == [7, 9, 1, -3]
    assert ends == [0, 0, 3, 4]


# === Translation ===


@pytest.fixture(params=[("unigram", 0.0), ("bpe", 0.3)])
def task(request, monkeypatch):
    monkeypatch.setattr(translation, "TEXTS_AT_ONCE", 16)
    # Sampling forgets its words at every call.
    monkeypatch.setattr(subword_sampling, "MOST_EDGES", 1)
    tokenizer, sampling = request.param
    task = TranslationTask(
        "translation", tokenizer, 300, sampling=sampling, seed=3, max_length=4
    )
    task.fit_vocabulary(PAIRS)
    return task


def feed(task, records):
    examples = task.examples(records, training=True)
    settings = TrainingConfig(batch_tokens=60)
    return Feed(task, examples, strategy_of(1), settings, seed=1), examples


def flat(batches):
    return [tensor.numpy() for batch in batches for tensor in tf.nest.flatten(batch)]


def test_batches_from_disk_are_those_from_memory(task):
    memory, encoded = feed(task, PAIRS)
    disk, stored = feed(task, PairStore(PAIRS))
    assert isinstance(stored.columns["labels"], DiskRows)
    assert stored.num_truncated == encoded.num_truncated > 0
    assert disk.steps_per_epoch == memory.steps_per_epoch
    assert disk.padding == memory.padding
    epochs = []
    for epoch in (0, 1, 0):
        np.testing.assert_array_equal(
            disk.examples(epoch).lengths, memory.examples(epoch).lengths
        )
        plan = memory.plan(epoch)
        streams = [each.stream(plan, epoch, 0) for each in (memory, disk)]
        assert streams[0].element_spec == streams[1].element_spec
        epochs.append(flat(streams[0]))
        for value, expected in zip(flat(streams[1]), epochs[-1], strict=True):
            np.testing.assert_array_equal(value, expected)
    # Each epoch has pieces of its own, again and again.
    pieces = [sum(np.count_nonzero(part) for part in epoch) for epoch in epochs]
    assert pieces[2] == pieces[0]
    assert (pieces[1] != pieces[0]) == (task.sampling > 0)


@pytest.mark.parametrize("task", [("unigram", 0.2), ("bpe", 0.3)], indirect=True)
def test_sampled_pieces_are_those_of_all_texts_at_once(task):
    column = task.examples(PairStore(PAIRS), True).resample(4).columns["labels"]
    texts = [pair.target for pair in PAIRS]
    for row, ids in enumerate(task.target.sample(texts, [3, 4, 1], task.sampling)):
        assert column.take(np.array([row]))[0].tolist() == [*ids[:4], 3]


def test_training_from_disk_is_training_from_memory():
    losses = []
    for records in (PAIRS, PairStore(PAIRS)):
        keras.utils.set_random_seed(5)
        task, model = translator("transformer", scale=0.3)
        optimizer = keras.optimizers.SGD(0.5)
        examples = task.examples(records, training=True)
        plan = batching.plan_training(examples.lengths, 99, 9, 1, 1, seed=3, epoch=0)
        for batch in batching.dataset(task, examples, plan[:4], training=True):
            with tf.GradientTape() as tape:
                total, weight = task.loss(model, batch, model(batch[0], training=True))
                loss = total / weight
            weights = model.trainable_variables
            optimizer.apply(tape.gradient(loss, weights), weights)
            losses.append(float(loss))
    assert losses[:4] == losses[4:]
    assert len(set(losses)) == 4


@pytest.mark.parametrize("joint", [True, False])
def test_a_store_has_the_vocabulary_of_a_list(joint):
    made = []
    for records in (PAIRS, PairStore(PAIRS)):
        task = TranslationTask("translation", vocabulary_size=300, joint=joint)
        task.fit_vocabulary(records)
        made.append((task.source.model, task.target.model))
    assert made[0] == made[1]


def test_pieces_are_learned_from_so_many_texts_always_the_same(monkeypatch):
    texts = [text for pair in PAIRS for text in pair[:2]]
    everything = Subwords.fit(texts, 300).model
    monkeypatch.setattr("seqloom.tasks.subwords.MOST_TEXTS", len(texts))
    assert Subwords.fit(texts, 300).model == everything
    monkeypatch.setattr("seqloom.tasks.subwords.MOST_TEXTS", 101)
    drawn = Subwords.fit(iter(texts), 300).model
    assert drawn == Subwords.fit(texts, 300).model != everything
