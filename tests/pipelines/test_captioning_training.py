"""Training captioners: replicas are one, a broken run is one that never broke."""

import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from toy_training import At, ToyTraining, assert_equal_weights, stop_with, strategy_of

from seqloom.pipelines import batching
from seqloom.pipelines.interruption import Interrupted
from seqloom.pipelines.steps import TrainingStep
from seqloom.tasks.captioning import CaptioningTask
from seqloom.tasks.synthetic_scenes import synthetic_circles

CIRCLES = synthetic_circles("train", 1, 48)
STEPS = 4


def captioning(vary=False, **model):
    task = CaptioningTask(
        "captioning",
        tokenizer="bpe",
        vocabulary_size=330,
        image_size=16,
        vary=vary,
        captions_at_once=2,
        doubly_stochastic=0.3,
        word_detection=0.5,
        model={"filters": (4, 4), "dropout": 0.0, "units": 8, **model},
    )
    task.fit_vocabulary(CIRCLES)
    return task


# === Replicas ===


def train(task, num_replicas, accumulation):
    """A few clipped steps of SGD over the same four batches each."""
    examples = task.examples(CIRCLES, training=True)
    plan = batching.plan_training(examples.lengths, 24, 100, 4, 2, seed=3, epoch=0)
    strategy = strategy_of(num_replicas)
    keras.utils.set_random_seed(5)
    with strategy.scope():
        model = task.build_model()
        optimizer = keras.optimizers.SGD(0.5)
        optimizer.build(model.trainable_variables)
    step = TrainingStep(task, model, optimizer, strategy, accumulation, clip_norm=0.15)
    batches = strategy.distribute_datasets_from_function(
        lambda context: batching.dataset(task, examples, plan, training=True)
    )
    report = step(iter(batches), np.int32(STEPS)).numpy()
    return report, [value.numpy() for value in model.trainable_variables]


def test_two_replicas_equal_one():
    task = captioning()
    report, weights = train(task, num_replicas=1, accumulation=2)
    assert (report[:, 2] > 0.15).any()  # clipping is at work
    other_report, other_weights = train(task, num_replicas=2, accumulation=1)
    np.testing.assert_allclose(other_report, report, rtol=1e-5, atol=1e-5)
    for value, expected in zip(other_weights, weights, strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-5)


def test_two_replicas_turn_hues_alike_each_time():
    task = captioning(colour_filters=4)
    (report, weights), (again, same) = (train(task, 2, 1) for _ in range(2))
    assert np.isfinite(report).all()
    np.testing.assert_allclose(again, report, rtol=1e-5)
    for value, expected in zip(same, weights, strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-5)


# === Resume ===


class Training(ToyTraining):
    """The trainer on a captioner, all that is random switched on."""

    def __init__(self, folder, task):
        values = {"epochs": 2, "max_rows": 16, "learning_rate": 0.01, "ema": 0.9}
        super().__init__(folder, task=task, **values)

    def fit(self, callbacks=()):
        examples = self.task.examples(CIRCLES, training=True)
        return self.trainer.fit(examples, self.validate, callbacks)

    def validate(self):
        examples = self.task.examples(CIRCLES[:20])
        batch = self.task.batch(examples, tf.range(20, dtype=tf.int64), False, 0)
        total, weight = self.task.loss(self.model, batch, self.model(batch[0]))
        return {"loss": float(total / weight)}


def test_a_broken_training_is_one_that_never_broke(tmp_path):
    task = captioning(vary=True, dropout=0.3, colour_filters=4)
    whole = Training(tmp_path / "whole", task)
    whole.fit()
    stop = 3 * whole.trainer.position.step // 4  # in the second epoch
    first = Training(tmp_path / "run", task)
    with pytest.raises(Interrupted, match=f"at step {stop}"):
        first.fit([At(stop, stop_with(signal.SIGTERM))])
    second = Training(tmp_path / "run", task)
    second.fit()
    assert f"Going on from step {stop}, epoch 2" in second.said
    assert second.history() == whole.history()
    assert_equal_weights(second.weights(), whole.weights())
