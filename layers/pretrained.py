"""Pretrained encoders of keras_nlp as one layer over token ids."""

import re

import keras
from keras import ops

from seqloom.layers.arguments import check_positive
from seqloom.layers.masking import apply_mask, full_mask


@keras.saving.register_keras_serializable(package="seqloom")
class PretrainedEncoder(keras.layers.Layer):
    """Read token ids with a keras_nlp backbone, however long the row is.

        output[b] = backbone([start, token_ids[b], end]), without start and end

    A row that does not fit into the backbone's window is read in pieces as long as
    the window, one after the other: no token is left out, but a piece does not see
    the others.

    Shapes: B batch, S tokens, W window, D width of the backbone.

    Args:
        backbone: A keras_nlp backbone that encodes text (BERT, RoBERTa, DistilBERT,
            ...), or its serialized form. Its pooled output is not used.
        start_id: Id put before every piece, such as `[CLS]`.
        end_id: Id put after every piece, such as `[SEP]`.
        padding_id: Id of padding.
        window: Most tokens W the backbone reads at once, start and end among them.
        lora_rank: Train low-rank additions to the query and value kernels alone, of
            this rank; None trains everything.
        frozen: Train nothing of the backbone.

    Call arguments:
        token_ids: `(B, S)` int32 of the backbone's tokenizer, padded on the right.
        mask: `(B, S)` bool, True at real tokens. Without it all are real.

    Returns:
        `(B, S, D)`, exactly 0 at masked steps.

    Masking: the output keeps the mask that was given.

    Reference: Devlin et al. 2019, https://arxiv.org/abs/1810.04805, section 3; Hu et
    al. 2021 (LoRA), https://arxiv.org/abs/2106.09685, eq. 3.
    """

    def __init__(
        self,
        backbone,
        start_id,
        end_id,
        padding_id=0,
        window=512,
        lora_rank=None,
        frozen=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if isinstance(backbone, dict):
            backbone = keras.saving.deserialize_keras_object(backbone)
        check_positive(self, window=window - 2)
        self.start_id = start_id
        self.end_id = end_id
        self.padding_id = padding_id
        self.window = window
        self.lora_rank = lora_rank
        self.frozen = frozen
        self._backbone_config = keras.saving.serialize_keras_object(backbone)
        if lora_rank is not None:
            check_positive(self, lora_rank=lora_rank)
            backbone.enable_lora(lora_rank)
        # Of the backbone only what leads to the sequence: a pooler, say, would be
        # weights that no gradient reaches.
        self.encoder = keras.Model(backbone.input, sequence_output(backbone))
        self.units = self.encoder.output.shape[-1]
        if frozen:
            self.encoder.trainable = False
        elif lora_rank is not None:  # keras_nlp leaves the biases beside them
            for weight in self.encoder.trainable_weights:
                weight.trainable = weight.name.startswith("lora_")

    def build(self, token_ids_shape):
        pass  # the encoder is built

    def call(self, token_ids, mask=None, training=None):
        mask = full_mask(token_ids) if mask is None else mask
        length = ops.shape(token_ids)[1]
        # Always as long as the window: what is made of a row must not depend on how
        # long the others of its batch are.
        size = ops.maximum(ops.minimum(length, self.window - 2), 1)  # L
        pieces = ops.maximum((length + size - 1) // size, 1)  # N
        padding = [[0, 0], [0, pieces * size - length]]
        real = ops.reshape(ops.pad(ops.cast(mask, "int32"), padding), (-1, size))
        ids = ops.reshape(ops.pad(token_ids, padding), (-1, size))  # (B*N, L)
        outputs = self._encode(ids, real, training)  # (B*N, L, D)
        outputs = ops.reshape(outputs, (-1, pieces * size, self.units))
        return apply_mask(outputs[:, :length], mask)

    def _encode(self, ids, real, training):
        """Outputs `(P, L, D)` of pieces `(P, L)`, start and end put around each."""
        lengths = ops.sum(real, axis=1, keepdims=True)  # (P, 1)
        edge = ops.zeros_like(lengths)
        ids = ops.concatenate([edge + self.start_id, ids, edge], axis=1)  # (P, L+2)
        steps = ops.arange(ops.shape(ids)[1])[None, :]
        ids = ops.where(steps <= lengths, ids, self.padding_id)
        ids = ops.where(steps == lengths + 1, self.end_id, ids)
        inputs = {"token_ids": ids}
        if "padding_mask" in self.encoder.input:
            inputs["padding_mask"] = ops.cast(steps <= lengths + 1, "int32")
        if "segment_ids" in self.encoder.input:
            inputs["segment_ids"] = ops.zeros_like(ids)
        return self.encoder(inputs, training=training)[:, 1:-1]

    @property
    def embedding(self):
        """The layer that turns token ids into the first vectors."""
        return next(layer for layer in self.encoder.layers if layer.weights)

    def depths(self):
        """Number of layers above each trainable weight of the encoder, by its path.

        Layers that end in a number (`transformer_layer_5`) count; what lies before
        them (embeddings) is one layer below the first, what follows is at the top.
        """
        level = 0
        levels: dict[str, int] = {}
        for layer in self.encoder.layers:
            found = re.search(r"_(\d+)$", layer.name)
            level = max(level, int(found.group(1)) + 1) if found else level
            # Not its trainable_weights: with LoRA a frozen layer has trainable parts.
            levels |= {w.path: level for w in layer.weights if w.trainable}
        return {path: level - own for path, own in levels.items()}

    def compute_mask(self, token_ids, mask=None):
        return mask

    def compute_output_shape(self, token_ids_shape):
        return (*token_ids_shape, self.units)

    def compute_output_spec(self, token_ids, mask=None, training=None):
        shape = self.compute_output_shape(token_ids.shape)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "backbone": self._backbone_config,
            "start_id": self.start_id,
            "end_id": self.end_id,
            "padding_id": self.padding_id,
            "window": self.window,
            "lora_rank": self.lora_rank,
            "frozen": self.frozen,
        }


def sequence_output(backbone):
    """The symbolic output `(B, S, D)` of a keras_nlp backbone that encodes text."""
    output = backbone.output
    if isinstance(output, dict):
        output = output.get("sequence_output")
    if output is None or len(output.shape) != 3 or "token_ids" not in backbone.input:
        raise ValueError(
            f"{type(backbone).__name__} gives no vector for every token of a text: it "
            "has the inputs "
            f"{', '.join(backbone.input) if isinstance(backbone.input, dict) else '?'}"
            ". Take an encoder such as BERT, DistilBERT or RoBERTa."
        )
    return output
