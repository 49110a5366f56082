"""A pretrained encoder that has learned nothing: a preset folder of a few kilobytes."""

from pathlib import Path

import keras
import keras_nlp
import numpy as np

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["a", "fine", "dull", "film", "the", "was", "not", "met", "paris", "zoe"]
# Everything in small letters can be spelled.
VOCABULARY = [
    *SPECIAL,
    *WORDS,
    *"bcdefghijklmnopqrstuvwxyz",
    *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"),
    *".,!'",
]
WINDOW = 16
SIZES = {
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 16,
    "intermediate_dim": 32,
    "max_sequence_length": WINDOW,
}


def bert(rows=None, seed=0, **sizes):
    """A BERT with weights large enough for every piece to matter."""
    backbone = keras_nlp.models.BertBackbone(
        rows or len(VOCABULARY), **{**SIZES, **sizes}, dropout=0.0
    )
    return randomized(backbone, seed)


def randomized(backbone, seed=0):
    """Keras begins with values so small that a lost mask would not show."""
    random = np.random.default_rng(seed)
    for weight in backbone.weights:
        if keras.backend.standardize_dtype(weight.dtype) == "float32":
            spread = 0.3 if len(weight.shape) > 1 else 0.1
            center = 1.0 if weight.path.endswith("gamma") else 0.0
            weight.assign(random.normal(center, spread, weight.shape))
    return backbone


def tokenizer(vocabulary=VOCABULARY, lowercase=True):
    return keras_nlp.models.BertTokenizer(list(vocabulary), lowercase=lowercase)


def save_tiny_preset(folder: Path, vocabulary=VOCABULARY, rows=None) -> Path:
    """Write a preset as keras_nlp does; the weights may be made not to fit."""
    folder.mkdir(parents=True, exist_ok=True)
    bert(rows or len(vocabulary)).save_to_preset(str(folder))
    tokenizer(vocabulary).save_to_preset(str(folder))
    return folder


# === The same in bytes, as RoBERTa spells: "Ġ" is the space before a word ===

MERGES = ["f i", "n e", "fi ne", "Ġ fine", "Ġ a"]
BYTE_PAIRS = {
    piece: number
    for number, piece in enumerate(
        ["<s>", "<pad>", "</s>", "<unk>", "Ġ", *"abcdefghijklmnopqrstuvwxyz.Z"]
        + ["Ã", "«", *(merge.replace(" ", "") for merge in MERGES), "<mask>"]
    )
}


def roberta():
    return randomized(
        keras_nlp.models.RobertaBackbone(len(BYTE_PAIRS), **SIZES, dropout=0.0)
    )


def byte_tokenizer():
    return keras_nlp.models.RobertaTokenizer(BYTE_PAIRS, MERGES)
