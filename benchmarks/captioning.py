"""Does a captioner wait for its images? The input pipeline alone, and training on it.

Scenes are decoded anew at each epoch; photographs come as features from the cache,
where a mirror has them.
"""

import itertools
import os
import time

import numpy as np
from training import ROUNDS, STEPS, Training, plan_buckets
from turns import in_turn, report

from seqloom.pipelines import batching
from seqloom.pipelines.catalogue import build_task
from seqloom.pipelines.data import load_splits
from seqloom.pipelines.settings import resolve


def compare_captioning(strategy) -> None:
    """Images a second that the input pipeline gives, against those of training."""
    compare_reading("scenes", None, strategy)
    if os.environ.get("SEQLOOM_MIRROR"):
        compare_reading("flickr8k", "flickr8k", strategy)
    else:
        print("captioning SEQLOOM_MIRROR is not set: no photographs to read")


def compare_reading(title: str, config_name: str | None, strategy) -> None:
    config = resolve("captioning", config_name, ["data.limit=1000"]).config
    records = load_splits(config.data, "captioning", config.seed).train
    task = build_task(config)
    task.fit_vocabulary(records)
    examples = task.examples(records, training=True)
    settings = config.training
    reading, training = in_turn(
        [
            Reading(task, examples, settings).rate,
            _Images(task, examples, strategy, settings).rate,
        ],
        ROUNDS,
    )
    report("captioning", f"{title}, read alone, images/s", reading)
    report("captioning", f"{title}, read and trained on, images/s", training)
    report("captioning", f"{title}, ratio (> 1: never waits)", reading.over(training))


class Reading:
    """Batches as training gets them, and nothing done with them."""

    def __init__(self, task, examples, settings):
        plan = plan_buckets(examples, settings)
        self._batches = iter(
            batching.dataset(task, examples, plan, training=True).repeat()
        )

    def rate(self) -> float:
        """Reads some batches and gives images a second."""
        for _ in range(batching.PREFETCHED_BATCHES):  # those that lay ready
            next(self._batches)
        started, images = time.perf_counter(), 0
        for _ in range(STEPS):
            images += int(next(self._batches)[0]["image"].shape[0])
        return float(images / (time.perf_counter() - started))


class _Images:
    """Training, counted in images, each of which comes with some captions."""

    def __init__(self, task, examples, strategy, settings):
        self._training = Training(task, examples, strategy, settings, plan_buckets)
        plan = plan_buckets(examples, settings)
        self._rows = itertools.cycle([len(rows) for rows in plan])
        self._tokens = itertools.cycle(
            [int(np.sum(examples.lengths[rows])) for rows in plan]
        )

    def rate(self) -> float:
        tokens_per_second = self._training.rate()
        rows = sum(next(self._rows) for _ in range(STEPS))
        tokens = sum(next(self._tokens) for _ in range(STEPS))
        return tokens_per_second * rows / tokens
