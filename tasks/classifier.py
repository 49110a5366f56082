"""The classification model: pieces of a text in, one score a label out."""

import keras
from keras import ops

from seqloom.layers import (
    Pooling,
    PretrainedEncoder,
    RecurrentEncoder,
    TokenEmbedding,
    TransformerEncoder,
)

ENCODERS = ("none", "recurrent", "transformer")


@keras.saving.register_keras_serializable(package="seqloom")
class Classifier(keras.Model):
    """A functional model from pieces to logits, with what it attended to.

    `compile(optimizer)` and `fit({"piece_ids": ids}, label_ids)` work as with any Keras
    model: the loss is the mean cross-entropy.

    Shapes: B texts, S pieces, K labels.

    Call arguments:
        features: dict with piece_ids `(B, S)` int32, padded with 0.

    Returns:
        dict of logits `(B, K)` float32 and weights `(B, S)` float32: how much each
        piece gave to the text's vector; they sum to 1.
    """

    # Just the arguments of keras.Model: then Keras saves and loads the whole graph.
    def __init__(self, inputs, outputs, name=None, **kwargs):
        super().__init__(inputs=inputs, outputs=outputs, name=name, **kwargs)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        total, weight = classification_loss(y, y_pred["logits"])
        return total / weight

    @property
    def embedding(self) -> keras.layers.Layer:
        """The layer that turns ids into the first vectors."""
        for layer in self.layers:
            if isinstance(layer, PretrainedEncoder):
                return layer.embedding
        return self.get_layer("pieces")


def classification_loss(label_ids, logits, label_smoothing=0.0, class_weights=None):
    """Summed cross-entropy with smoothed targets, and the weight that it sums.

        loss = - sum over b of w[y_b] sum over k of
                 ((1 - e) [k = y_b] + e / K) log softmax(logits[b])[k]

    Args:
        label_ids: `(B,)` integers.
        logits: `(B, K)`.
        label_smoothing: The share e, spread over all labels.
        class_weights: `(K,)` weights w of texts by their label; None: 1 each.

    Reference: Szegedy et al. 2016, https://arxiv.org/abs/1512.00567, section 7.
    """
    label_ids = ops.cast(label_ids, "int32")
    number = ops.shape(logits)[-1]
    targets = ops.one_hot(label_ids, number, dtype="float32")  # (B, K)
    targets = (1.0 - label_smoothing) * targets + label_smoothing / number
    losses = -ops.sum(targets * ops.log_softmax(logits), axis=-1)  # (B,)
    weights = (
        ops.ones_like(losses)
        if class_weights is None
        else ops.take(ops.convert_to_tensor(class_weights, "float32"), label_ids)
    )
    return ops.sum(weights * losses), ops.sum(weights)


def build_classifier(
    vocabulary_size: int,
    num_labels: int,
    pretrained: PretrainedEncoder | None = None,
    *,
    word_units: int = 100,
    encoder: str = "recurrent",
    cell: str = "gru",
    units: int = 128,
    num_layers: int = 1,
    bidirectional: bool = True,
    num_heads: int = 4,
    feed_forward_units: int = 512,
    norm: str = "pre",
    position: str = "sinusoidal",
    max_length: int = 512,
    pooling: str = "attention",
    dropout: float = 0.3,
) -> Classifier:
    """Build a classifier: embedding, encoder, pooling, labels.

    A pretrained encoder stands in for embedding and encoder.

    Args:
        vocabulary_size: Number of ids, padding included.
        num_labels: Number K of labels.
        encoder: `none`, `recurrent` or `transformer`.
        pooling: A kind of `Pooling`. "last" of a bidirectional encoder takes the state
            of either direction after its last step.
        max_length: Longest text in pieces, for learned positions.
    """
    if encoder not in ENCODERS:
        raise ValueError(
            f"encoder must be one of {', '.join(ENCODERS)}, got {encoder!r}: it "
            "relates the pieces of a text to each other."
        )
    piece_ids = keras.Input([None], dtype="int32", name="piece_ids")
    mask = ops.not_equal(piece_ids, 0)  # (B, S)
    both_ways = False
    if pretrained is not None:
        sequence = pretrained(ops.maximum(piece_ids - 1, 0), mask=mask)  # (B, S, D)
    else:
        embedding = TokenEmbedding(vocabulary_size, word_units, name="pieces")
        sequence = embedding(piece_ids)  # (B, S, E)
    if pretrained is None and encoder == "recurrent":
        both_ways = bidirectional  # it drops features before each of its layers
        recurrent = RecurrentEncoder(
            units, num_layers, cell, bidirectional, dropout=dropout, name="encoder"
        )
        sequence = recurrent(sequence, mask=mask)  # (B, S, W)
    elif pretrained is None:
        sequence = keras.layers.SpatialDropout1D(dropout)(sequence)
    if pretrained is None and encoder == "transformer":
        # As large as the waves of the positions (Vaswani et al. 2017, section 3.4).
        sequence = units**0.5 * keras.layers.Dense(units, name="projection")(sequence)
        transformer = TransformerEncoder(
            num_layers,
            num_heads,
            feed_forward_units,
            dropout=dropout,
            norm=norm,
            position=position,
            max_length=max_length if position == "learned" else None,
            name="encoder",
        )
        sequence = transformer(sequence, mask=mask)  # (B, S, U)
    pooled, weights = _pooled(sequence, mask, pooling, units, both_ways)
    pooled = keras.layers.Dropout(dropout)(pooled)  # (B, W)
    logits = keras.layers.Dense(num_labels, dtype="float32", name="labels")(pooled)
    outputs = {"logits": logits, "weights": weights}
    return Classifier({"piece_ids": piece_ids}, outputs, name="classifier")


def _pooled(sequence, mask, kind, units, both_ways):
    """One vector a text, and the weights of its pieces."""
    if kind == "last" and both_ways:
        half = sequence.shape[-1] // 2
        last, at_end = Pooling("last", name="last")(sequence[..., :half], mask=mask)
        first = ops.flip(sequence[..., half:], axis=1)  # backward, it ends at step 0
        first, at_start = Pooling("last", name="first")(first, mask=None)
        weights = (at_end + ops.flip(at_start, axis=1)) / 2
        return ops.concatenate([last, first], axis=-1), weights
    arguments = {"units": units} if kind == "attention" else {}
    return Pooling(kind, name="pooling", **arguments)(sequence, mask=mask)
