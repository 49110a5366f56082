"""Running a model over a split: outputs in the order of the records, and the loss."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from seqloom.pipelines import batching

# Validation wants full batches, not noisy gradients.
BATCH_TOKENS = 8192
MAX_ROWS = 1024


class Evaluator:
    """Decodes one split with a task's model, again and again while it trains.

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
        self.lengths = examples.lengths
        self._decode = tf.function(self._decode_batch, reduce_retracing=True)

    def decode(self) -> tuple[list[np.ndarray], list[np.ndarray], float]:
        """Tag ids `(T,)` and scores `(T,)` of every record, and the mean loss."""
        tag_ids: list = [None] * len(self.records)
        scores: list = [None] * len(self.records)
        total = weight = 0.0
        for rows, batch in zip(self.plan, self.batches, strict=True):
            ids, probabilities, loss, tokens = self._decode(batch)
            total, weight = total + float(loss), weight + float(tokens)
            ids, probabilities = ids.numpy(), probabilities.numpy()
            for place, row in enumerate(rows):
                length = self.lengths[row]
                tag_ids[row] = ids[place, :length]
                scores[row] = probabilities[place, :length]
        return tag_ids, scores, total / max(weight, 1.0)

    def _decode_batch(self, batch):
        outputs = self.model(batch[0], training=False)
        ids, scores = self.task.decode(self.model, outputs, batch[0]["word_ids"] != 0)
        loss, weight = self.task.loss(self.model, batch, outputs)
        return ids, scores, loss, weight
