"""Reusable Keras layers for sequences. They know nothing of tasks, configs or MLflow.

TokenEmbedding        vectors of token ids; padding (id 0) is masked and exactly zero
CharacterConvolution  vectors of words from their characters, by filters and a maximum
CharacterRecurrence   the same by a bidirectional recurrent network
PretrainedEncoder     a keras_nlp backbone over token ids, for rows of any length
ConvolutionalEncoder  a grid of features of an image, by convolutions
ColourEncoder         the same of colours alone, without shapes
PretrainedImageEncoder  the same by a keras_nlp image backbone
RecurrentEncoder      stack of simple, LSTM or GRU layers over a sequence
TransformerEncoder    stack of self-attention and feed-forward layers over a sequence
RecurrentDecoder      writes a sequence by recurrent layers, with attention or without
TransformerDecoder    writes a sequence by self- and cross-attention
generate              lets any decoder write: greedily, by beam search or at random
score                 how probable a decoder calls given sequences
replace_unknown       copies the source token that an unknown one looked at
Attention             for each query, a mean of values by how well their keys match
Pooling               one vector for a sequence: by attention, mean, maximum or last
LinearChainCRF        probability, best path and marginals of whole tag sequences
iob2_constraints      which IOB2 tags may follow which, as the CRF takes it

TransformerEncoder and TransformerDecoder are made of TransformerEncoderLayer,
TransformerDecoderLayer, MultiHeadAttention, FeedForward, SinusoidalPosition and
LearnedPosition, which stand on their own as well, as do TokenLogits (scores of the next
token), RecurrentBridge (from an encoder's last states to a decoder's first) and
RandomHue (turns the colours of images in training).
"""

from seqloom.layers.attention import Attention
from seqloom.layers.bridge import RecurrentBridge
from seqloom.layers.characters import CharacterConvolution, CharacterRecurrence
from seqloom.layers.colour import ColourEncoder, RandomHue
from seqloom.layers.constraints import iob2_constraints
from seqloom.layers.crf import LinearChainCRF
from seqloom.layers.decoder_state import DecoderState
from seqloom.layers.decoding import DecodingOptions, Hypotheses, generate
from seqloom.layers.embedding import TokenEmbedding
from seqloom.layers.feed_forward import FeedForward
from seqloom.layers.image import (
    ConvolutionalEncoder,
    GridPosition,
    PretrainedImageEncoder,
)
from seqloom.layers.logits import TokenLogits
from seqloom.layers.multi_head_attention import MultiHeadAttention
from seqloom.layers.pooling import Pooling
from seqloom.layers.position import LearnedPosition, SinusoidalPosition
from seqloom.layers.pretrained import PretrainedEncoder
from seqloom.layers.recurrent import RecurrentEncoder
from seqloom.layers.recurrent_decoder import RecurrentDecoder
from seqloom.layers.target_scores import TargetScores, score
from seqloom.layers.transformer import TransformerEncoder
from seqloom.layers.transformer_decoder import TransformerDecoder
from seqloom.layers.transformer_decoder_layer import TransformerDecoderLayer
from seqloom.layers.transformer_layer import TransformerEncoderLayer
from seqloom.layers.unknown_replacement import replace_unknown

__all__ = [
    "Attention",
    "CharacterConvolution",
    "CharacterRecurrence",
    "ColourEncoder",
    "ConvolutionalEncoder",
    "DecoderState",
    "DecodingOptions",
    "FeedForward",
    "GridPosition",
    "Hypotheses",
    "LearnedPosition",
    "LinearChainCRF",
    "MultiHeadAttention",
    "Pooling",
    "PretrainedEncoder",
    "PretrainedImageEncoder",
    "RandomHue",
    "RecurrentBridge",
    "RecurrentDecoder",
    "RecurrentEncoder",
    "SinusoidalPosition",
    "TargetScores",
    "TokenEmbedding",
    "TokenLogits",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "generate",
    "iob2_constraints",
    "replace_unknown",
    "score",
]
