"""Reusable Keras layers for sequences. They know nothing of tasks, configs or MLflow.

TokenEmbedding        vectors of token ids; padding (id 0) is masked and exactly zero
CharacterConvolution  vectors of words from their characters, by filters and a maximum
CharacterRecurrence   the same by a bidirectional recurrent network
RecurrentEncoder      stack of simple, LSTM or GRU layers over a sequence
LinearChainCRF        probability, best path and marginals of whole tag sequences
iob2_constraints      which IOB2 tags may follow which, as the CRF takes it
"""

from seqloom.layers.characters import CharacterConvolution, CharacterRecurrence
from seqloom.layers.constraints import iob2_constraints
from seqloom.layers.crf import LinearChainCRF
from seqloom.layers.embedding import TokenEmbedding
from seqloom.layers.recurrent import RecurrentEncoder

__all__ = [
    "CharacterConvolution",
    "CharacterRecurrence",
    "LinearChainCRF",
    "RecurrentEncoder",
    "TokenEmbedding",
    "iob2_constraints",
]
