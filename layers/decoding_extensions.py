"""One step of decoding: the tokens by which hypotheses go on.

Shapes: A sources, K hypotheses of each, N = A K of both, C ways to go on, V vocabulary.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from seqloom.layers.decoding_options import END, PADDING
from seqloom.layers.sampling import draw_tokens
from seqloom.layers.top_tokens import NEVER, TokenScores, best_pairs


class NextTokens(NamedTuple):
    """What may come next, and how probable it is.

    Attributes:
        scores: Of all tokens.
        closed: `(A, b)`, -inf at tokens of the first block that must not be written.
        only: `(A,)`, the one token that may be written; -1 where the choice is free.
        only_gains: `(N,)`, its log-probability; anything where the choice is free.
    """

    scores: TokenScores
    closed: Any
    only: Any
    only_gains: Any


class Extensions(NamedTuple):
    """Hypotheses with one token more, `(A, C)`; those of -inf do not exist.

    Attributes:
        totals: float32 by which they are compared.
        parents: int32, the hypothesis of the source that was extended ...
        tokens: int32, ... and by what.
        log_probabilities: float32 of the model.
    """

    totals: Any
    parents: Any
    tokens: Any
    log_probabilities: Any = ()


def best_extensions(following: NextTokens, totals, beam) -> Extensions:
    """The 2 K best extensions of `(A, K)` totals, of a single hypothesis the best."""
    count = tf.where(tf.equal(beam, 1), 1, 2 * beam)
    found, parents, tokens = best_pairs(
        following.scores, totals, following.closed, count
    )
    # Where there is no choice, each hypothesis goes on by the same token.
    width, each = tf.shape(found)[1], tf.shape(totals)[1]
    only = following.only[:, None]  # (A, 1)
    forced = totals + tf.reshape(following.only_gains, tf.shape(totals))
    forced = tf.pad(forced, [[0, 0], [0, width - each]], constant_values=NEVER)
    found = tf.where(only >= 0, forced, found)
    parents = tf.where(only >= 0, tf.minimum(tf.range(width), each - 1), parents)
    tokens = tf.where(only >= 0, only, tokens)
    # What fills the last block of a vocabulary is no token.
    return Extensions(found, parents, tf.where(found > NEVER, tokens, PADDING))


def drawn_extensions(
    following: NextTokens, totals, uniform, temperature, top_k, top_p
) -> Extensions:
    """Each hypothesis of `(A, K)` totals by a drawn token; see `draw_tokens`."""
    sources, each = tf.unstack(tf.shape(totals))
    logits = following.scores.flat  # (N, V)
    missing = tf.shape(logits)[1] - tf.shape(following.closed)[1]
    closed = tf.pad(following.closed, [[0, 0], [0, missing]])  # (A, V)
    logits += tf.repeat(closed, each, axis=0)
    drawn = draw_tokens(logits, uniform, temperature, top_k, top_p)  # (N,)
    gains = tf.gather(logits, drawn, batch_dims=1) - following.scores.normalizers
    only = tf.repeat(following.only, each)  # (N,)
    gains = tf.where(only >= 0, following.only_gains, gains)
    tokens = tf.where(only >= 0, only, drawn)
    return Extensions(
        totals + tf.reshape(gains, (sources, each)),
        tf.broadcast_to(tf.range(each), (sources, each)),
        tf.reshape(tokens, (sources, each)),
    )


def best_living(extensions: Extensions, beam) -> Extensions:
    """The best of those that have not ended, at most `beam`."""
    living = in_place_living(extensions)
    width = tf.minimum(beam, tf.shape(living.totals)[1])
    totals, best = tf.math.top_k(living.totals, width)
    return pick(living, best)._replace(totals=totals)


def in_place_living(extensions: Extensions) -> Extensions:
    """All of them, but those that ended exist no longer."""
    ended = extensions.tokens == END
    return extensions._replace(totals=tf.where(ended, NEVER, extensions.totals))


def pick(rows, places):
    """`(A, D)` places of every `(A, C)` tensor in `rows`."""
    return tf.nest.map_structure(
        lambda values: tf.gather(values, places, batch_dims=1), rows
    )
