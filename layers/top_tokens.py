"""Log-probabilities of all tokens, and the best of them without sorting.

With thousands of tokens for each of hundreds of hypotheses, `tf.math.top_k` costs more
than the decoder. The maxima of blocks of tokens are one quick pass. The k best scores
lie in the k blocks with the highest maxima, and only these are looked at.

Shapes: A sources, K hypotheses of each, N = A K of both, V vocabulary, b tokens of a
block, M = V / b blocks.
"""

from typing import Any, NamedTuple

import tensorflow as tf

NEVER = -float("inf")


class TokenScores(NamedTuple):
    """Logits of the next tokens, by blocks.

    Attributes:
        logits: `(N, M, b)`, with -inf for what fills the last block.
        maxima: `(N, M)`, of each block.
        normalizers: `(N,)`, what is to be taken off for log-probabilities.
    """

    logits: Any
    maxima: Any
    normalizers: Any

    @property
    def flat(self):
        """Logits `(N, M b)`."""
        rows, number, size = tf.unstack(tf.shape(self.logits))
        return tf.reshape(self.logits, (rows, number * size))

    def log_probabilities(self, hypotheses, tokens):
        """Those of `tokens` after `hypotheses`, both integers of one shape."""
        places = hypotheses * tf.size(self.logits[0]) + tokens
        logits = tf.gather(tf.reshape(self.logits, [-1]), places)
        return logits - tf.gather(self.normalizers, hypotheses)


def token_scores(logits) -> TokenScores:
    """Scores of `(N, V)` logits."""
    blocks, maxima = in_blocks(logits)
    return TokenScores(blocks, maxima, _normalizers(blocks, maxima))


def in_blocks(logits):
    """`(N, V)` logits by blocks `(N, M, b)`, and their maxima `(N, M)`."""
    size = block_size(logits.shape[1])
    if size is None:
        size = 32
        missing = -tf.shape(logits)[1] % size
        logits = tf.pad(logits, [[0, 0], [0, missing]], constant_values=NEVER)
    rows, width = tf.unstack(tf.shape(logits))
    blocks = tf.reshape(logits, (rows, width // size, size))  # (N, M, b)
    return blocks, tf.reduce_max(blocks, axis=2)


def block_size(vocabulary_size):
    """Tokens of a block: a divisor of V near the quickest; None where none is."""
    if vocabulary_size is None or vocabulary_size <= 64:
        return vocabulary_size
    return next((b for b in range(64, 15, -1) if vocabulary_size % b == 0), None)


def _normalizers(blocks, maxima):
    """log sum exp `(N,)` of the logits, and never below the highest logit.

    The softmax of TensorFlow is several times as quick as its logsumexp, and one of
    its values tells the sum: the highest, which is the most exact.
    """
    rows, number, size = tf.unstack(tf.shape(blocks))
    shares = tf.nn.softmax(tf.reshape(blocks, (rows, number * size)))  # (N, V)
    shares = tf.reshape(shares, (rows, number, size))
    best = tf.argmax(maxima, axis=1)  # (N,)
    highest = tf.reduce_max(tf.gather(shares, best, batch_dims=1), axis=1)  # (N,)
    return tf.reduce_max(maxima, axis=1) - tf.math.log(tf.minimum(highest, 1.0))


def best_pairs(scores: TokenScores, totals, closed, count):
    """The best pairs of a hypothesis and its next token, for each source.

    Args:
        scores: Of the tokens after all N hypotheses.
        totals: `(A, K)`, to which the log-probability of the token is added.
        closed: `(A, b)`, -inf at the tokens of the first block that must not be
            written, and 0 elsewhere.
        count: Number C of pairs, fewer where there are not so many.

    Returns:
        Sums, hypotheses and tokens, each `(A, C)`, best first. Of equal sums the
        earlier hypothesis comes first, then the lower token.
    """
    sources, each = tf.unstack(tf.shape(totals))
    number, size = tf.unstack(tf.shape(scores.logits)[1:])
    offsets = totals - tf.reshape(scores.normalizers, (sources, each))
    maxima = _open_maxima(scores, closed) + tf.reshape(offsets, (-1, 1))  # (N, M)
    chosen = _top(tf.reshape(maxima, (sources, each * number)), count)[1]
    # In the order of hypotheses and tokens, for the sake of equal sums.
    chosen = tf.sort(chosen, axis=1)  # (A, C)
    logits = tf.reshape(scores.logits, (sources, each * number, size))
    sums = tf.gather(logits, chosen, batch_dims=1)  # (A, C, b)
    hypotheses, places = chosen // number, chosen % number
    sums += tf.where((places == 0)[..., None], closed[:, None], 0.0)
    sums += tf.gather(offsets, hypotheses, batch_dims=1)[..., None]
    sums, best = _top(tf.reshape(sums, (sources, -1)), count)
    block = best // size
    tokens = tf.gather(places, block, batch_dims=1) * size + best % size
    return sums, tf.gather(hypotheses, block, batch_dims=1), tokens


def _open_maxima(scores, closed):
    """Maxima `(N, M)`, in the first block of what may be written."""
    each = tf.shape(scores.maxima)[0] // tf.maximum(tf.shape(closed)[0], 1)
    first = scores.logits[:, 0] + tf.repeat(closed, each, axis=0)  # (N, b)
    first = tf.reduce_max(first, axis=1, keepdims=True)  # (N, 1)
    return tf.concat([first, scores.maxima[:, 1:]], axis=1)


def _top(values, count):
    return tf.math.top_k(values, tf.minimum(count, tf.shape(values)[1]))
