"""Running a model over a split: outputs in the order of the records, and the loss."""

from collections.abc import Sequence
from functools import partial

import tensorflow as tf

from seqloom.pipelines import batching

# Validation wants full batches, not noisy gradients.
BATCH_TOKENS = 8192
MAX_ROWS = 1024


class Evaluator:
    """Runs a task's model over one split, again and again while it trains.

    Args:
        task: Gives batches, loss and decoding.
        records: The split.
    """

    def __init__(self, task, model, records: Sequence):
        self.task = task
        self.model = model
        self.records = records
        examples = task.examples(records)
        self.plan = batching.plan_evaluation(examples.lengths, BATCH_TOKENS, MAX_ROWS)
        self.batches = batching.dataset(task, examples, self.plan, training=False)
        self._run = {
            quick: tf.function(partial(self._run_batch, quick), reduce_retracing=True)
            for quick in (False, True)
        }

    def predict(self, quick: bool = False) -> tuple[list[dict], float]:
        """A row of predictions for every record, in their order, and the mean loss."""
        outputs: list = [None] * len(self.records)
        total = weight = 0.0
        for numbers, batch in zip(self.plan, self.batches, strict=True):
            predicted, loss, count = self._run[quick](batch)
            total, weight = total + float(loss), weight + float(count)
            for number, *values in zip(
                numbers, *(tensor.numpy() for tensor in predicted), strict=True
            ):
                outputs[number] = values
        return self.task.predictions(self.records, outputs), total / max(weight, 1e-9)

    def measure(self) -> dict[str, float]:
        """Validation metrics of the model as it is."""
        rows, loss = self.predict(quick=True)
        return {**self.task.evaluate(rows, quick=True).values, "loss": loss}

    def _run_batch(self, quick, batch):
        outputs = self.model(batch[0], training=False)
        loss, weight = self.task.loss(self.model, batch, outputs)
        return self.task.predict(self.model, batch, outputs, quick), loss, weight
