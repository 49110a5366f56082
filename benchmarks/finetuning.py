"""Fine-tuning a pretrained encoder in our loop, against the same one in a bare loop.

Both train all weights of the config `sentiment/minilm`'s encoder: ours on real texts
of VADER, the bare loop on one batch of as many tokens that never changes.
"""

import time
from functools import partial

import keras
import numpy as np
import tensorflow as tf
from training import Training, bare_optimizer, plan_buckets, usual_length
from turns import in_turn, report

from seqloom.layers.pretrained import sequence_output
from seqloom.pipelines.catalogue import build_task
from seqloom.pipelines.data import load_splits
from seqloom.pipelines.settings import resolve

ROUNDS = 5
STEPS = 4
# [CLS] and [SEP], which the encoder puts around a text: on both sides they count as
# tokens, since they cost as much as any other.
EDGES = 2


def compare_finetuning(strategy) -> None:
    """Our loop on real texts against a bare one on batches without padding."""
    config = resolve("sentiment", "minilm").config
    records = load_splits(config.data, "sentiment").train
    task = build_task(config)
    task.fit_vocabulary(records)
    examples = task.examples(records)
    settings = config.training
    training = Training(task, examples, strategy, settings, plan_buckets, EDGES)
    ours, bare = in_turn(
        [
            partial(training.rate, steps=STEPS),
            BareLoop(task, examples, settings).rate,
        ],
        ROUNDS,
    )
    report("finetuning", "seqloom, real texts, tokens/s", ours)
    report("finetuning", "bare loop, perfect batches, tokens/s", bare)
    report("finetuning", "ratio (>= 0.8)", ours.over(bare))


class BareLoop:
    """The backbone under a mean and a layer of labels, a tape and Keras' optimizer.

    It drops out, clips and decays as ours does. All weights learn at one rate, and
    nothing but the loss is computed.
    """

    def __init__(self, task, examples, settings):
        backbone = task.tokens.pretrained.make_backbone()
        self._encoder = keras.Model(backbone.input, sequence_output(backbone))
        self._dropout = keras.layers.Dropout(task.model_arguments["dropout"])
        self._labels = keras.layers.Dense(len(task.labels))
        self._labels.build([None, self._encoder.output.shape[-1]])
        self._weights = [
            *self._encoder.trainable_variables,
            *self._labels.trainable_variables,
        ]
        self._optimizer = bare_optimizer(settings)
        self._optimizer.build(self._weights)
        self._clip_norm = settings.clip_norm
        self._batch = perfect_batch(task, examples, settings)
        self._step = tf.function(self._train)

    def rate(self) -> float:
        """Trains some steps and gives tokens a second."""
        started = time.perf_counter()
        for _ in range(STEPS):
            self._step(*self._batch).numpy()
        tokens = tf.size(self._batch[0]["token_ids"]).numpy()
        return float(STEPS * tokens / (time.perf_counter() - started))

    def _train(self, inputs, label_ids):
        with tf.GradientTape() as tape:
            vectors = self._encoder(inputs, training=True)  # (B, L, D)
            pooled = self._dropout(tf.reduce_mean(vectors, axis=1), training=True)
            losses = keras.losses.sparse_categorical_crossentropy(
                label_ids, self._labels(pooled), from_logits=True
            )  # (B,)
            loss = tf.reduce_mean(losses)
        weights = [weight.value for weight in self._weights]
        gradients = tape.gradient(loss, weights)
        gradients, _ = tf.clip_by_global_norm(gradients, self._clip_norm)
        self._optimizer.apply_gradients(zip(gradients, self._weights, strict=True))
        return loss


def perfect_batch(task, examples, settings):
    """Inputs `(B, L)` of the backbone without padding, and label ids `(B,)`.

    Pieces are drawn from the texts, as often as they occur in them; what is in the
    budget of a batch is as in training: the pieces, without start and end.
    """
    length = usual_length(plan_buckets(examples, settings), examples.lengths)
    rows = settings.batch_tokens // length
    random = np.random.default_rng(0)
    pieces = examples.columns["piece_ids"].flat_values.numpy() - 1  # 0 is padding
    tokenizer = task.tokens.pretrained.tokenizer
    token_ids = np.column_stack(
        [
            np.full(rows, tokenizer.cls_token_id),
            random.choice(pieces, [rows, length]),
            np.full(rows, tokenizer.sep_token_id),
        ]
    ).astype(np.int32)
    inputs = {
        "token_ids": tf.constant(token_ids),
        "padding_mask": tf.ones_like(token_ids),
        "segment_ids": tf.zeros_like(token_ids),
    }
    return inputs, tf.constant(random.integers(len(task.labels), size=rows))
