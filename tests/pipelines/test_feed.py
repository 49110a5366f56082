"""The feed: examples that differ from epoch to epoch, and what counts as a token."""

import numpy as np
import tensorflow as tf

from seqloom.pipelines.config import TrainingConfig
from seqloom.pipelines.feed import Feed
from seqloom.tasks.examples import Examples


class Task:
    def batch(self, examples, rows, training, seed):
        return tf.gather(examples.columns["ids"], rows).to_tensor()


def examples(epoch=None):
    """Rows of epoch + 1 steps each; without an epoch, those encoded at first."""
    steps = 1 if epoch is None else epoch + 1
    ids = tf.ragged.constant([[number] * steps for number in range(1, 7)])
    lengths = np.full((6, 2), steps)
    return Examples({"ids": ids}, lengths, {}, resample=examples)


def feed(first):
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    settings = TrainingConfig(batch_tokens=4)
    return Feed(Task(), first, strategy, settings, seed=1)


def test_each_epoch_has_its_own_examples():
    made = feed(examples())
    for epoch in (0, 2, 1, 2):
        plan = made.plan(epoch)
        batches = [batch.numpy() for batch in made.stream(plan, epoch, 0)]
        assert {batch.shape[1] for batch in batches} == {epoch + 1}
        rows = np.concatenate(plan)
        np.testing.assert_array_equal(
            np.concatenate([batch[:, 0] for batch in batches]), rows + 1
        )


def test_on_one_replica_no_stage_of_a_stream_is_tuned():
    made = feed(examples())
    stream = made.stream(made.plan(0), 0, 0)
    assert isinstance(stream, tf.data.Dataset)  # no further stages around it
    assert stream.options().autotune.enabled is False


def test_examples_that_do_not_differ_are_kept():
    first = Examples({}, np.full((6, 2), 1), {})
    made = feed(first)
    assert made.examples(0) is first
    assert made.examples(3) is first


def test_tokens_of_pairs_are_those_of_the_target():
    lengths = np.array([[5, 1], [7, 2], [9, 4]])
    made = feed(Examples({}, lengths, {}))
    assert made.tokens([np.array([0, 2]), np.array([1])], epoch=0) == 7
    alone = feed(Examples({}, lengths[:, 0], {}))
    assert alone.tokens([np.array([0, 2])], epoch=0) == 14
