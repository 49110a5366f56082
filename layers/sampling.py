"""Draw tokens at random."""

import tensorflow as tf

from seqloom.layers.decoding_options import is_off


def draw_tokens(logits, uniform, temperature=1.0, top_k=0, top_p=1.0):
    """Draw a token from each row of logits.

        q = softmax(logits / temperature)

    of which the `top_k` most probable tokens are kept (0: all), and of these the
    fewest most probable ones whose share of what was kept is at least `top_p`.

    Args:
        logits: `(N, V)` float32; -inf is never drawn.
        uniform: `(N,)` random numbers in [0, 1), which decide.

    Returns:
        `(N,)` int32.

    Reference: Fan et al. 2018, https://arxiv.org/abs/1805.04833, section 5 (top k);
    Holtzman et al. 2020, https://arxiv.org/abs/1904.09751, section 3.1 (top p).
    """
    logits = logits / temperature
    if is_off(top_k, 0) and is_off(top_p, 1):
        return _draw(tf.nn.softmax(logits), uniform)
    return tf.cond(
        tf.equal(top_k, 0) & tf.equal(top_p, 1.0),
        lambda: _draw(tf.nn.softmax(logits), uniform),
        lambda: _draw_from_best(logits, uniform, top_k, top_p),
    )


def _draw_from_best(logits, uniform, top_k, top_p):
    size = tf.shape(logits)[1]
    kept = tf.where(tf.equal(top_k, 0), size, tf.minimum(top_k, size))
    logits, tokens = tf.math.top_k(logits, kept)  # (N, k)
    shares = tf.nn.softmax(logits)
    before = tf.cumsum(shares, axis=1, exclusive=True)
    drawn = _draw(tf.where(before < top_p, shares, 0.0), uniform)
    return tf.gather(tokens, drawn, batch_dims=1)


def _draw(shares, uniform):
    """Places `(N,)` in `(N, k)` shares, which need not add up to 1."""
    sums = tf.cumsum(shares, axis=1)
    return _first_above(sums, uniform[:, None] * sums[:, -1:])


def _first_above(sums, targets):
    """Where ascending `(N, k)` sums first exceed `(N, 1)` targets, below the last."""
    place = _count(sums <= targets)
    # A target may be rounded up to the sum of all, past the last that has a share.
    return tf.minimum(place, _count(sums < sums[:, -1:]))


def _count(conditions):
    return tf.math.count_nonzero(conditions, axis=1, dtype=tf.int32)


def uniform_numbers(seed, step, rows, num_sources, each):
    """Numbers `(A * each,)` in [0, 1) for the sources in `rows` `(A,)` of a batch.

    They depend on the seed, the step and the row, not on which others are left.
    """
    seed = tf.random.fold_in(tf.convert_to_tensor(seed), step)
    numbers = tf.random.stateless_uniform((num_sources, each), seed)
    return tf.reshape(tf.gather(numbers, rows), [-1])
