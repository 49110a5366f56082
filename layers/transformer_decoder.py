"""The Transformer decoder: from what an encoder read to a sequence of tokens."""

import keras
from keras import ops

from seqloom.layers.arguments import check_dropout, check_positive
from seqloom.layers.decoder_state import DecoderState
from seqloom.layers.embedding import TokenEmbedding
from seqloom.layers.logits import TokenLogits
from seqloom.layers.step_cache import empty_cache
from seqloom.layers.transformer import position_layer
from seqloom.layers.transformer_decoder_layer import TransformerDecoderLayer
from seqloom.layers.transformer_layer import check_heads, layer_norm


@keras.saving.register_keras_serializable(package="seqloom")
class TransformerDecoder(keras.layers.Layer):
    """Write a sequence token by token, looking back and at the memory.

        x[0] = dropout(sqrt(D) y + position), y being the embedded targets
        x[n] = TransformerDecoderLayer_n(x[n-1], memory)
        logits = TokenLogits(norm(x[L]) if norm == "pre" else x[L])

    Shapes: B batch, T target steps, S source steps, M features of the memory, D units,
    V vocabulary, L layers, H heads, N hypotheses (see `DecoderState`).

    Args:
        vocabulary_size: Number of ids V.
        units: Width D of all layers.
        num_layers: Number of layers L.
        num_heads, feed_forward_units, dropout, activation, norm, normalizer: As in
            `TransformerEncoderLayer`. Dropout also acts on the sums with positions.
        position, max_length: As in `TransformerEncoder`.
        embedding: A `TokenEmbedding` to share with an encoder; by default a new one, D
            wide. One of another width is projected.
        tied: Score the tokens by the table of the embedding; see `TokenLogits`.

    Call arguments:
        targets: `(B, T)` int32 tokens written so far, the begin token first, padded
            with 0 on the right.
        memory: `(B, S, M)`, what the encoder read; or `(R, S, M)`, each row of it read
            by B / R targets, one after the other.
        memory_mask: `(B, S)` bool, True at real steps. Defaults to the mask of memory.
        initial_state: None: a Transformer begins with the memory alone.

    Returns:
        logits `(B, T, V)` float32 of the token after each, and attention `(B, T, S)`
        float32: the mean over the heads of the last layer but one, where alignments
        are seen best.

    Raises:
        ValueError: a sequence is longer than max_length, as in `LearnedPosition`, or
            there is an initial state.

    Masking: what stands at masked steps of the memory never matters, nor what comes
    later in the targets.

    `begin` and `step` give the same, token by token, from kept keys and values.

    Reference: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.1;
    Garg et al. 2019, https://arxiv.org/abs/1909.02074, section 3.1 (alignments).
    """

    def __init__(
        self,
        vocabulary_size,
        units,
        num_layers,
        num_heads,
        feed_forward_units,
        dropout=0.0,
        activation="relu",
        norm="pre",
        position="sinusoidal",
        max_length=None,
        normalizer="softmax",
        embedding=None,
        tied=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(self, units=units, num_layers=num_layers)
        check_dropout(self, dropout)
        policy = self.dtype_policy
        _check_sizes(vocabulary_size, embedding)
        self.units = units
        self.position = position
        self.max_length = max_length
        self.tied = tied
        if embedding is None:
            embedding = TokenEmbedding(
                vocabulary_size, units, dtype=policy, name="embedding"
            )
        self.embedding = embedding
        self.position_layer = position_layer(self, position, max_length)
        self.dropout_layer = keras.layers.Dropout(dropout, dtype=policy)
        self.layers = [
            TransformerDecoderLayer(
                num_heads,
                feed_forward_units,
                dropout=dropout,
                activation=activation,
                norm=norm,
                rotary=position == "rotary",
                normalizer=normalizer,
                dtype=policy,
                name=f"layer_{number}",
            )
            for number in range(num_layers)
        ]
        check_heads(self.layers[0], units, "decoder")
        self.final_norm = layer_norm(policy, "final_norm") if norm == "pre" else None
        self.logits = TokenLogits(
            vocabulary_size,
            self.embedding if tied else None,
            dtype=policy,
            name="logits",
        )

    def build(self, targets_shape, memory_shape):
        if not self.embedding.built:
            self.embedding.build(targets_shape)
        self.projection = None
        if self.embedding.units != self.units:
            self.projection = keras.layers.Dense(
                self.units, dtype=self.dtype_policy, name="projection"
            )
            self.projection.build((None, self.embedding.units))
        sequence_shape = (*targets_shape, self.units)
        if self.position_layer is not None:
            self.position_layer.build(sequence_shape)
        for layer in self.layers:
            layer.build(sequence_shape, memory_shape)
        if self.final_norm is not None:
            self.final_norm.build(sequence_shape)
        self.logits.build(sequence_shape)

    # === All steps at once ===

    def call(
        self, targets, memory, memory_mask=None, initial_state=None, training=None
    ):
        _check_state(initial_state)
        x, _, cross = self._write(targets, memory, memory_mask, training)
        return self._score(x), self._alignment(cross)

    def attention_weights(self, targets, memory, memory_mask=None):
        """Weights of all layers and heads, float32: `(B, L, H, T, T)` on the targets
        and `(B, L, H, T, S)` on the memory."""
        _, own, cross = self._write(targets, memory, memory_mask, False)
        return ops.stack(own, axis=1), ops.stack(cross, axis=1)

    def _write(self, targets, memory, memory_mask, training):
        """Features `(B, T, D)`, and the weights of each layer."""
        x = self.dropout_layer(self._embed(targets), training=training)
        collected = []
        for layer in self.layers:
            x, *weights = layer(x, memory, memory_mask=memory_mask, training=training)
            collected.append(weights)
        return x, *zip(*collected, strict=True)

    def _embed(self, targets, start=0):
        x = self.embedding(targets)  # (B, T, E)
        if self.projection is not None:
            x = self.projection(x)  # (B, T, D)
        # As large as the waves of the positions (Vaswani et al. 2017, section 3.4).
        x = ops.cast(x, self.compute_dtype) * self.units**0.5
        return x if self.position_layer is None else self.position_layer(x, start=start)

    def _score(self, x):
        return self.logits(x if self.final_norm is None else self.final_norm(x))

    def _alignment(self, cross):
        return ops.mean(cross[max(len(cross) - 2, 0)], axis=1)  # (B, T, S)

    # === One step ===

    def begin(self, memory, memory_mask=None, initial_state=None):
        """The state before the first token; see `DecoderState`."""
        _check_state(initial_state)
        memory = ops.cast(memory, self.compute_dtype)
        shared = {"read": [layer.read(memory, memory_mask) for layer in self.layers]}
        if memory_mask is not None:
            shared["mask"] = memory_mask
        heads = self.layers[0].num_heads
        cache = empty_cache(
            ops.shape(memory)[0], heads, self.units // heads, self.compute_dtype
        )
        return DecoderState(shared, [cache for _ in self.layers])

    def step(self, tokens, state):
        """Logits `(N, V)`, the state after `(N,)` tokens, and attention `(N, S)`."""
        x = self._embed(tokens[:, None], start=state.own[0].steps)[:, 0]  # (N, D)
        mask = state.shared.get("mask")
        visible = None if mask is None else mask[:, None, None]  # (B, 1, 1, S)
        own, cross = [], []
        for layer, written, read in zip(
            self.layers, state.own, state.shared["read"], strict=True
        ):
            x, written, weights = layer.step(x, written, read, visible)
            own.append(written)
            cross.append(weights)
        attention = self._alignment(cross)  # (B, N/B, S)
        attention = ops.reshape(
            attention, (ops.shape(tokens)[0], ops.shape(attention)[2])
        )  # (N, S)
        return self._score(x), DecoderState(state.shared, own), attention

    # === Keras ===

    def compute_mask(self, targets, mask=None):
        return None, None

    def compute_output_shape(self, targets_shape, memory_shape, **_):
        if self.position == "learned":  # a functional model calls no `call`
            self.position_layer.compute_output_shape((*targets_shape, self.units))
        logits = (*targets_shape, self.logits.vocabulary_size)
        return [logits, (*targets_shape, memory_shape[1])]

    def compute_output_spec(
        self, targets, memory, memory_mask=None, initial_state=None, training=None
    ):
        shapes = self.compute_output_shape(targets.shape, memory.shape)
        return tuple(keras.KerasTensor(shape, dtype="float32") for shape in shapes)

    def get_config(self):
        layer = self.layers[0].get_config()
        shared = (
            "num_heads",
            "feed_forward_units",
            "dropout",
            "activation",
            "norm",
            "normalizer",
        )
        return {
            **super().get_config(),
            "vocabulary_size": self.logits.vocabulary_size,
            "units": self.units,
            "num_layers": len(self.layers),
            **{name: layer[name] for name in shared},
            "position": self.position,
            "max_length": self.max_length,
            "embedding": keras.saving.serialize_keras_object(self.embedding),
            "tied": self.tied,
        }

    @classmethod
    def from_config(cls, config):
        embedding = keras.saving.deserialize_keras_object(config["embedding"])
        return cls(**{**config, "embedding": embedding})


def _check_sizes(vocabulary_size, embedding):
    if embedding is not None and embedding.vocabulary_size != vocabulary_size:
        raise ValueError(
            f"TransformerDecoder with vocabulary_size={vocabulary_size} cannot look up "
            f"its tokens in an embedding of {embedding.vocabulary_size} ids. Give both "
            "the same."
        )


def _check_state(initial_state):
    if initial_state:
        raise ValueError(
            "TransformerDecoder begins with the memory alone, got an initial_state of "
            f"{len(initial_state)} tensors. Leave it out, or take a RecurrentDecoder."
        )
