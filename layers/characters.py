"""Vectors of words made from their characters."""

import keras
from keras import ops

from seqloom.layers.arguments import check_dropout, check_positive
from seqloom.layers.embedding import TokenEmbedding
from seqloom.layers.masking import mask_from_ids, masked_max
from seqloom.layers.recurrent import RecurrentEncoder


@keras.saving.register_keras_serializable(package="seqloom")
class CharacterConvolution(keras.layers.Layer):
    """Describe every word by the strongest answers of filters on its characters.

        output[b, t] = max over c of (conv_k(embedding(char_ids[b, t])))[c], for each k

    Shapes: B batch, T words, C characters, U units.

    Args:
        vocabulary_size: Number of character ids, with the padding id 0 among them.
        embedding_units: Width of a character's vector.
        units: Filters U, over all kernel sizes together: each gets an equal share.
        kernel_sizes: Widths of the filters in characters, for example `(3,)`.
        dropout: Share of the characters' features that is dropped.

    Call arguments:
        char_ids: `(B, T, C)` integers, 0 = padding, on the right.

    Returns:
        `(B, T, U)`. Padding never wins the maximum, and a word without a real
        character is all 0.

    Masking: makes the mask `(B, T)` of the words that have a real character.

    Reference: Ma and Hovy 2016, https://arxiv.org/abs/1603.01354, section 2.1;
    Chiu and Nichols 2016, https://arxiv.org/abs/1511.08308, section 2.2.
    """

    def __init__(
        self,
        vocabulary_size,
        embedding_units,
        units,
        kernel_sizes=(3,),
        dropout=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(self, units=units)
        check_dropout(self, dropout)
        self.units = units
        self.kernel_sizes = tuple(kernel_sizes)
        self.dropout = dropout
        if not self.kernel_sizes or units % len(self.kernel_sizes):
            raise ValueError(
                f"CharacterConvolution shares units={units} equally among "
                f"kernel_sizes={self.kernel_sizes}: make units a multiple of "
                f"{max(1, len(self.kernel_sizes))} and name at least one size."
            )
        self.embedding = TokenEmbedding(
            vocabulary_size, embedding_units, dtype=self.dtype_policy, name="embedding"
        )
        self.dropout_layer = keras.layers.Dropout(dropout, dtype=self.dtype_policy)
        self.convolutions = [
            keras.layers.Conv1D(
                units // len(self.kernel_sizes),
                size,
                padding="same",
                dtype=self.dtype_policy,
                name=f"convolution_{number}",
            )
            for number, size in enumerate(self.kernel_sizes)
        ]

        for convolution in self.convolutions:
            convolution.supports_masking = True  # else Keras warns of a lost mask

    def build(self, char_ids_shape):
        self.embedding.build((None, None))
        for convolution in self.convolutions:
            convolution.build((None, None, self.embedding.units))

    def call(self, char_ids, training=None):
        _, words, characters = ops.shape(char_ids)
        char_ids = ops.reshape(char_ids, (-1, characters))  # (B*T, C)
        vectors = self.dropout_layer(self.embedding(char_ids), training=training)
        answers = [convolution(vectors) for convolution in self.convolutions]
        answers = ops.concatenate(answers, axis=-1)  # (B*T, C, U)
        strongest = masked_max(answers, mask_from_ids(char_ids))  # (B*T, U)
        return ops.reshape(strongest, (-1, words, self.units))

    def compute_mask(self, char_ids, mask=None):
        return ops.any(mask_from_ids(char_ids), axis=-1)

    def compute_output_shape(self, char_ids_shape):
        return (*char_ids_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.embedding.vocabulary_size,
            "embedding_units": self.embedding.units,
            "units": self.units,
            "kernel_sizes": list(self.kernel_sizes),
            "dropout": self.dropout,
        }


@keras.saving.register_keras_serializable(package="seqloom")
class CharacterRecurrence(keras.layers.Layer):
    """Describe every word by what a bidirectional RNN remembers of its characters.

        output[b, t] = [last forward state; last backward state]

    Shapes: B batch, T words, C characters, U units.

    Args:
        vocabulary_size: Number of character ids, with the padding id 0 among them.
        embedding_units: Width of a character's vector.
        units: Width U of the output, an even number: each direction gives half.
        cell: `"simple"`, `"lstm"` or `"gru"`.
        dropout: Share of the characters' features that is dropped, the same ones
            for all characters of a word.

    Call arguments:
        char_ids: `(B, T, C)` integers, 0 = padding, on the right.

    Returns:
        `(B, T, U)`. A word without a real character is all 0.

    Masking: makes the mask `(B, T)` of the words that have a real character.

    Reference: Lample et al. 2016, https://arxiv.org/abs/1603.01360, section 4.1.
    """

    def __init__(
        self,
        vocabulary_size,
        embedding_units,
        units,
        cell="lstm",
        dropout=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(self, units=units)
        if units % 2:
            raise ValueError(
                f"CharacterRecurrence needs an even units, got units={units}: each "
                f"direction gives half. Try {units + 1}."
            )
        self.units = units
        self.embedding = TokenEmbedding(
            vocabulary_size, embedding_units, dtype=self.dtype_policy, name="embedding"
        )
        self.encoder = RecurrentEncoder(
            units // 2,
            cell=cell,
            dropout=dropout,
            return_state=True,
            dtype=self.dtype_policy,
            name="encoder",
        )

    @property
    def use_cudnn(self):
        """As that of `RecurrentEncoder`: set it to False before an export."""
        return self.encoder.use_cudnn

    @use_cudnn.setter
    def use_cudnn(self, value):
        self.encoder.use_cudnn = value

    def build(self, char_ids_shape):
        self.embedding.build((None, None))
        self.encoder.build((None, None, self.embedding.units))

    def call(self, char_ids, training=None):
        _, words, characters = ops.shape(char_ids)
        char_ids = ops.reshape(char_ids, (-1, characters))  # (B*T, C)
        mask = mask_from_ids(char_ids)
        vectors = self.embedding(char_ids)  # (B*T, C, E)
        _, *states = self.encoder(vectors, mask=mask, training=training)
        hidden = states[:: len(states) // 2]  # h of each direction, without c
        joined = ops.concatenate(hidden, axis=-1)  # (B*T, U)
        return ops.reshape(joined, (-1, words, self.units))

    def compute_mask(self, char_ids, mask=None):
        return ops.any(mask_from_ids(char_ids), axis=-1)

    def compute_output_shape(self, char_ids_shape):
        return (*char_ids_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.embedding.vocabulary_size,
            "embedding_units": self.embedding.units,
            "units": self.units,
            "cell": self.encoder.cell,
            "dropout": self.encoder.dropout,
        }
