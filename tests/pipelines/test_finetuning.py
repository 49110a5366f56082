"""Fine-tuning: encoders that learn more slowly, weights that nothing reaches."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_classifier import classifier

from seqloom.pipelines.optimization import slow_down_encoder
from seqloom.pipelines.steps import TrainingStep
from seqloom.pipelines.strategy import mirrored_strategy
from seqloom.tasks.classifier import classification_loss

IDS = np.random.default_rng(5).integers(1, 40, (4, 6), "int32")
LABELS = np.array([0, 2, 1, 1], "int32")


class Task:
    """All that a training step asks of a task."""

    def loss(self, model, batch, outputs):
        return classification_loss(batch[1], outputs["logits"])


def one_step(num_replicas=1, share=None, decay=1.0, build=classifier, **arguments):
    """Weights before one step of gradient descent, and how far each went."""
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    if num_replicas == 2:
        strategy = mirrored_strategy(["CPU:0", "CPU:1"])
    keras.utils.set_random_seed(3)  # low-rank additions begin at random
    with strategy.scope():
        model = build("pretrained", **arguments)
        optimizer = keras.optimizers.SGD(0.1)
        optimizer.build(model.trainable_variables)
    if share is not None:
        slow_down_encoder(optimizer, model, share, decay)
    before = [weight.numpy() for weight in model.trainable_variables]
    step = TrainingStep(Task(), model, optimizer, strategy, clip_norm=5.0)
    batches = tf.data.Dataset.from_tensor_slices(({"piece_ids": IDS}, LABELS))
    batches = batches.batch(len(IDS) // num_replicas)  # one for each replica
    data = strategy.distribute_datasets_from_function(lambda context: batches)
    report = step(iter(data), np.int32(1)).numpy()
    assert np.isfinite(report).all()
    paths = [weight.path for weight in model.trainable_variables]
    after = [weight.numpy() for weight in model.trainable_variables]
    moved = [b - a for a, b in zip(before, after, strict=True)]
    return model, dict(zip(paths, moved, strict=True))


def rates_of(model, share, decay):
    """Of every weight, from its name alone."""
    rates = {}
    encoder = {weight.path for weight in model.get_layer("pretrained").weights}
    for weight in model.trainable_variables:
        depth = 2
        for number in (0, 1):
            if f"transformer_layer_{number}/" in weight.path:
                depth = 1 - number
        rates[weight.path] = share * decay**depth if weight.path in encoder else 1.0
    return rates


@pytest.fixture(scope="module")
def plain():
    return one_step()


@pytest.mark.parametrize("num_replicas", [1, 2])
def test_weights_move_by_their_share(plain, num_replicas):
    model, moved = one_step(num_replicas, share=0.5, decay=0.25)
    rates = rates_of(model, 0.5, 0.25)
    assert set(rates.values()) == {1.0, 0.5, 0.125, 0.03125}
    assert moved.keys() == plain[1].keys()
    for path, change in plain[1].items():
        np.testing.assert_allclose(
            moved[path], rates[path] * change, atol=1e-6, rtol=2e-3, err_msg=path
        )
    assert sum(np.abs(change).max() > 1e-3 for change in moved.values()) > 5


def test_low_rank_additions_move_by_their_share():
    model, fast = one_step(lora_rank=2)
    _, slow = one_step(share=0.5, decay=0.25, lora_rank=2)
    rates = rates_of(model, 0.5, 0.25)
    assert set(rates.values()) == {1.0, 0.5, 0.125}
    for path, change in fast.items():
        np.testing.assert_allclose(
            slow[path], rates[path] * change, atol=1e-6, rtol=2e-3, err_msg=path
        )
    moving = [path for path in fast if "lora" in path and fast[path].any()]
    assert len(moving) == 4  # the second factors: the first get no gradient yet


def test_equal_rates_leave_the_optimizer_alone():
    model = classifier("pretrained")
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)
    slow_down_encoder(optimizer, model, 1.0, 1.0)
    assert "update_step" not in vars(optimizer)
    frozen = classifier("pretrained", frozen=True)
    slow_down_encoder(optimizer, frozen, 0.1, 0.5)
    assert "update_step" not in vars(optimizer)


def test_a_weight_that_no_gradient_reaches_stays():
    class Idle(keras.layers.Layer):
        """Holds a weight that nothing uses, as the pooler of an encoder may."""

        def build(self, shape):
            self.unused = self.add_weight(shape=(3,), initializer="ones", name="unused")

        def call(self, x):
            return x

    def build(encoder):
        model = classifier(encoder)
        logits = Idle(name="idle")(model.output["logits"])
        return keras.Model(model.input, {**model.output, "logits": logits})

    _, moved = one_step(build=build)
    assert not moved.pop("idle/unused").any()
    assert sum(change.any() for change in moved.values()) > len(moved) / 2
