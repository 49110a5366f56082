"""Cross-entropy with smoothed targets, without a distribution for every position."""

import tensorflow as tf


def smoothed_cross_entropy(labels, logits, label_smoothing=0.0):
    """Cross-entropy of each position with its smoothed target.

        loss[n] = - sum over v of ((1 - e) [v = y_n] + e / V) log softmax(logits[n])[v]
                = CE(y_n, logits[n]) + e (logits[n, y_n] - mean over v of logits[n, v])

    The logits of a large vocabulary are the largest tensors of a training step, so what
    counts is how often they are read: here as with plain targets, and once more.

    Args:
        labels: `(N,)` int32 y.
        logits: `(N, V)` float32.
        label_smoothing: The share e, spread over all V.

    Returns:
        `(N,)` float32.

    Reference: Szegedy et al. 2016, https://arxiv.org/abs/1512.00567, section 7.
    """
    if not label_smoothing:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    places = tf.stack([tf.range(tf.size(labels)), labels], axis=1)  # (N, 2)

    @tf.custom_gradient
    def loss(logits):
        plain, gradient = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(
            features=logits, labels=labels
        )
        right = tf.gather_nd(logits, places)
        spread = right - tf.reduce_mean(logits, axis=-1)

        def backward(upstream):
            share = label_smoothing / tf.cast(tf.shape(logits)[-1], logits.dtype)
            scaled = (gradient - share) * upstream[:, None]  # (N, V)
            return tf.tensor_scatter_nd_add(scaled, places, label_smoothing * upstream)

        return plain + label_smoothing * spread, backward

    return loss(logits)
