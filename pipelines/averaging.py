"""Exponential moving average of the weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf


class WeightAverage:
    """A smoothed copy of a model's trainable weights, for validation and export.

        average <- average - (1 - d) (average - weight)
        d = min(decay, (1 + n) / (10 + n))

    where n counts the updates: the first weights are forgotten quickly.

    Reference: Polyak & Juditsky 1992; the form of d as in tf.train's
    ExponentialMovingAverage.
    """

    def __init__(self, model, decay: float, strategy: tf.distribute.Strategy):
        self.decay = decay
        self.weights = model.trainable_variables
        self.strategy = strategy
        with strategy.scope():
            self.averages = [
                tf.Variable(weight.value, trainable=False, name="average")
                for weight in self.weights
            ]

    def update(self, step) -> None:
        """Follow the weights after an update; called across replicas, in the graph."""
        count = tf.cast(step, tf.float32)
        share = 1.0 - tf.minimum(self.decay, (1.0 + count) / (10.0 + count))
        for average, weight in zip(self.averages, self.weights, strict=True):
            self.strategy.extended.update(
                average, _move_towards, args=(weight.value, share)
            )

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averaged weights into the model for the time of the block."""
        latest = [weight.numpy() for weight in self.weights]
        for average, weight in zip(self.averages, self.weights, strict=True):
            weight.assign(average.numpy())
        try:
            yield
        finally:
            for weight, value in zip(self.weights, latest, strict=True):
                weight.assign(value)


def _move_towards(average, weight, share) -> None:
    # average -= share * (average - weight), in one pass less over all weights than
    # assign_sub, which would be given the product.
    tf.raw_ops.ResourceApplyGradientDescent(
        var=average.handle,
        alpha=tf.cast(share, average.dtype),
        delta=average - weight,
    )
