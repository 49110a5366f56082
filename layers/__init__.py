"""Reusable Keras layers for sequences. They know nothing of tasks, configs or MLflow.

TokenEmbedding        vectors of token ids; padding (id 0) is masked and exactly zero
CharacterConvolution  vectors of words from their characters, by filters and a maximum
CharacterRecurrence   the same by a bidirectional recurrent network
PretrainedEncoder     a keras_nlp backbone over token ids, for rows of any length
RecurrentEncoder      stack of simple, LSTM or GRU layers over a sequence
TransformerEncoder    stack of self-attention and feed-forward layers over a sequence
Attention             for each query, a mean of values by how well their keys match
Pooling               one vector for a sequence: by attention, mean, maximum or last
LinearChainCRF        probability, best path and marginals of whole tag sequences
iob2_constraints      which IOB2 tags may follow which, as the CRF takes it

TransformerEncoder is made of TransformerEncoderLayer, MultiHeadAttention, FeedForward,
SinusoidalPosition and LearnedPosition, which stand on their own as well.
"""

from seqloom.layers.attention import Attention
from seqloom.layers.characters import CharacterConvolution, CharacterRecurrence
from seqloom.layers.constraints import iob2_constraints
from seqloom.layers.crf import LinearChainCRF
from seqloom.layers.embedding import TokenEmbedding
from seqloom.layers.feed_forward import FeedForward
from seqloom.layers.multi_head_attention import MultiHeadAttention
from seqloom.layers.pooling import Pooling
from seqloom.layers.position import LearnedPosition, SinusoidalPosition
from seqloom.layers.pretrained import PretrainedEncoder
from seqloom.layers.recurrent import RecurrentEncoder
from seqloom.layers.transformer import TransformerEncoder
from seqloom.layers.transformer_layer import TransformerEncoderLayer

__all__ = [
    "Attention",
    "CharacterConvolution",
    "CharacterRecurrence",
    "FeedForward",
    "LearnedPosition",
    "LinearChainCRF",
    "MultiHeadAttention",
    "Pooling",
    "PretrainedEncoder",
    "RecurrentEncoder",
    "SinusoidalPosition",
    "TokenEmbedding",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "iob2_constraints",
]
