"""Which tokens may come next.

Shapes: A sources, N hypotheses, V vocabulary, P forced tokens, t tokens so far.
"""

import tensorflow as tf

from seqloom.layers.decoding_options import BEGIN, END, PADDING, UNKNOWN


def only_token(step, max_length, prefix=None):
    """The one token `(A,)` that may be written, or -1 where the choice is free.

    `prefix` `(A, P)` comes before `max_length` `(A,)`.
    """
    only = tf.where(step >= max_length, END, -1)
    if prefix is None:
        return only
    # One more column, so that there is one to read when all have been written.
    prefix = tf.pad(prefix, [[0, 0], [0, 1]])  # (A, P+1)
    forced = prefix[:, tf.minimum(step, tf.shape(prefix)[1] - 1)]  # (A,)
    return tf.where(forced != PADDING, forced, only)


def closed_tokens(step, min_length, allow_unknown, size):
    """-inf `(A, size)` at the first tokens where they must not be written, else 0.

    Padding and begin never are; the end is not before `min_length` `(A,)`.
    """
    never = [PADDING, BEGIN] if allow_unknown else [PADDING, BEGIN, UNKNOWN]
    tokens = tf.range(size)
    closed = tf.reduce_any([tokens == token for token in never], axis=0)  # (size,)
    early = (step < min_length)[:, None] & (tokens == END)  # (A, size)
    return tf.where(closed | early, -float("inf"), 0.0)


def penalize_repetition(logits, history, penalty):
    """Logits `(N, V)` with those of the tokens in `(N, t)` history made smaller.

        x -> x / penalty where x > 0, else x penalty

    Reference: Keskar et al. 2019, https://arxiv.org/abs/1909.05858, section 4.1,
    which divides all; a negative logit would grow by that.
    """
    before = tf.gather(logits, history, batch_dims=1)  # (N, t)
    after = tf.where(before > 0, before / penalty, before * penalty)
    return tf.tensor_scatter_nd_update(logits, _places(history), after)


def block_repeated_ngrams(logits, history, n):
    """Logits `(N, V)`, -inf where a token would end an n-gram that is in the history.

    Reference: Paulus et al. 2017, https://arxiv.org/abs/1705.04304, section 2.5.
    """
    written = tf.shape(history)[1]
    starts = tf.maximum(written - n + 1, 0)  # n-grams so far
    repeated = tf.ones_like(history[:, :starts], dtype=tf.bool)  # (N, starts)
    for place in range(n - 1):
        last = history[:, written - n + 1 + place :][:, :1]  # (N, 1)
        repeated &= history[:, place : place + starts] == last
    follower = history[:, n - 1 :]  # (N, starts)
    blocked = tf.where(repeated, -float("inf"), float("inf"))
    return tf.tensor_scatter_nd_min(logits, _places(follower), blocked)


def _places(tokens):
    """Row and token `(N, t, 2)` of `(N, t)` tokens."""
    rows = tf.broadcast_to(tf.range(tf.shape(tokens)[0])[:, None], tf.shape(tokens))
    return tf.stack([rows, tokens], axis=2)
