"""Trainings that take no longer than they must.

A task of a few lines for the tests of the loop, and settings for those of all the rest.
"""

import io
import os

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console

from seqloom.pipelines.config import TrainingConfig
from seqloom.pipelines.progress import TrainingProgress
from seqloom.pipelines.run import Run
from seqloom.pipelines.strategy import mirrored_strategy
from seqloom.pipelines.training import Trainer
from seqloom.tasks.examples import Examples

# Settings of the smallest real tagger.
TINY = (
    "model.word_units=8",
    "model.char_units=6",
    "model.char_embedding_units=5",
    "model.shape_units=4",
    "model.affix_units=4",
    "model.units=8",
    "model.cell=gru",
)
WORDS, TAGS = 20, 3
DEFAULTS = {
    "optimizer": "adam",
    "learning_rate": 0.05,
    "schedule": "constant",
    "warmup_steps": 0,
    "batch_tokens": 1000,
    "max_rows": 8,  # so that every epoch has 8 batches
    "epochs": 3,
}


def strategy_of(replicas: int) -> tf.distribute.Strategy:
    """One device, or so many logical ones."""
    devices = [f"CPU:{number}" for number in range(replicas)]
    if replicas == 1:
        return tf.distribute.OneDeviceStrategy(devices[0])
    return mirrored_strategy(devices)


class At(keras.callbacks.Callback):
    """Does something once, after a step of the whole training (counted from 1)."""

    def __init__(self, step, action):
        super().__init__()
        self.step, self.action, self.count = step, action, 0

    def on_train_batch_end(self, batch, logs=None):
        self.count += 1
        if self.count == self.step:
            self.action()


def stop_with(number):
    """An action that sends this process a signal."""
    return lambda: os.kill(os.getpid(), number)


def assert_equal_weights(first, second):
    for value, expected in zip(first, second, strict=True):
        np.testing.assert_array_equal(value, expected)


class Toy:
    """A word's tag is its id modulo three; all that a Trainer asks of a task."""

    name = "ner"

    def __init__(self, dropout: float = 0.0):
        self.dropout = dropout
        self.factor = 1.0  # of the loss

    def build_model(self):
        ids = keras.Input([None], dtype="int32")
        vectors = keras.layers.Embedding(WORDS, 4)(ids)
        vectors = keras.layers.Dropout(self.dropout)(vectors)
        return keras.Model(ids, keras.layers.Dense(TAGS, dtype="float32")(vectors))

    def batch(self, examples, rows, training, seed):
        ids = tf.gather(examples.columns["ids"], rows).to_tensor()  # (B, T)
        return ids, ids % TAGS

    def loss(self, model, batch, outputs):
        ids, tags = batch
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tags, outputs)
        mask = tf.cast(ids != 0, tf.float32)
        return tf.reduce_sum(losses * mask) * self.factor, tf.reduce_sum(mask)


def toy_examples(number: int = 64) -> Examples:
    random = np.random.default_rng(0)
    lengths = random.integers(1, 9, number)
    ids = tf.constant(random.integers(1, WORDS, lengths.sum()), tf.int32)
    columns = {"ids": tf.RaggedTensor.from_row_lengths(ids, lengths)}
    return Examples(columns, lengths, {})


class ToyTraining:
    """A Trainer on the toy task, and all that one may want to see of it."""

    def __init__(self, folder, dropout=0.0, replicas=1, task=None, **settings):
        keras.utils.set_random_seed(1)
        strategy = strategy_of(replicas)
        self.task = task or Toy(dropout)
        with strategy.scope():
            self.model = self.task.build_model()
        self.run = Run(folder)
        self.run.folder.mkdir(parents=True, exist_ok=True)
        self.text = io.StringIO()
        self.logged: list[tuple[dict, int]] = []
        self.validated: list[list[np.ndarray]] = []  # weights, in order
        self.scripted: list[dict] | None = None  # metrics, instead of the real ones
        self.trainer = Trainer(
            self.task,
            self.model,
            strategy,
            TrainingConfig(**{**DEFAULTS, **settings}),
            seed=1,
            run=self.run,
            log=lambda values, step: self.logged.append((values, step)),
            log_every_steps=1,
            progress=TrainingProgress(Console(file=self.text, soft_wrap=True)),
        )

    def fit(self, callbacks=(), scripted=None):
        self.scripted = scripted
        return self.trainer.fit(toy_examples(), self.validate, callbacks)

    def validate(self):
        self.validated.append(self.weights())
        if self.scripted is not None:
            return self.scripted[len(self.validated) - 1]
        examples = toy_examples()
        batch = self.task.batch(examples, tf.range(len(examples)), False, [0, 0])
        total, weight = self.task.loss(self.model, batch, self.model(batch[0]))
        return {"loss": float(total / weight)}

    def weights(self):
        return [
            keras.ops.convert_to_numpy(value).copy()
            for value in self.model.trainable_variables
        ]

    @property
    def said(self) -> str:
        return self.text.getvalue()

    def history(self, name="loss"):
        """Pairs (step, value) of a number in the run's history."""
        return [(row["step"], row[name]) for row in self.run.history() if name in row]
