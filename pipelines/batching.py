"""Which examples make a batch: length buckets under a token budget, by seed and epoch.

A plan is made for a whole epoch before it starts, so that a resumed run can skip
exactly the batches it has seen, and so that every replica gets a batch at every step.
"""

import numpy as np
import tensorflow as tf

from seqloom.pipelines.errors import UserError

# Lengths are jittered before sorting, so that sentences meet different neighbours each
# epoch, and batches still pad little: by this share, up or down,
LENGTH_JITTER = 0.05
# or, of pairs, by up to so many pieces. They are only counted longer: a pair that does
# not reach the longest of its batch pads itself, one that exceeds them pads them all.
PAIR_JITTER = 1.2
PARALLEL_BATCHES = 2
PREFETCHED_BATCHES = 8


def plan_training(
    lengths: np.ndarray,
    batch_tokens: int,
    max_rows: int,
    batches_per_step: int,
    num_replicas: int,
    seed: int,
    epoch: int,
    by_length: bool = True,
) -> list[np.ndarray]:
    """Row indices of each batch of an epoch, in the order they are trained.

    Every example is in exactly one batch. The number of batches is a multiple of
    `batches_per_step` (replicas times accumulated micro-batches) and no batch is
    empty; the batches that replicas work on at the same time have like lengths.

    Args:
        lengths: `(N,)` tokens of each example, or `(N, 2)` of its source and target.
        batch_tokens: Most tokens in a batch, padding included, on either side. A
            longer example makes a batch of its own.
        max_rows: Most examples in a batch.
        by_length: Whether examples of like lengths make a batch, or any.
    """
    if len(lengths) < batches_per_step:
        raise UserError(
            f"{len(lengths)} training examples cannot fill the {batches_per_step} "
            "batches of one step: use fewer replicas, a smaller training.accumulation, "
            "or more data."
        )
    random = np.random.default_rng([seed, epoch])
    if by_length:
        order = _order(_jittered(lengths, random))
    else:
        order = random.permutation(len(lengths))
    batches = _fill(order, lengths, batch_tokens, max_rows)
    batches = _split_to_multiple(batches, batches_per_step)
    groups = [
        batches[start : start + num_replicas]
        for start in range(0, len(batches), num_replicas)
    ]
    return [
        batch for index in random.permutation(len(groups)) for batch in groups[index]
    ]


def plan_evaluation(
    lengths: np.ndarray, batch_tokens: int, max_rows: int
) -> list[np.ndarray]:
    """Batches that cover every example once, shortest first."""
    return _fill(_order(lengths), lengths, batch_tokens, max_rows)


def padding_share(
    plan: list[np.ndarray], lengths: np.ndarray, tokens: np.ndarray | None = None
) -> float:
    """Share of padded positions in all batches of a plan, on all sides.

    Args:
        tokens: `(N,)` real tokens of each example, where lengths have padding in them.
    """
    padded = sum(len(rows) * lengths[rows].max(axis=0).sum() for rows in plan)
    return float(1 - (lengths if tokens is None else tokens).sum() / padded)


def _jittered(lengths: np.ndarray, random: np.random.Generator) -> np.ndarray:
    if lengths.ndim == 1:
        return lengths * (1 + LENGTH_JITTER * random.uniform(-1, 1, lengths.shape))
    return lengths + random.uniform(0, PAIR_JITTER, lengths.shape)


def _order(lengths: np.ndarray) -> np.ndarray:
    """Rows from the shortest to the longest; of two sides the longer one counts.

    Among pairs of one length, the shorter sides are in order, too: turned round from
    one length to the next, so that a batch over two of them has pairs of like shapes.
    """
    if lengths.ndim == 1:
        return np.argsort(lengths, kind="stable")
    longer = lengths.max(axis=1).astype(int)
    source_surplus = lengths[:, 0] - lengths[:, 1]
    return np.lexsort((np.where(longer % 2, source_surplus, -source_surplus), longer))


def _fill(order, lengths, batch_tokens, max_rows) -> list[np.ndarray]:
    """Cut `order` into runs of at most `batch_tokens` padded tokens."""
    longest_of = lengths if lengths.ndim == 1 else lengths.max(axis=1)
    batches, start, longest = [], 0, 0
    for end, row in enumerate(order):
        longest = max(longest, longest_of[row])
        rows = end + 1 - start
        if end > start and (rows * longest > batch_tokens or rows > max_rows):
            batches.append(order[start:end])
            start, longest = end, longest_of[row]
    return [*batches, order[start:]] if len(order) else batches


def _split_to_multiple(batches: list[np.ndarray], multiple: int) -> list[np.ndarray]:
    """Halve the largest batches until their number is a multiple; order is kept.

    Where there are too few rows for that, batches are joined instead.
    """
    batches = list(batches)
    rows = sum(len(batch) for batch in batches)
    wanted = -(-len(batches) // multiple) * multiple
    if wanted > rows:
        wanted -= multiple
    while len(batches) < wanted:
        index = max(range(len(batches)), key=lambda i: len(batches[i]))
        batches[index : index + 1] = np.array_split(batches[index], 2)
    while len(batches) > wanted:
        batches[:2] = [np.concatenate(batches[:2])]
    return batches


def dataset(
    task,
    examples,
    plan: list[np.ndarray],
    training: bool,
    seed: int = 0,
    numbers: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Stream planned batches, made in parallel.

    A batch depends on the seed and its number only, never on what came before it.

    Args:
        numbers: Which batches of the plan, in order; all by default.
    """
    rows = tf.RaggedTensor.from_row_lengths(
        np.concatenate([np.zeros([0], np.int64), *plan]),
        np.array([len(batch) for batch in plan], np.int64),
    )  # (batches, (B))
    if numbers is None:
        numbers = np.arange(len(plan))

    def make(number):
        return task.batch(examples, rows[number], training, tf.stack([seed, number]))

    options = tf.data.Options()
    # A batch is cut in under a millisecond: there is nothing to tune, and on a busy
    # machine the end of an autotuned iterator was seen to block for 50 seconds.
    options.autotune.enabled = False
    return (
        tf.data.Dataset.from_tensor_slices(numbers.astype(np.int32))
        .map(make, num_parallel_calls=PARALLEL_BATCHES, deterministic=True)
        .prefetch(PREFETCHED_BATCHES)
        .with_options(options)
    )


def worker_share(
    num_batches: int, first: int, num_replicas: int, worker: int, num_workers: int
) -> np.ndarray:
    """Numbers of the batches that one of several workers trains on, from `first` on.

    Each group of `num_replicas` batches is one step's; a worker with r replicas takes
    the r of its place in it.
    """
    numbers = np.arange(first, num_batches)
    local = num_replicas // num_workers
    return numbers[(numbers % num_replicas) // local == worker]
