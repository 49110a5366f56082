"""One step after the other, where each needs what the one before gave."""

import tensorflow as tf


def unroll(step, inputs, state, widths):
    """Take the steps of a sequence in turn.

    Keras' `ops.scan` fails over an unknown number of steps.

    Args:
        step: (inputs `(B, ...)`, state) to (list of outputs `(B, F)`, state).
        inputs: `(B, T, ...)`, or any nest of such.
        state: The first state, any nest of tensors.
        widths: dtype and width F of each output; a width of None is told by the graph.

    Returns:
        List of the outputs, each `(B, T, F)`.
    """
    by_step = tf.nest.map_structure(_steps_first, inputs)  # (T, B, ...)
    first = tf.nest.flatten(by_step)[0]
    number = tf.shape(first)[0]
    arrays = [
        tf.TensorArray(dtype, number, element_shape=[first.shape[1], width])
        for dtype, width in widths
    ]

    def take(index, arrays, state):
        given = tf.nest.map_structure(lambda rows: rows[index], by_step)
        outputs, state = step(given, state)
        arrays = [a.write(index, o) for a, o in zip(arrays, outputs, strict=True)]
        return index + 1, arrays, state

    _, arrays, _ = tf.while_loop(
        lambda index, *_: index < number, take, (0, arrays, state)
    )
    return [tf.transpose(array.stack(), (1, 0, 2)) for array in arrays]


def _steps_first(rows):
    return tf.transpose(rows, [1, 0, *range(2, len(rows.shape))])
