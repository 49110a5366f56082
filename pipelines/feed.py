"""The batches of a training, epoch by epoch, spread over replicas and workers."""

from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from seqloom.pipelines import batching
from seqloom.pipelines.config import TrainingConfig


class Feed:
    """Plans the batches of each epoch and streams this worker's part of them.

    Args:
        task: Cuts the batches.
        examples: Encoded training examples.
        settings: The `training` section of a config.
        seed: Decides the order of the data and what is replaced in it.
    """

    def __init__(self, task, examples, strategy, settings: TrainingConfig, seed: int):
        self.task = task
        self._resample = examples.resample
        self._examples: tuple[int | None, Any] = (None, examples)
        self.strategy = strategy
        self.settings = settings
        self.seed = seed
        self.batches_per_step = settings.accumulation * strategy.num_replicas_in_sync

    def examples(self, epoch: int):
        """The training examples of an epoch: of some tasks, each has its own."""
        known, examples = self._examples
        if known != epoch and self._resample is not None:
            examples = self._resample(epoch)
        self._examples = (epoch, examples)
        return examples

    @property
    def steps_per_epoch(self) -> int:
        """Steps of the first epoch: others have a few more or less."""
        return self._first_epoch[0] // self.batches_per_step

    @property
    def padding(self) -> float:
        """Share of padding in the batches of the first epoch."""
        return self._first_epoch[1]

    @cached_property
    def _first_epoch(self) -> tuple[int, float]:
        """Number of batches, and share of padding; later examples may be others."""
        plan, examples = self.plan(0), self.examples(0)
        padding = batching.padding_share(plan, examples.lengths, examples.tokens)
        return len(plan), padding

    def plan(self, epoch: int) -> list[np.ndarray]:
        lengths = self.examples(epoch).lengths
        return batching.plan_training(
            lengths,
            batch_tokens=self.settings.batch_tokens,
            max_rows=self.settings.max_rows or len(lengths),
            batches_per_step=self.batches_per_step,
            num_replicas=self.strategy.num_replicas_in_sync,
            seed=self.seed,
            epoch=epoch,
            by_length=self.settings.by_length,
        )

    def tokens(self, batches: list[np.ndarray], epoch: int) -> int:
        """Real tokens in such batches: pieces where there are such, of pairs the
        target's."""
        examples = self.examples(epoch)
        tokens = examples.tokens
        if tokens is None:
            lengths = examples.lengths
            tokens = lengths if lengths.ndim == 1 else lengths[:, -1]
        return int(sum(tokens[rows].sum() for rows in batches))

    def stream(self, plan: list[np.ndarray], epoch: int, first: int):
        """The planned batches from number `first` on, for the strategy's `run`: a
        dataset, distributed if there are several replicas."""
        seed = int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0] >> 1)
        replicas = self.strategy.num_replicas_in_sync

        def make(context):
            numbers = batching.worker_share(
                len(plan),
                first,
                replicas,
                context.input_pipeline_id,
                context.num_input_pipelines,
            )
            return batching.dataset(
                self.task, self.examples(epoch), plan, True, seed, numbers
            )

        if replicas == 1:
            # TensorFlow tunes the last stage of a distributed dataset, whatever the
            # options say, and to end that took half a minute of an epoch's 80 seconds:
            # the thread may miss the call to stop, and sleeps on.
            return make(tf.distribute.InputContext())
        return self.strategy.distribute_datasets_from_function(make)
