"""How far decoding has come: the variables of its loop, and how they move.

Shapes: B sources of the batch, A that are not finished yet, K hypotheses of each, N =
A K of both, F that are kept, S source steps, P forced tokens, t tokens so far.
Parts that an option does without are ().
"""

from typing import Any, NamedTuple

import tensorflow as tf

from seqloom.layers.decoding_finished import Finished
from seqloom.layers.decoding_record import Written


class Sources(NamedTuple):
    """What is known of the sources that are not finished, `(A, ...)`.

    Attributes:
        rows: Their places in the batch, `(A,)` int32.
        shared: List of tensors, of the decoder's state.
        min_length, max_length: `(A,)` int32.
        finished: `(A, F)`, their best hypotheses so far.
        prefix: `(A, P)` int32.
        mask: `(A, S)` bool, for the coverage penalty.
    """

    rows: Any
    shared: Any
    min_length: Any
    max_length: Any
    finished: Finished
    prefix: Any = ()
    mask: Any = ()


class Memory(NamedTuple):
    """What is known of hypotheses and large, `(N, ...)`; moved only when they move.

    Attributes:
        own: List of tensors, of the decoder's state.
        history: `(N, t)` int32, the tokens so far.
        coverage: `(N, S)` float32, the attention so far.
    """

    own: Any
    history: Any = ()
    coverage: Any = ()


class Live(NamedTuple):
    """The hypotheses that are being written.

    Attributes:
        tokens: `(N,)` int32, the last of each.
        totals: `(N,)` float32 by which they are compared.
        log_probabilities: `(N,)` float32 of the model, where that is not the same.
    """

    tokens: Any
    totals: Any
    log_probabilities: Any
    memory: Memory


class Progress(NamedTuple):
    """All variables.

    Attributes:
        step: int32, tokens of each hypothesis so far.
        results: `(B, F)`, of the sources that are finished.
        source_steps: int32, S as soon as it is known.
    """

    step: Any
    sources: Sources
    live: Live
    results: Finished
    written: Written
    source_steps: Any


def invariants(progress: Progress) -> Progress:
    """What of the shapes holds at every step, for `tf.while_loop`."""

    def known_rank(value):
        if isinstance(value, tf.TensorArray):
            return tf.TensorShape([])  # of the handle
        return tf.TensorShape([None] * value.shape.rank)

    sources, live = progress.sources, progress.live
    shared = [rows_and_growth(values) for values in sources.shared]
    own = [rows_and_growth(values) for values in live.memory.own]
    every = tf.nest.map_structure(known_rank, progress)
    memory = every.live.memory._replace(own=own)
    return every._replace(
        sources=every.sources._replace(shared=shared),
        live=every.live._replace(memory=memory),
    )


def rows_and_growth(values):
    """The shape of a state, but of any number of rows, and any number that was 0."""
    return tf.TensorShape([None, *(size or None for size in values.shape[1:])])


def kept_sources(decided):
    """Which of `(A,)` sources to go on with `(A',)`, and whether they become fewer.

    A few that are decided cost less than dropping them at each step.
    """
    number = tf.size(decided)
    open_places = tf.where(~decided)[:, 0]
    shrinks = 8 * tf.size(open_places) <= 7 * number
    kept = tf.cond(
        shrinks,
        lambda: tf.cast(open_places, tf.int32),
        lambda: tf.range(number),
    )
    return kept, shrinks


def drop_decided(results: Finished, sources: Sources, kept, shrinks):
    """The results and the sources to go on with; see `kept_sources`."""
    return tf.cond(
        shrinks,
        lambda: (note(results, sources), _rows(sources, kept)),
        lambda: (results, sources),
    )


def move(memory: Memory, parents) -> Memory:
    """The memory of hypotheses that go on from those at `parents` `(N',)`."""
    parts = tf.nest.flatten(memory)
    if not parts:
        return memory
    number = tf.size(parents)
    stay = (number == tf.shape(parts[0])[0]) & tf.reduce_all(
        parents == tf.range(number)
    )
    return tf.cond(stay, lambda: memory, lambda: _rows(memory, parents))


def _rows(nest, places):
    return tf.nest.map_structure(lambda values: tf.gather(values, places), nest)


def note(results: Finished, sources: Sources) -> Finished:
    """Write what the sources have finished to their places in the results."""
    places = sources.rows[:, None]  # (A, 1)
    return tf.nest.map_structure(
        lambda all_rows, rows: tf.tensor_scatter_nd_update(all_rows, places, rows),
        results,
        sources.finished,
    )
