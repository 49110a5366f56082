"""Scores of the next token."""

import keras
import tensorflow as tf
from keras import ops

from seqloom.layers.arguments import check_positive


@keras.saving.register_keras_serializable(package="seqloom")
class TokenLogits(keras.layers.Layer):
    """Score every token of a vocabulary as the next one.

        logits = x table' + b      tied: x = features, or features W + c if D is not E
        logits = features W + b    not tied

    Shapes: V vocabulary, D features, E width of the embedding.

    Args:
        vocabulary_size: Number of ids V.
        embedding: A `TokenEmbedding` of V ids whose table `(V, E)` scores the tokens,
            too. Without one the layer has a matrix of its own.

    Call arguments:
        features: `(..., D)`.

    Returns:
        `(..., V)` float32, whatever the dtype policy.

    Masking: keeps the mask. Masked steps get scores, too.

    Reference: Press and Wolf 2017, https://arxiv.org/abs/1608.05859, section 3.
    """

    def __init__(self, vocabulary_size, embedding=None, **kwargs):
        super().__init__(**kwargs)
        check_positive(self, vocabulary_size=vocabulary_size)
        if embedding is not None and embedding.vocabulary_size != vocabulary_size:
            raise ValueError(
                f"TokenLogits with vocabulary_size={vocabulary_size} cannot be tied to "
                f"an embedding of {embedding.vocabulary_size} ids. Give both the same."
            )
        self.vocabulary_size = vocabulary_size
        self.embedding = embedding

    def build(self, features_shape):
        features = features_shape[-1]
        self.projection = None
        if self.embedding is None:
            self.kernel = self.add_weight(
                shape=(features, self.vocabulary_size), name="kernel"
            )
        elif self.embedding.units != features:
            self.projection = keras.layers.Dense(
                self.embedding.units, dtype=self.dtype_policy, name="projection"
            )
            self.projection.build((None, features))
        if self.embedding is not None and not self.embedding.built:
            self.embedding.build((None, None))
        self.bias = self.add_weight(
            shape=(self.vocabulary_size,), initializer="zeros", name="bias"
        )

    def call(self, features):
        if self.projection is not None:
            features = self.projection(features)
        rows = ops.reshape(features, (-1, features.shape[-1]))  # (R, D)
        if self.embedding is None:
            scores = ops.matmul(rows, self.kernel)
        else:
            table = ops.cast(self.embedding.table, rows.dtype)
            # Not ops.transpose, which copies the table at each step of a decoder.
            scores = tf.matmul(rows, table, transpose_b=True)
        scores = ops.cast(scores, "float32") + ops.cast(self.bias, "float32")
        return ops.reshape(scores, (*ops.shape(features)[:-1], self.vocabulary_size))

    def compute_mask(self, features, mask=None):
        return mask

    def compute_output_shape(self, features_shape):
        return (*features_shape[:-1], self.vocabulary_size)

    def compute_output_spec(self, features):
        shape = self.compute_output_shape(features.shape)
        return keras.KerasTensor(shape, dtype="float32")

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "embedding": keras.saving.serialize_keras_object(self.embedding),
        }

    @classmethod
    def from_config(cls, config):
        embedding = keras.saving.deserialize_keras_object(config["embedding"])
        return cls(**{**config, "embedding": embedding})
