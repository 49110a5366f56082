"""What a translator looked at while it wrote: alignments, and single heads."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from seqloom.layers import TransformerDecoder, generate
from seqloom.tasks.alignment_figure import Alignment, alignments
from seqloom.tasks.heads_figure import attention_heads, self_attention
from seqloom.tasks.translation_search import within_positions
from seqloom.tasks.translator import Translator

NUM_EXAMPLES = 4
USUAL_LENGTH = 12  # words of a sentence whose heads can still be read


def choose_sources(sources: Sequence[str], number: int = NUM_EXAMPLES) -> list[str]:
    """Some of the sentences, from short to as long as can be drawn, always the same."""
    by_length = sorted(set(sources), key=lambda text: (len(text.split()), text))
    short = [text for text in by_length if 3 <= len(text.split()) <= USUAL_LENGTH]
    short = short or by_length
    places = np.linspace(0, len(short) - 1, min(number, len(short)))
    return [short[round(place)] for place in places]


class Glimpse:
    """Translates a few sentences greedily and draws where the decoder looked.

    Args:
        model: The translator.
        task: Its task, with the vocabulary.
        sources: The sentences.
    """

    def __init__(self, model: Translator, task, sources: Sequence[str]):
        self.model = model
        self.task = task
        ids, _ = task.encode_source(tf.constant(list(sources), tf.string))
        self.source_ids = ids.to_tensor()  # (B, S)
        self._generate = tf.function(self._translate)

    def alignments(self) -> Figure | None:
        """Heat maps of all sentences; None if the decoder has no attention."""
        found = self._generate(self.source_ids)
        if not np.any(found.attention):
            return None
        rows = range(self.source_ids.shape[0])
        return alignments([self._alignment(found, row) for row in rows])

    def heads(self) -> dict[str, Figure]:
        """The self- and cross-attention of every layer and head in one sentence."""
        decoder = self.model.decoder
        if not isinstance(decoder, TransformerDecoder):
            return {}
        found = self._generate(self.source_ids)
        row = self.source_ids.shape[0] // 2
        source_ids = tf.boolean_mask(self.source_ids[row], self.source_ids[row] != 0)
        source = self.task.source.pieces(source_ids.numpy())
        written = self._written(found, row)
        target = ["<s>", *self.task.target.pieces(written)]
        read, memory = self.model.read(source_ids[None])
        own, cross = decoder.attention_weights(tf.constant([[2, *written]]), memory)
        return {
            "encoder_heads": self_attention(source, read[0].numpy()),
            "decoder_heads": self_attention(
                target, own[0].numpy(), "Decoder self-attention"
            ),
            "cross_heads": attention_heads(target, source, cross[0].numpy()),
        }

    def _translate(self, source_ids):
        lengths = tf.math.count_nonzero(source_ids, axis=1)
        options = within_positions(
            self.task.search.options(lengths, beam=1), self.model.decoder
        )
        state = self.model.begin(source_ids)
        return generate(self.model.decoder, state, options, collect_attention=True)

    def _written(self, found, row: int) -> list[int]:
        length = int(found.lengths[row, 0])
        return [int(number) for number in found.token_ids[row, 0, :length]]

    def _alignment(self, found, row: int) -> Alignment:
        ids = [number for number in self.source_ids[row].numpy() if number]
        written = self._written(found, row)
        weights = found.attention[row, 0].numpy()[: len(written), : len(ids)]
        pieces = self.task.target.pieces(written)
        return Alignment(self.task.source.pieces(ids), pieces, weights)
