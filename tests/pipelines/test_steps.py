"""The training step: k replicas and k micro-batches do what one big batch would do."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from toy_training import strategy_of

from seqloom.pipelines import batching
from seqloom.pipelines.averaging import WeightAverage
from seqloom.pipelines.steps import TrainingStep
from seqloom.tasks.synthetic import synthetic_sentences
from seqloom.tasks.tagging import TaggingTask

STEPS = 20
BATCHES_PER_STEP = 4


@pytest.fixture(scope="module")
def task():
    small = {"word_units": 8, "characters": "none", "units": 8, "dropout": 0.0}
    task = TaggingTask("ner", spans=True, word_dropout=0.0, model=small)
    task.fit_vocabulary(synthetic_sentences("ner", "train", num_sentences=300))
    return task


def train(task, num_replicas, accumulation, clip_norm=0.15, merge=1, decay=None):
    """Train 20 steps with SGD; gives the report, the weights and their averages.

    `merge` joins so many planned batches into one.
    """
    examples = task.examples(synthetic_sentences("ner", "train", num_sentences=300))
    plan = batching.plan_training(
        examples.lengths, 24, 100, BATCHES_PER_STEP, 2, seed=3, epoch=0
    )
    plan = [
        np.concatenate(plan[start : start + merge])
        for start in range(0, len(plan), merge)
    ]
    strategy = strategy_of(num_replicas)
    keras.utils.set_random_seed(5)
    with strategy.scope():
        model = task.build_model()
        optimizer = keras.optimizers.SGD(0.5)
        optimizer.build(model.trainable_variables)
    average = WeightAverage(model, decay, strategy) if decay else None
    step = TrainingStep(
        task, model, optimizer, strategy, accumulation, clip_norm, average
    )
    batches = strategy.distribute_datasets_from_function(
        lambda context: batching.dataset(task, examples, plan, training=True)
    )
    report = step(iter(batches), np.int32(STEPS)).numpy()
    averages = [value.numpy() for value in average.averages] if average else []
    return report, [value.numpy() for value in model.trainable_variables], averages


@pytest.fixture(scope="module")
def reference(task):
    return train(task, num_replicas=1, accumulation=4, decay=0.9)


def test_clipping_is_at_work(reference):
    norms = reference[0][:, 2]
    assert (norms > 0.15).mean() > 0.5


@pytest.mark.parametrize(
    ("num_replicas", "accumulation", "merge"), [(2, 2, 1), (1, 1, 4)]
)
def test_replicas_and_micro_batches_equal_one_batch(
    task, reference, num_replicas, accumulation, merge
):
    report, weights, averages = train(
        task, num_replicas, accumulation, merge=merge, decay=0.9
    )
    np.testing.assert_allclose(report, reference[0], rtol=1e-5, atol=1e-5)
    for value, expected in zip(weights, reference[1], strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-5)
    for value, expected in zip(averages, reference[2], strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-5)


def test_one_step_equals_plain_gradient_descent(task):
    """Against a tape and a subtraction, without any of our loop."""
    examples = task.examples(synthetic_sentences("ner", "train", num_sentences=20))
    batch = task.batch(examples, tf.range(20, dtype=tf.int64), False, [0, 0])
    keras.utils.set_random_seed(5)
    model = task.build_model()
    with tf.GradientTape() as tape:
        total, weight = task.loss(model, batch, model(batch[0], training=True))
        loss = total / weight
    gradients = tape.gradient(loss, model.trainable_variables)
    gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
    norm = np.sqrt(sum(float(tf.reduce_sum(g**2)) for g in gradients))
    expected = [
        weight.numpy() - 0.1 * gradient.numpy() * min(1.0, 0.01 / norm)
        for weight, gradient in zip(model.trainable_variables, gradients, strict=True)
    ]
    strategy = strategy_of(1)
    with strategy.scope():
        twin = task.build_model()
        optimizer = keras.optimizers.SGD(0.1)
        optimizer.build(twin.trainable_variables)
    twin.set_weights(model.get_weights())
    step = TrainingStep(task, twin, optimizer, strategy, clip_norm=0.01)
    report = step(_one(strategy, batch), np.int32(1)).numpy()
    np.testing.assert_allclose(report[0, 0] / report[0, 1], float(loss), rtol=1e-6)
    np.testing.assert_allclose(report[0, 2], norm, rtol=1e-5)
    for value, wanted in zip(twin.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(value.numpy(), wanted, atol=1e-6)


def _one(strategy, batch):
    data = tf.data.Dataset.from_tensors(batch)
    return iter(strategy.distribute_datasets_from_function(lambda context: data))
