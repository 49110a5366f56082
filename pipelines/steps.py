"""The training step: gradients, their reduction over replicas, clipping, update."""

import tensorflow as tf

# Dynamic loss scaling for float16 (Micikevicius et al. 2018,
# https://arxiv.org/abs/1710.03740, section 3.2). It scales the loss summed over about
# a thousand tokens: 2**15 for their mean.
FIRST_LOSS_SCALE = 2.0**5
SMALLEST_LOSS_SCALE = 2.0**-10
GROWTH_STEPS = 2000


class TrainingStep:
    """One update of the weights from the batches of all replicas.

    The gradient is that of the loss summed over every token of the step, divided by
    the number of those tokens, however they fall on replicas and micro-batches. So
    k replicas do what one would do. It is reduced and clipped here, since Keras
    optimizers clip before they reduce, and accumulate means instead of sums.

    Args:
        task: Gives `loss(model, batch, outputs) -> (sum, weight)`.
        accumulation: Micro-batches a replica adds up for one update.
        clip_norm: Largest global norm of the gradient; None leaves it as it is.
        average: A `WeightAverage` to keep up to date, or None.
        jit_compile: Compile forward and backward pass with XLA, per batch shape.
        scale_loss: Guard float16 gradients against underflow.
    """

    def __init__(
        self,
        task,
        model,
        optimizer,
        strategy,
        accumulation=1,
        clip_norm=None,
        average=None,
        jit_compile=False,
        scale_loss=False,
    ):
        self.task = task
        self.model = model
        self.optimizer = optimizer
        self.strategy = strategy
        self.accumulation = accumulation
        self.clip_norm = clip_norm
        self.average = average
        self.scale_loss = scale_loss
        self.weights = model.trainable_variables
        # Keras' variables cannot stand for a gradient of zeros (unconnected ones).
        self._values = [weight.value for weight in self.weights]
        self._differentiate = tf.function(
            self._gradients, jit_compile=jit_compile or None, reduce_retracing=True
        )
        with strategy.scope():
            self.loss_scale = tf.Variable(
                FIRST_LOSS_SCALE if scale_loss else 1.0, trainable=False
            )
            self.good_steps = tf.Variable(0, trainable=False)
            self._sums = self._make_sums() if accumulation > 1 else []

    @tf.function(reduce_retracing=True)
    def __call__(self, iterator, count):
        """Train `count` steps; gives loss sums, tokens and gradient norms `(count,)`.

        The norms are those before clipping.
        """
        report = tf.TensorArray(tf.float32, size=count, element_shape=[3])
        for index in tf.range(count):
            report = report.write(index, self._step(iterator))
        return report.stack()  # (count, 3)

    def _step(self, iterator):
        if self._sums:
            for _ in tf.range(self.accumulation - 1):
                self.strategy.run(self._accumulate, args=(next(iterator),))
        results = self.strategy.run(self._update, args=(next(iterator),))
        total, weight, norm = [
            self.strategy.experimental_local_results(result)[0] for result in results
        ]
        if self.average is not None:
            self.average.update(self.optimizer.iterations.value)
        if self.scale_loss:
            self._adjust_loss_scale(tf.math.is_finite(norm))
        return tf.stack([total, weight, norm])

    def _gradients(self, batch):
        """Gradients of the (scaled) loss sum of one replica's batch."""
        with tf.GradientTape() as tape:
            outputs = self.model(batch[0], training=True)
            total, weight = self.task.loss(self.model, batch, outputs)
            objective = total
            if self.model.losses:  # penalties count once a token, as the loss does
                objective += weight * tf.add_n(self.model.losses)
            objective *= self.loss_scale
        gradients = tape.gradient(
            objective, self._values, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        # Dense from here on: the global norm needs rows that occur twice summed.
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        return gradients, total, weight

    def _accumulate(self, batch):
        gradients, total, weight = self._differentiate(batch)
        for sums, value in zip(self._sums, [*gradients, total, weight], strict=True):
            sums.assign_add(value)

    def _update(self, batch):
        gradients, total, weight = self._differentiate(batch)
        if self._sums:
            values = [*gradients, total, weight]
            values = [
                sums.read_value() + value
                for sums, value in zip(self._sums, values, strict=True)
            ]
            for sums in self._sums:
                sums.assign(tf.zeros_like(sums))
            *gradients, total, weight = values
        replica = tf.distribute.get_replica_context()
        *gradients, total, weight = replica.all_reduce(
            "SUM", [*gradients, total, weight]
        )
        divisor = tf.maximum(weight, 1e-9) * self.loss_scale
        norm = tf.linalg.global_norm(gradients) / divisor
        # One factor, since each reading of all gradients takes time: their mean over
        # tokens, their clipping, and the optimizer, which sums over replicas again.
        factor = 1.0 / (divisor * replica.num_replicas_in_sync)
        if self.clip_norm is not None:
            factor *= self.clip_norm / tf.maximum(norm, self.clip_norm)
        if self.scale_loss:  # an overflow gives a zero update and a smaller scale
            finite = tf.math.is_finite(norm)
            gradients = [tf.where(finite, g, tf.zeros_like(g)) for g in gradients]
            factor = tf.where(finite, factor, 0.0)
        self.optimizer.apply_gradients(
            [(g * factor, w) for g, w in zip(gradients, self.weights, strict=True)]
        )
        return total, weight, norm

    def _make_sums(self):
        shapes = [weight.shape for weight in self.weights] + [[], []]
        return [
            tf.Variable(
                tf.zeros(shape),
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            )
            for shape in shapes
        ]

    def _adjust_loss_scale(self, finite):
        grown = self.good_steps + 1 >= GROWTH_STEPS
        up = tf.where(grown, self.loss_scale * 2.0, self.loss_scale)
        self.loss_scale.assign(tf.where(finite, up, self.loss_scale / 2.0))
        self.good_steps.assign(tf.where(finite & ~grown, self.good_steps + 1, 0))
