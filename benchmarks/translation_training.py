"""Training a translator in our loop, against the same model in a bare loop.

Both train the model of the config `translation/multi30k_transformer`: ours on real
pairs of sentences, the bare loop on one batch of as many pieces that never changes.
"""

import time

import numpy as np
import tensorflow as tf
from training import EPOCH_ROUNDS, STEPS, Training, bare_optimizer, plan_buckets
from turns import in_turn, report

from seqloom.layers.decoding_options import BEGIN, END
from seqloom.pipelines import batching
from seqloom.pipelines.catalogue import build_task
from seqloom.pipelines.data import load_splits
from seqloom.pipelines.settings import resolve


def compare_translation(strategy) -> None:
    """Our loop on real pairs against a bare one on batches without padding."""
    config = resolve("translation", "multi30k_transformer").config
    records = load_splits(config.data, "translation").train
    task = build_task(config)
    task.fit_vocabulary(records)
    examples = task.examples(records)
    # The bare optimizer is AdamW as it is; no option makes it faster or slower.
    settings = config.training.model_copy(update={"optimizer_options": {}})
    ours, bare = in_turn(
        [
            Training(task, examples, strategy, settings, plan_buckets).rate,
            BareLoop(task, examples, settings).rate,
        ],
        EPOCH_ROUNDS,
    )
    report("translation", "seqloom, real pairs, pieces/s", ours)
    report("translation", "bare loop, perfect batches, pieces/s", bare)
    report("translation", "ratio (>= 0.85)", ours.over(bare))
    padding = batching.padding_share(plan_buckets(examples, settings), examples.lengths)
    report("translation", "padding, % (<= 10)", 100 * padding)


class BareLoop:
    """The same model and loss, a tape and Keras' optimizer, the same batch again.

    It drops out and clips as ours does, but keeps no average of the weights.
    """

    def __init__(self, task, examples, settings):
        self._task = task
        self._model = task.build_model()
        self._weights = self._model.trainable_variables
        self._optimizer = bare_optimizer(settings)
        self._optimizer.build(self._weights)
        self._clip_norm = settings.clip_norm
        self._batch = perfect_batch(examples, settings)
        self._step = tf.function(self._train)

    def rate(self) -> float:
        """Trains some steps and gives pieces of both sides a second."""
        started = time.perf_counter()
        for _ in range(STEPS):
            self._step().numpy()
        pieces = tf.size(self._batch[0]["source_ids"]) + tf.size(self._batch[1])
        return float(STEPS * int(pieces) / (time.perf_counter() - started))

    def _train(self):
        with tf.GradientTape() as tape:
            outputs = self._model(self._batch[0], training=True)
            total, weight = self._task.loss(self._model, self._batch, outputs)
            loss = total / weight
        gradients = tape.gradient(loss, [weight.value for weight in self._weights])
        gradients, _ = tf.clip_by_global_norm(gradients, self._clip_norm)
        self._optimizer.apply_gradients(zip(gradients, self._weights, strict=True))
        return loss


def perfect_batch(examples, settings) -> tuple:
    """A batch without padding, its sides as long as those of a batch are on average.

    Pieces are drawn from the sentences, as often as they occur in them.
    """
    plan = plan_buckets(examples, settings)
    longest = [examples.lengths[rows].max(axis=0) for rows in plan]
    lengths = np.rint(np.mean(longest, axis=0)).astype(int)  # of source and target
    rows = settings.batch_tokens // lengths.max()
    random = np.random.default_rng(0)
    source_ids, labels = (
        draw(random, examples.columns[name], rows, length)
        for name, length in zip(("source_ids", "labels"), lengths, strict=True)
    )
    target_ids = np.column_stack([np.full(rows, BEGIN, np.int32), labels[:, :-1]])
    features = {"source_ids": source_ids, "target_ids": target_ids}
    return tf.nest.map_structure(tf.constant, (features, labels))


def draw(random, column, rows: int, length: int) -> np.ndarray:
    """Sentences `(rows, length)` of pieces of a column, the end last."""
    pieces = column.flat_values.numpy()
    drawn = random.choice(pieces[pieces != END], [rows, length - 1])
    return np.column_stack([drawn, np.full(rows, END)]).astype(np.int32)
