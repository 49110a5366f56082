"""A pretrained encoder with its tokenizer, and words as pieces of its vocabulary."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from seqloom.layers import PretrainedEncoder

# Pieces of a word beyond this are not read: few words have more (long addresses).
MAX_PIECES = 16


class Pretrained:
    """A keras_nlp backbone and tokenizer that belong together.

        pretrained.pieces(["Zoë", "unbelievable", ""])
            [[11199], [4895, 8671, 2890, 3085], [100]]      (BERT's vocabulary)

    The backbone is made late, by `encoder`: its weights have to be made under the
    strategy that trains them.

    Args:
        tokenizer: Its tokenizer.
        make_backbone: Makes the backbone, one that encodes text.
        frozen: Train nothing of the backbone.
        lora_rank: Train low-rank additions alone.
    """

    def __init__(
        self,
        tokenizer,
        make_backbone: Callable[[], Any],
        frozen: bool = False,
        lora_rank: int | None = None,
    ):
        self.tokenizer = tokenizer
        self.make_backbone = make_backbone
        self.frozen = frozen
        self.lora_rank = lora_rank
        self._config: dict | None = None
        self._tokenize = in_graph(tokenizer)

    @property
    def unknown_id(self) -> int:
        """The piece of what the vocabulary cannot spell."""
        token = getattr(self.tokenizer, "oov_token", None)
        if token is not None:
            return int(self.tokenizer.token_to_id(token))
        return _id(self.tokenizer, "unk_token_id", "pad_token_id")

    def encoder(self) -> PretrainedEncoder:
        """A new layer, with the pretrained weights."""
        backbone = self.make_backbone()
        self._config = keras.saving.serialize_keras_object(backbone)
        return PretrainedEncoder(
            backbone,
            start_id=_id(self.tokenizer, "cls_token_id", "start_token_id"),
            end_id=_id(self.tokenizer, "sep_token_id", "end_token_id"),
            padding_id=_id(self.tokenizer, "pad_token_id"),
            window=getattr(backbone, "max_sequence_length", None) or 512,
            lora_rank=self.lora_rank,
            frozen=self.frozen,
            name="pretrained",
        )

    def pieces(self, words) -> tf.RaggedTensor:
        """Ids of the pieces of `(W,)` words, ragged int32 `(W, (P))`, in the graph.

        Every word has at least one piece (the unknown one where there is nothing to
        read in it), and at the most `MAX_PIECES`.
        """
        import keras_nlp  # takes seconds, and most models do without

        # Byte-level vocabularies spell the space before a word with it.
        if isinstance(self.tokenizer, keras_nlp.tokenizers.BytePairTokenizer):
            words = tf.strings.join([" ", words])
        return never_empty(self._tokenize(words)[:, :MAX_PIECES], self.unknown_id)

    # === A run's copy ===

    def save(self, folder: Path) -> None:
        """Write everything but the weights, which are among the model's."""
        if self._config is None:
            self.encoder()
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save_to_preset(str(folder))
        text = json.dumps(self._config, indent=2)
        (folder / "config.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, frozen=False, lora_rank=None) -> "Pretrained":
        """Read what `save` wrote; the weights are random until a model loads them."""
        import keras_nlp

        tokenizer = keras_nlp.models.Tokenizer.from_preset(str(folder))

        def make_backbone():
            return keras_nlp.models.Backbone.from_preset(
                str(folder),
                load_weights=False,
                dtype=keras.config.dtype_policy().name,  # not that of its training
            )

        return cls(tokenizer, make_backbone, frozen, lora_rank)


def never_empty(pieces: tf.RaggedTensor, unknown_id: int) -> tf.RaggedTensor:
    """Give rows `(W, (P))` without a piece the unknown one."""
    empty = tf.cast(pieces.row_lengths() == 0, tf.int64)
    unknown = tf.fill([tf.reduce_sum(empty)], unknown_id)
    fill = tf.RaggedTensor.from_row_lengths(unknown, empty, validate=False)
    return tf.concat([pieces, fill], axis=1)


def in_graph(tokenizer):
    """A keras_nlp tokenizer as it works in a graph; eagerly it may give lists."""
    return tf.function(
        lambda words: tf.cast(tokenizer(words), tf.int32),
        input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False,
    )


def _id(tokenizer, *names: str) -> int:
    """The first of the special ids that the tokenizer has."""
    for name in names:
        value = getattr(tokenizer, name, None)
        if value is not None:
            return int(value)
    raise ValueError(
        f"{type(tokenizer).__name__} has none of the special tokens "
        f"{', '.join(names)}: it does not belong to an encoder of text such as BERT."
    )
