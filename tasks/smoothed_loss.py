"""Cross-entropy with smoothed targets, without a distribution for every position."""

import tensorflow as tf


def smoothed_cross_entropy(labels, logits, label_smoothing=0.0):
    """Cross-entropy of each position with its smoothed target.

        loss[n] = - sum over v of ((1 - e) [v = y_n] + e / V) log softmax(logits[n])[v]
                = log sum exp logits[n] - (1 - e) logits[n, y_n] - e mean logits[n]

    The logits of a large vocabulary are the largest tensors of a training step, so what
    counts is how they are read. The softmax, which the gradient needs, is several times
    as quick as TensorFlow's own cross-entropy, and one of its values tells the log sum
    exp: the highest, which is the most exact.

    Args:
        labels: `(N,)` int32 y.
        logits: `(N, V)` float32.
        label_smoothing: The share e, spread over all V.

    Returns:
        `(N,)` float32.

    Reference: Szegedy et al. 2016, https://arxiv.org/abs/1512.00567, section 7.
    """
    places = tf.stack([tf.range(tf.size(labels)), labels], axis=1)  # (N, 2)

    @tf.custom_gradient
    def loss(logits):
        shares = tf.nn.softmax(logits)
        highest = tf.reduce_max(shares, axis=-1)  # (N,)
        normalizers = tf.reduce_max(logits, axis=-1) - tf.math.log(highest)  # (N,)
        target = (1 - label_smoothing) * tf.gather_nd(logits, places)
        if label_smoothing:
            target += label_smoothing * tf.reduce_mean(logits, axis=-1)

        def backward(upstream):
            spread = label_smoothing / tf.cast(tf.shape(logits)[-1], logits.dtype)
            scaled = (shares - spread) * upstream[:, None]  # (N, V)
            right = (label_smoothing - 1) * upstream
            return tf.tensor_scatter_nd_add(scaled, places, right)

        return normalizers - target, backward

    return loss(logits)
