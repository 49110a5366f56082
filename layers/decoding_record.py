"""What was written step by step, and how to read it back from its end.

Hypotheses change places at each step, so nothing written is moved: each step keeps
its tokens and the places they were written from.
"""

from typing import Any, NamedTuple

import tensorflow as tf


class Written(NamedTuple):
    """Each a TensorArray with an element for every step.

    Attributes:
        tokens: `(N,)` int32, written at this step.
        parents: `(N,)` int32, the hypothesis of the step before that each extends.
        attention: Of those of the step before, `(M, S)` float32; () if not collected.
    """

    tokens: Any
    parents: Any
    attention: Any = ()


def nothing_written(max_steps, collect_attention) -> Written:
    def array(dtype, rank):
        return tf.TensorArray(
            dtype,
            max_steps,
            clear_after_read=False,
            # The elements differ in their number of hypotheses.
            element_shape=[None] * rank,
            infer_shape=False,
        )

    attention = array(tf.float32, 2) if collect_attention else ()
    return Written(array(tf.int32, 1), array(tf.int32, 1), attention)


def write(written: Written, step, tokens, parents, attention) -> Written:
    arrays = written.attention
    return Written(
        written.tokens.write(step, tokens),
        written.parents.write(step, parents),
        arrays.write(step, attention) if arrays != () else (),
    )


def read_back(written: Written, lengths, last, source_steps):
    """The tokens of hypotheses of `lengths` `(R,)`, of which the end was `last` `(R,)`.

    Returns:
        tokens `(R, T)` int32, padded with 0, and attention `(R, T, S)`, or None.
    """
    rows, longest = tf.shape(lengths)[0], tf.reduce_max(tf.concat([lengths, [0]], 0))
    collect = written.attention != ()
    arrays = [tf.TensorArray(tf.int32, longest, element_shape=[None])]
    if collect:
        arrays.append(tf.TensorArray(tf.float32, longest, element_shape=[None, None]))

    def back(step, places, arrays):
        real = step < lengths
        now = tf.where(real, places, 0)
        before = tf.gather(written.parents.read(step), now)
        found = [tf.gather(written.tokens.read(step), now)]
        if collect:
            found.append(tf.gather(written.attention.read(step), before))
        found = [_only(real, values) for values in found]
        arrays = [a.write(step, f) for a, f in zip(arrays, found, strict=True)]
        return step - 1, tf.where(real, before, places), arrays

    _, _, arrays = tf.while_loop(
        lambda step, *_: step >= 0, back, (longest - 1, last, arrays)
    )
    tokens = _by_row(arrays[0], longest, [rows])
    if not collect:
        return tokens, None
    return tokens, _by_row(arrays[1], longest, [rows, source_steps])


def _only(real, values):
    """`values` `(R, ...)` where `real` `(R,)`, else 0."""
    real = tf.reshape(real, [-1] + [1] * (values.shape.rank - 1))
    return tf.where(real, values, tf.zeros_like(values))


def _by_row(array, longest, shape):
    """`(R, T, ...)` of T elements `(R, ...)`, and of none."""
    stacked = tf.cond(
        longest > 0,
        array.stack,
        lambda: tf.zeros(tf.concat([[0], shape], axis=0), array.dtype),
    )  # (T, R, ...)
    return tf.experimental.numpy.swapaxes(stacked, 0, 1)
