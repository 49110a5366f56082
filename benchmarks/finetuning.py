"""Fine-tuning a pretrained encoder in our loop, against its backbone in a bare one.

Both take the encoder of `sentiment/minilm`, with all its weights trained: ours on
real VADER texts, the bare loop on one batch of as many tokens that never changes.
"""

import time

import keras
import numpy as np
import tensorflow as tf
from turns import in_turn, report

from seqloom.pipelines import batching
from seqloom.pipelines.catalogue import build_task
from seqloom.pipelines.data import load_splits
from seqloom.pipelines.optimization import build_optimizer, slow_down_encoder
from seqloom.pipelines.settings import resolve
from seqloom.pipelines.steps import TrainingStep

ROUNDS = 5
STEPS = 4
# [CLS] and [SEP], which either side puts around a text and counts.
EDGES = 2


def compare_finetuning(strategy) -> None:
    """Our loop on real texts against a bare one on batches without padding."""
    config = resolve("sentiment", "minilm").config
    records = load_splits(config.data, "sentiment").train
    task = build_task(config)
    task.fit_vocabulary(records)
    examples = task.examples(records)
    plan = batching.plan_training(
        examples.lengths,
        config.training.batch_tokens,
        len(examples),
        1,
        1,
        seed=config.seed,
        epoch=0,
    )
    ours, bare = in_turn(
        [
            FineTuning(task, examples, plan, strategy, config.training).rate,
            BareLoop(task, examples, plan, config.training).rate,
        ],
        ROUNDS,
    )
    report("finetuning", "seqloom, real texts, tokens/s", ours)
    report("finetuning", "bare loop, perfect batches, tokens/s", bare)
    report("finetuning", "ratio (>= 0.8)", ours.over(bare))
