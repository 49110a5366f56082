"""`make bench`: ratios measured side by side in one run, on CoNLL-2003.

    python benchmarks/bench.py [training] [bucketing] [serving]

Machines differ and drift, so the sides of a comparison take turns, and the ratio of
their medians is what counts.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from seqloom.pipelines.engine import import_engine

import_engine()

import keras  # noqa: E402, TensorFlow's environment comes first
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from seqloom.pipelines import batching  # noqa: E402
from seqloom.pipelines.catalogue import build_task  # noqa: E402
from seqloom.pipelines.data import load_splits  # noqa: E402
from seqloom.pipelines.settings import resolve  # noqa: E402
from seqloom.pipelines.steps import TrainingStep  # noqa: E402
from seqloom.pipelines.strategy import build_strategy, describe  # noqa: E402

ROUNDS = 5
STEPS = 40
PERFECT_LENGTH = 16


def main() -> None:
    chosen = sys.argv[1:] or ["training", "bucketing", "serving"]
    config = resolve("ner").config
    splits = load_splits(config.data, "ner")
    strategy = build_strategy("one_device")
    print(f"Devices: {describe(strategy)}; {ROUNDS} rounds of {STEPS} steps in turn")
    task = build_task(config, spans=True)
    task.fit_vocabulary(splits.train)
    examples = task.examples(splits.train)
    if "training" in chosen:
        compare_training(task, examples, strategy, config.training)
    if "bucketing" in chosen:
        compare_bucketing(task, examples, strategy, config.training)
    if "serving" in chosen:
        from serving import compare_serving

        with tempfile.TemporaryDirectory() as folder:
            compare_serving(task, splits, Path(folder))


def compare_training(task, examples, strategy, settings) -> None:
    """Our loop on real sentences against bare Keras on batches without padding."""
    ours = real_rate(task, examples, strategy, settings, plan_buckets)
    bare = bare_rate(task, settings)
    first, second = in_turn(ours, bare)
    print(f"training: seqloom, real sentences     {first:10,.0f} tokens/s")
    print(f"training: bare Keras, perfect batches {second:10,.0f} tokens/s")
    print(f"training: ratio                       {first / second:10.2f} (>= 0.8)")


def compare_bucketing(task, examples, strategy, settings) -> None:
    """Length buckets against batches of random sentences, same token budget."""
    buckets, random = in_turn(
        real_rate(task, examples, strategy, settings, plan_buckets),
        real_rate(task, examples, strategy, settings, plan_random),
    )
    print(f"bucketing: real tokens/s in buckets   {buckets:10,.0f}")
    print(f"bucketing: real tokens/s at random    {random:10,.0f}")
    for name, plan in (("buckets", plan_buckets), ("random", plan_random)):
        share = batching.padding_share(plan(examples, settings), examples.lengths)
        print(f"bucketing: padding, {name:8}          {share:10.1%}")


def plan_buckets(examples, settings):
    return batching.plan_training(
        examples.lengths, settings.batch_tokens, len(examples), 1, 1, seed=1, epoch=0
    )


def plan_random(examples, settings):
    """Batches of as many sentences as buckets have on average, in random order."""
    count = len(plan_buckets(examples, settings))
    return np.array_split(np.random.default_rng(1).permutation(len(examples)), count)


def real_rate(task, examples, strategy, settings, make_plan):
    """A function that trains some steps and gives real tokens a second."""
    with strategy.scope():
        model = task.build_model()
        optimizer = keras.optimizers.AdamW(settings.learning_rate)
        optimizer.build(model.trainable_variables)
    step = TrainingStep(
        task, model, optimizer, strategy, clip_norm=settings.clip_norm
    )
    plan = make_plan(examples, settings)
    stream = batching.dataset(task, examples, plan, training=True).repeat()
    batches = iter(strategy.distribute_datasets_from_function(lambda context: stream))

    def measure() -> float:
        started, tokens = time.perf_counter(), 0.0
        for _ in range(STEPS):
            tokens += step(batches, np.int32(1)).numpy()[0, 1]
        return tokens / (time.perf_counter() - started)

    return measure


def bare_rate(task, settings):
    """The same model under compile() and train_on_batch, every batch alike and full."""
    model = task.build_model()
    model.compile(
        keras.optimizers.AdamW(
            settings.learning_rate, global_clipnorm=settings.clip_norm
        )
    )
    rows = settings.batch_tokens // PERFECT_LENGTH
    random = np.random.default_rng(0)
    sizes = {view: len(getattr(task.features, view)) for view in task.features.VIEWS}

    def ids(view, *shape):
        return tf.constant(random.integers(2, sizes[view], shape), tf.int32)

    length = PERFECT_LENGTH
    features = {
        "word_ids": ids("words", rows, length),
        "char_ids": ids("characters", rows, length, task.features.max_characters),
        "shape_ids": ids("shapes", rows, length),
        "affix_ids": ids("affixes", rows, length, 4),
    }
    outside = np.full([rows, length], task.tags.index("O"))
    tag_ids = tf.constant(outside, tf.int32)
    data = tf.data.Dataset.from_tensors((features, tag_ids)).repeat()
    batches = iter(data)

    def measure() -> float:
        started = time.perf_counter()
        for _ in range(STEPS):
            model.train_on_batch(*next(batches))
        return STEPS * rows * length / (time.perf_counter() - started)

    return measure


def in_turn(*measures) -> list[float]:
    """Median of each measure over rounds in which they take turns, after a warm-up."""
    for measure in measures:
        measure()
    rounds = [[measure() for measure in measures] for _ in range(ROUNDS)]
    return [statistics.median(side) for side in zip(*rounds, strict=True)]


if __name__ == "__main__":
    main()
