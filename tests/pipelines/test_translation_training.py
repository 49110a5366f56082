"""Training translators: replicas are one, a broken run is one that never broke."""

import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from toy_training import (
    At,
    ToyTraining,
    assert_equal_weights,
    stop_with,
    strategy_of,
)

from seqloom.pipelines import batching
from seqloom.pipelines.interruption import Interrupted
from seqloom.pipelines.steps import TrainingStep
from seqloom.tasks.synthetic_pairs import synthetic_pairs
from seqloom.tasks.translation import TranslationTask

PAIRS = synthetic_pairs("reverse", "train", 1)[:160]
KINDS = {
    "recurrent": {"kind": "recurrent", "num_layers": 1},
    "transformer": {
        "kind": "transformer",
        "num_layers": 1,
        "num_heads": 2,
        "feed_forward_units": 12,
    },
}
STEPS = 6


def translation(kind, dropout=0.0, sampling=0.0, **model):
    task = TranslationTask(
        "translation",
        vocabulary_size=300,
        sampling=sampling,
        model={"units": 8, "dropout": dropout, **KINDS[kind], **model},
    )
    task.fit_vocabulary(PAIRS)
    return task


# === Replicas ===


def train(task, num_replicas, accumulation):
    """A few clipped steps of SGD over the same four batches each."""
    examples = task.examples(PAIRS)
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
    task = translation("transformer")
    report, weights = train(task, num_replicas=1, accumulation=2)
    assert (report[:, 2] > 0.15).any()  # clipping is at work
    other_report, other_weights = train(task, num_replicas=2, accumulation=1)
    np.testing.assert_allclose(other_report, report, rtol=1e-5, atol=1e-5)
    for value, expected in zip(other_weights, weights, strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-5)


def test_two_replicas_can_sample(tmp_path):
    """Each counts its calls: the share rises as on one."""
    task = translation("recurrent", scheduled_sampling=0.5, scheduled_sampling_ramp=9)
    training = Training(tmp_path, task, replicas=2, epochs=1)
    training.fit()
    sampling = training.model.decoder.sampling
    calls = int(sampling.calls.numpy())
    assert calls == training.trainer.position.step > 1


# === Resume ===


class Training(ToyTraining):
    """The trainer on a translator, all that is random switched on."""

    def __init__(self, folder, task, **settings):
        values = {"epochs": 2, "max_rows": 24, "learning_rate": 0.01, "ema": 0.9}
        super().__init__(folder, task=task, **{**values, **settings})

    def fit(self, callbacks=()):
        examples = self.task.examples(PAIRS, training=True)
        return self.trainer.fit(examples, self.validate, callbacks)

    def validate(self):
        examples = self.task.examples(PAIRS[:20])
        batch = self.task.batch(examples, tf.range(20, dtype=tf.int64), False, 0)
        total, weight = self.task.loss(self.model, batch, self.model(batch[0]))
        return {"loss": float(total / weight)}


def test_a_broken_training_is_one_that_never_broke(tmp_path):
    model = {"scheduled_sampling": 0.5, "scheduled_sampling_ramp": 8}
    task = translation("recurrent", dropout=0.3, sampling=0.5, **model)
    whole = Training(tmp_path / "whole", task)
    whole.fit()
    steps = whole.trainer.position.step
    stop = 3 * steps // 4  # in the second epoch, which has pieces of its own
    first = Training(tmp_path / "run", task)
    with pytest.raises(Interrupted, match=f"at step {stop}"):
        first.fit([At(stop, stop_with(signal.SIGTERM))])
    second = Training(tmp_path / "run", task)
    second.fit()
    assert f"Going on from step {stop}, epoch 2" in second.said
    assert second.history() == whole.history()
    assert second.history("val_loss") == whole.history("val_loss")
    assert_equal_weights(second.weights(), whole.weights())
