"""Our loop against bare Keras, length buckets against none, tracking on and off.

All train the default config's model on CoNLL-2003, or, in bare Keras, on random words
of it.
"""

import itertools
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from turns import in_turn, report

from seqloom.pipelines import batching, tracking
from seqloom.pipelines.averaging import WeightAverage
from seqloom.pipelines.optimization import (
    WarmupSchedule,
    build_optimizer,
    slow_down_encoder,
)
from seqloom.pipelines.steps import TrainingStep
from seqloom.tasks.tagging import gather_features

ROUNDS = 9
# Real batches differ in what they cost: these rounds go through nearly all of an epoch.
EPOCH_ROUNDS = 20
STEPS = 10
TOTAL_STEPS = 10_000


def compare_training(task, examples, strategy, config) -> None:
    """Our loop on real sentences against bare Keras on batches without padding."""
    settings = config.training
    ours, bare = in_turn(
        [
            Training(task, examples, strategy, settings, plan_buckets).rate,
            BareKeras(task, examples, settings).rate,
        ],
        EPOCH_ROUNDS,
    )
    report("training", "seqloom, real sentences, tokens/s", ours)
    report("training", "bare Keras, perfect batches, tokens/s", bare)
    report("training", "ratio (>= 0.8)", ours.over(bare))


def compare_bucketing(task, examples, strategy, config) -> None:
    """Length buckets against as many batches of random sentences."""
    settings = config.training
    plans = {"in buckets": plan_buckets, "at random": plan_random}
    sides = in_turn(
        [
            Training(task, examples, strategy, settings, plan).rate
            for plan in plans.values()
        ],
        ROUNDS,
    )
    for name, side in zip(plans, sides, strict=True):
        report("bucketing", f"{name}, real tokens/s", side)
    report("bucketing", "ratio", sides[0].over(sides[1]))
    for name, plan in plans.items():
        share = batching.padding_share(plan(examples, settings), examples.lengths)
        limit = " (<= 15)" if plan is plan_buckets else ""
        report("bucketing", f"{name}, padding, %{limit}", 100 * share)


def compare_tracking(task, examples, strategy, config) -> None:
    """The loop with MLflow behind it, on a store of its own, against without."""
    training = Training(task, examples, strategy, config.training, plan_buckets)
    every = config.tracking.log_every_steps
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "runs", "benchmark")
        run.mkdir(parents=True)
        settings = config.tracking.model_copy(
            update={"uri": f"sqlite:///{folder}/mlflow.db"}
        )
        tracker = tracking.start(settings, run, "benchmark", "benchmark", say=print)
        try:
            on, off = in_turn(
                [lambda: training.rate(tracker, every), training.rate], ROUNDS
            )
        finally:
            tracker.close("FINISHED")
    report("tracking", "on, tokens/s", on)
    report("tracking", "off, tokens/s", off)
    report("tracking", "ratio", on.over(off))


def plan_buckets(examples, settings):
    return batching.plan_training(
        examples.lengths, settings.batch_tokens, len(examples), 1, 1, seed=1, epoch=0
    )


def plan_random(examples, settings):
    """As many batches as buckets make, of as many random sentences each."""
    count = len(plan_buckets(examples, settings))
    return np.array_split(np.random.default_rng(1).permutation(len(examples)), count)


def usual_length(plan, lengths) -> int:
    """Mean length of a batch: the one that a batch without padding is given.

    It is more than the mean of the examples, since long ones make more batches.
    """
    return round(float(np.mean([lengths[rows].max() for rows in plan])))


class Training:
    """A model in the middle of its training, as `seqloom train` does it.

    Args:
        make_plan: Gives the rows of each batch from the examples and the settings.
        edges: Tokens that the model puts around an example, which count as well.
    """

    def __init__(self, task, examples, strategy, settings, make_plan, edges=0):
        plan = make_plan(examples, settings)
        with strategy.scope():
            model = task.build_model()
            optimizer = build_optimizer(
                settings.optimizer,
                settings.learning_rate,
                settings.schedule,
                settings.warmup_steps,
                TOTAL_STEPS,
                settings.weight_decay,
                settings.optimizer_options,
            )
            optimizer.build(model.trainable_variables)
        own_rate = settings.encoder_learning_rate or settings.learning_rate
        slow_down_encoder(
            optimizer, model, own_rate / settings.learning_rate, settings.layer_decay
        )
        self._step = TrainingStep(
            task,
            model,
            optimizer,
            strategy,
            clip_norm=settings.clip_norm,
            average=(
                WeightAverage(model, settings.ema, strategy) if settings.ema else None
            ),
        )
        stream = batching.dataset(task, examples, plan, training=True).repeat()
        self._batches = iter(stream)  # as it is: there is one replica
        self._tokens = itertools.cycle(
            [int(examples.lengths[rows].sum()) + edges * len(rows) for rows in plan]
        )
        self._number = 0

    def rate(self, tracker=None, log_every_steps=1, steps=STEPS) -> float:
        """Trains some steps and gives real tokens a second."""
        started, tokens = time.perf_counter(), 0
        for _ in range(steps):
            loss, weight, norm = self._step(self._batches, np.int32(1)).numpy()[0]
            tokens += next(self._tokens)
            self._number += 1
            if tracker is not None and self._number % log_every_steps == 0:
                values = {"training/loss": loss / weight, "training/norm": norm}
                tracker.log_metrics(
                    {name: float(value) for name, value in values.items()}, self._number
                )
        return float(tokens / (time.perf_counter() - started))


class BareKeras:
    """The same model, `compile()` and `train_on_batch`, the same full batch again.

    It drops out, clips and updates as ours does, but keeps no average of the weights.
    """

    def __init__(self, task, examples, settings):
        self._model = task.build_model()
        self._model.compile(bare_optimizer(settings, settings.clip_norm))
        length = usual_length(plan_buckets(examples, settings), examples.lengths)
        rows = settings.batch_tokens // length
        self._batch = perfect_batch(task, examples, rows, length)

    def rate(self) -> float:
        started = time.perf_counter()
        for _ in range(STEPS):
            self._model.train_on_batch(*self._batch)
        tokens = tf.size(self._batch[1]).numpy()
        return float(STEPS * tokens / (time.perf_counter() - started))


def perfect_batch(task, examples, rows: int, length: int):
    """Words drawn from the text, as often as they occur in it, and no padding."""
    words = examples.columns["word_rows"].flat_values.numpy()
    drawn = np.random.default_rng(0).choice(words, [rows, length])
    features = gather_features(examples.tables, tf.constant(drawn))
    return features, tf.fill([rows, length], task.tags.index("O"))


def bare_optimizer(settings, clip_norm=None) -> keras.optimizers.Optimizer:
    """Keras' own optimizer with its own clipping, none of ours."""
    if settings.optimizer != "adamw" or settings.optimizer_options:
        raise ValueError(
            "the benchmarks compare with AdamW as it is, got "
            f"optimizer={settings.optimizer} {settings.optimizer_options}"
        )
    rate = WarmupSchedule(
        settings.learning_rate, settings.schedule, settings.warmup_steps, TOTAL_STEPS
    )
    if not settings.weight_decay:  # AdamW would subtract zeros from every weight
        return keras.optimizers.Adam(rate, global_clipnorm=clip_norm)
    return keras.optimizers.AdamW(
        rate, weight_decay=settings.weight_decay, global_clipnorm=clip_norm
    )
