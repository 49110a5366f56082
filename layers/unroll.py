"""One step after the other, where each needs what the one before gave."""

import tensorflow as tf


def unroll(step, inputs, state, widths):
    """Take the steps of a sequence in turn.

    Keras' `ops.scan` fails over an unknown number of steps.

    Args:
        step: (input `(B, D)`, state) to (list of outputs `(B, F)`, state).
        inputs: `(B, T, D)`.
        state: The first state, any nest of tensors.
        widths: dtype and width F of each output; a width of None is told by the graph.

    Returns:
        List of the outputs, each `(B, T, F)`.
    """
    by_step = tf.transpose(inputs, (1, 0, 2))  # (T, B, D)
    number = tf.shape(by_step)[0]
    arrays = [
        tf.TensorArray(dtype, number, element_shape=[inputs.shape[0], width])
        for dtype, width in widths
    ]

    def take(index, arrays, state):
        outputs, state = step(by_step[index], state)
        arrays = [a.write(index, o) for a, o in zip(arrays, outputs, strict=True)]
        return index + 1, arrays, state

    _, arrays, _ = tf.while_loop(
        lambda index, *_: index < number, take, (0, arrays, state)
    )
    return [tf.transpose(array.stack(), (1, 0, 2)) for array in arrays]
