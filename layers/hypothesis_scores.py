"""How whole hypotheses are compared: length and coverage penalty."""

import tensorflow as tf

# A source step without any attention would make a hypothesis worth -infinity.
LEAST_COVERAGE = 1e-9


def length_penalty(lengths, alpha):
    """lp = ((5 + |Y|) / 6)^alpha, by which log-probabilities are divided.

    |Y| is `lengths` with the end token, in integers of any shape; lp is float32.

    Reference: Wu et al. 2016, https://arxiv.org/abs/1609.08144, equation 14.
    """
    return ((5.0 + tf.cast(lengths, tf.float32)) / 6.0) ** alpha


def coverage_score(coverage, source_mask):
    """cp / beta = sum over s of log min(c_s, 1), at most 0.

    Args:
        coverage: `(..., S)` float32 c, the attention that each step of the source got
            from all tokens; below 1e-9 it counts as 1e-9.
        source_mask: `(..., S)` bool, True at real steps.

    Returns:
        `(...)` float32.

    Reference: Wu et al. 2016, https://arxiv.org/abs/1609.08144, equation 14.
    """
    logs = tf.math.log(tf.clip_by_value(coverage, LEAST_COVERAGE, 1.0))
    return tf.reduce_sum(tf.where(source_mask, logs, 0.0), axis=-1)
