"""Copy from the source what a decoder has no word for."""

import tensorflow as tf

from seqloom.layers.decoding_options import UNKNOWN


def replace_unknown(token_ids, tokens, attention, source_tokens, source_mask=None):
    """Put for each unknown token the source token that was attended to most.

    For vocabularies of whole words. Where pieces fall back to bytes, as those of
    `TranslationTask` do, nothing is unknown.

    Shapes: B sources, K hypotheses, T steps, S source steps; as in `Hypotheses`.

    Args:
        token_ids: `(B, K, T)` int32, in which `UNKNOWN` is replaced.
        tokens: `(B, K, T)` strings, how the tokens are written.
        attention: `(B, K, T, S)` float32.
        source_tokens: `(B, S)` strings.
        source_mask: `(B, S)` bool, True at real source steps; by default all are.

    Returns:
        `(B, K, T)` strings.

    Reference: Jean et al. 2015, https://arxiv.org/abs/1412.2007, section 3.3: the
    variant that copies the aligned word, without a dictionary.
    """
    if source_mask is not None:
        visible = source_mask[:, None, None, :]  # (B, 1, 1, S)
        attention = tf.where(visible, attention, -1.0)
    places = tf.argmax(attention, axis=-1)  # (B, K, T)
    copied = tf.gather(source_tokens, places, batch_dims=1)  # (B, K, T)
    return tf.where(tf.equal(token_ids, UNKNOWN), copied, tokens)
