"""The translation model: an encoder reads a sentence, a decoder writes another."""

import keras
from keras import ops

from seqloom.layers import (
    RecurrentBridge,
    RecurrentDecoder,
    RecurrentEncoder,
    TokenEmbedding,
    TransformerDecoder,
    TransformerEncoder,
)
from seqloom.tasks.smoothed_loss import smoothed_cross_entropy

KINDS = ("recurrent", "transformer")


@keras.saving.register_keras_serializable(package="seqloom")
class Translator(keras.Model):
    """A functional model from source and target pieces to logits.

    `compile(optimizer)` and `fit({"source_ids": ..., "target_ids": ...}, labels)` work
    as with any Keras model: the loss is the mean cross-entropy of the labels.

    Shapes: B sentences, S source pieces, T target pieces, V vocabulary.

    Call arguments:
        features: dict with source_ids `(B, S)` int32 and target_ids `(B, T)` int32,
            the begin token first; both padded with 0.

    Returns:
        dict of logits `(B, T, V)` float32 of the piece after each, and attention
        `(B, T, S)` float32.
    """

    # Just the arguments of keras.Model: then Keras saves and loads the whole graph.
    def __init__(self, inputs, outputs, name=None, **kwargs):
        super().__init__(inputs=inputs, outputs=outputs, name=name, **kwargs)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        total, weight = translation_loss(y, y_pred["logits"])
        return total / ops.maximum(weight, 1.0)

    @property
    def decoder(self) -> keras.layers.Layer:
        """The layer with `begin` and `step`."""
        return self.get_layer("decoder")

    def begin(self, source_ids):
        """The state of the decoder after reading `(B, S)` source_ids."""
        memory, *states = self.encode(source_ids)
        return self.decoder.begin(memory, ops.not_equal(source_ids, 0), states or None)

    def encode(self, source_ids) -> list:
        """Memory `(B, S, D)`, then the first states of a recurrent decoder."""
        return self._compute(self.encoded, source_ids)

    @property
    def encoded(self) -> list:
        """What stands in the graph for that which `encode` gives."""
        memory = keras.tree.flatten(self.get_layer("reader").output)[0]
        bridges = [layer for layer in self.layers if layer.name == "bridge"]
        return [memory, *keras.tree.flatten([bridge.output for bridge in bridges])]

    def read(self, source_ids):
        """Weights `(B, L, H, S, S)` of a Transformer's encoder, and its memory."""
        reader = self.get_layer("reader")
        [sequence] = self._compute([reader.input[0]], source_ids)
        mask = ops.not_equal(source_ids, 0)
        weights = reader.attention_weights(sequence, mask=mask)
        return weights, reader(sequence, mask=mask, training=False)

    def _compute(self, tensors, source_ids) -> list:
        """What stands at tensors of the graph that only the source decides."""
        # Made anew each time: a model that is kept would be saved with this one.
        part = keras.Model(self.input["source_ids"], tensors)
        return keras.tree.flatten(part(source_ids, training=False))


def translation_loss(labels, logits, label_smoothing=0.0):
    """Summed `smoothed_cross_entropy` of the real pieces, and their number.

    Args:
        labels: `(B, T)` integers, padded with 0.
        logits: `(B, T, V)`.
    """
    labels = ops.reshape(ops.cast(labels, "int32"), [-1])  # (B*T,)
    logits = ops.reshape(logits, [-1, ops.shape(logits)[-1]])  # (B*T, V)
    real = ops.cast(ops.not_equal(labels, 0), "float32")
    losses = smoothed_cross_entropy(labels, logits, label_smoothing)
    return ops.sum(losses * real), ops.sum(real)


def build_translator(
    source_size: int,
    target_size: int | None,
    *,
    kind: str = "transformer",
    units: int = 256,
    embedding_units: int | None = None,
    num_layers: int = 3,
    cell: str = "gru",
    bidirectional: bool = True,
    attention: str = "first_layer",
    score: str = "additive",
    normalizer: str = "softmax",
    scheduled_sampling: float = 0.0,
    scheduled_sampling_ramp: int = 1,
    num_heads: int = 4,
    feed_forward_units: int = 1024,
    norm: str = "pre",
    position: str = "sinusoidal",
    max_length: int = 256,
    tied: bool = True,
    dropout: float = 0.1,
) -> Translator:
    """Build a translator.

    Args:
        source_size: Number of source ids, padding included.
        target_size: That of target ids; None: both sides share vocabulary and
            embedding.
        kind: `recurrent` or `transformer`, of encoder and decoder.
        attention, scheduled_sampling, scheduled_sampling_ramp: Of a recurrent decoder;
            see `RecurrentDecoder`.
        max_length: Longest sentence in pieces, for learned positions.
        tied: Score target pieces by their embedding.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}.")
    width = embedding_units or units
    source = TokenEmbedding(source_size, width, name="source_pieces")
    target = source
    if target_size is not None:
        target = TokenEmbedding(target_size, width, name="target_pieces")
    source_ids = keras.Input([None], dtype="int32", name="source_ids")
    mask = ops.not_equal(source_ids, 0)  # (B, S)
    shared = {"num_layers": num_layers, "dropout": dropout}
    states = None
    if kind == "recurrent":
        cells = {"units": units, "cell": cell, **shared}
        memory, states = _read_in_turn(source(source_ids), mask, cells, bidirectional)
        decoder = RecurrentDecoder(
            target_size or source_size,
            attention=attention,
            score=score,
            normalizer=normalizer,
            embedding=target,
            tied=tied,
            scheduled_sampling=scheduled_sampling,
            scheduled_sampling_ramp=scheduled_sampling_ramp,
            name="decoder",
            **cells,
        )
    else:
        stack = {
            "num_heads": num_heads,
            "feed_forward_units": feed_forward_units,
            "norm": norm,
            "position": position,
            "normalizer": normalizer,
            # One more, for the begin token.
            "max_length": max_length + 1 if position == "learned" else None,
            **shared,
        }
        memory = _read_at_once(source(source_ids), mask, units, stack)
        decoder = TransformerDecoder(
            target_size or source_size,
            units,
            embedding=target,
            tied=tied,
            name="decoder",
            **stack,
        )
    target_ids = keras.Input([None], dtype="int32", name="target_ids")
    logits, weights = decoder(
        target_ids, memory, memory_mask=mask, initial_state=states
    )
    return Translator(
        {"source_ids": source_ids, "target_ids": target_ids},
        {"logits": logits, "attention": weights},
        name="translator",
    )


def _read_in_turn(sequence, mask, cells, bidirectional):
    """Memory `(B, S, W)` of recurrent layers, and the first states of a decoder."""
    reader = RecurrentEncoder(
        bidirectional=bidirectional, return_state=True, name="reader", **cells
    )
    memory, *states = reader(sequence, mask=mask)
    bridge = RecurrentBridge(
        cells["units"], cells["num_layers"], cells["cell"], bidirectional, name="bridge"
    )
    return memory, bridge(states)


def _read_at_once(sequence, mask, units, stack):
    """Memory `(B, S, units)` of a Transformer."""
    if sequence.shape[-1] != units:
        sequence = keras.layers.Dense(units, name="projection")(sequence)
    # As large as the waves of the positions (Vaswani et al. 2017, section 3.4).
    sequence = units**0.5 * sequence
    return TransformerEncoder(name="reader", **stack)(sequence, mask=mask)
