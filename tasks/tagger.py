"""The tagging model: word features in, one score a tag out, for every token."""

import keras

from seqloom.layers import (
    CharacterConvolution,
    CharacterRecurrence,
    LinearChainCRF,
    RecurrentEncoder,
    TokenEmbedding,
    iob2_constraints,
)
from seqloom.tasks.word_features import NUM_AFFIXES


@keras.saving.register_keras_serializable(package="seqloom")
class Tagger(keras.Model):
    """A functional model that ends in tag scores, with an optional CRF on top.

    `compile(optimizer)` and `fit(features, tag_ids)` work as with any Keras model:
    the loss is the tagging loss, averaged over the real tokens.

    Shapes: B sentences, T tokens, K tags.

    Call arguments:
        features: dict of int32 tensors, as `WordFeatures` makes them, padded with 0.

    Returns:
        emissions `(B, T, K)` float32: logits of the tags, or CRF emission scores.
    """

    # Just the arguments of keras.Model: then Keras saves and loads the whole graph.
    def __init__(self, inputs, outputs, name=None, **kwargs):
        super().__init__(inputs=inputs, outputs=outputs, name=name, **kwargs)
        crfs = [layer for layer in self.layers if isinstance(layer, LinearChainCRF)]
        self.crf = crfs[0] if crfs else None

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        total, weight = tagging_loss(self, x["word_ids"] != 0, y, y_pred)
        return total / keras.ops.maximum(weight, 1.0)


def tagging_loss(model, mask, tag_ids, emissions):
    """Summed negative log-likelihood of the right tags, and the number of tokens.

    Args:
        mask: `(B, T)` bool, True at real tokens.
        tag_ids: `(B, T)` int32, anything at padding.
        emissions: `(B, T, K)` from the model.
    """
    ops = keras.ops
    weight = ops.sum(ops.cast(mask, "float32"))
    if model.crf is not None:
        return -ops.sum(model.crf.log_likelihood(emissions, tag_ids, mask)), weight
    losses = keras.losses.sparse_categorical_crossentropy(
        tag_ids, emissions, from_logits=True
    )  # (B, T)
    return ops.sum(ops.where(mask, losses, 0.0)), weight


def build_tagger(
    sizes: dict,
    tags: list[str],
    pretrained: keras.layers.Layer | None = None,
    *,
    word_units: int = 100,
    characters: str = "convolution",
    char_embedding_units: int = 30,
    char_units: int = 50,
    shape_units: int = 16,
    affix_units: int = 24,
    cell: str = "lstm",
    units: int = 200,
    num_layers: int = 1,
    bidirectional: bool = True,
    residual: bool = False,
    dropout: float = 0.5,
    output: str = "crf",
    constrained: bool = False,
) -> Tagger:
    """Build the tagger of Ma & Hovy 2016 with shape and affix features beside.

    With a pretrained encoder a word is also what that makes of its first piece, as in
    Devlin et al. 2019. A view of width 0 is left out, and so is the recurrent encoder
    where `num_layers` is 0.

    Args:
        sizes: Number of ids of each view: words, characters, shapes, affixes.
        tags: Names of the K tags, by id.
        pretrained: A `PretrainedEncoder`.
        characters: `convolution`, `recurrent` or `none`.
        constrained: Let the CRF give valid IOB2 sequences only.

    Reference: Ma & Hovy 2016, https://arxiv.org/abs/1603.01354; Lample et al. 2016,
    https://arxiv.org/abs/1603.01360; Devlin et al. 2019,
    https://arxiv.org/abs/1810.04805, section 5.3.
    """
    inputs = tagger_inputs(pretrained is not None)
    mask = keras.ops.not_equal(inputs["word_ids"], 0)  # (B, T)

    # === Word features ===
    views = []
    if pretrained is not None:
        views.append(_first_pieces(pretrained, inputs))  # (B, T, D)
    if word_units:
        words = TokenEmbedding(sizes["words"], word_units, name="words")
        views.append(words(inputs["word_ids"]))
    if characters != "none":
        spelling = _character_layer(
            characters, sizes["characters"], char_embedding_units, char_units
        )
        views.append(spelling(inputs["char_ids"]))
    if shape_units:
        shapes = TokenEmbedding(sizes["shapes"], shape_units, name="shapes")
        views.append(shapes(inputs["shape_ids"]))
    if affix_units:
        affixes = TokenEmbedding(sizes["affixes"], affix_units, name="affixes")
        vectors = affixes(inputs["affix_ids"])  # (B, T, 6, A)
        # No Reshape: it fails in a graph where both B and T are unknown.
        views += keras.ops.unstack(vectors, NUM_AFFIXES, axis=2)  # 6 times (B, T, A)
    if not views:
        raise ValueError(
            "the tagger sees nothing of a word: give one of word_units, shape_units, "
            "affix_units a width, or set characters or a preset."
        )
    context = _joined(views)  # (B, T, D)

    # === Context ===
    if num_layers:
        encoder = RecurrentEncoder(
            units,
            num_layers,
            cell=cell,
            bidirectional=bidirectional,
            residual=residual,
            dropout=dropout,
            name="encoder",
        )
        context = encoder(context, mask=mask)  # (B, T, 2U)
    context = keras.layers.Dropout(dropout, noise_shape=[None, 1, None])(context)

    # === Tags ===
    emissions = keras.layers.Dense(len(tags), dtype="float32", name="tags")(context)
    if output == "crf":
        constraints = iob2_constraints(tags) if constrained else ()
        crf = LinearChainCRF(len(tags), *constraints, name="crf")
        emissions = crf(emissions, mask=mask)
    return Tagger(inputs, emissions, name="tagger")


def tagger_inputs(pretrained: bool) -> dict:
    """Symbolic features, as the task makes them."""
    inputs = {
        "word_ids": keras.Input([None], dtype="int32", name="word_ids"),
        "char_ids": keras.Input([None, None], dtype="int32", name="char_ids"),
        "shape_ids": keras.Input([None], dtype="int32", name="shape_ids"),
        "affix_ids": keras.Input([None, NUM_AFFIXES], dtype="int32", name="affix_ids"),
    }
    if pretrained:
        # Pieces count from 1, since 0 is padding, and so do their positions.
        inputs["piece_ids"] = keras.Input([None], dtype="int32", name="piece_ids")
        inputs["first_pieces"] = keras.Input([None], dtype="int32", name="first_pieces")
    return inputs


def _first_pieces(pretrained, inputs):
    """What the encoder makes of the first piece of every word: `(B, T, D)`."""
    ops = keras.ops
    piece_ids, first = inputs["piece_ids"], inputs["first_pieces"]
    vectors = pretrained(
        ops.maximum(piece_ids - 1, 0), mask=ops.not_equal(piece_ids, 0)
    )  # (B, S, D)
    positions = ops.maximum(first - 1, 0)[:, :, None]  # (B, T, 1)
    return ops.take_along_axis(vectors, positions, axis=1)


def _joined(views):
    return (
        keras.layers.Concatenate(name="features")(views) if len(views) > 1 else views[0]
    )


def _character_layer(kind, vocabulary_size, embedding_units, units):
    if kind == "convolution":
        return CharacterConvolution(
            vocabulary_size, embedding_units, units, name="characters"
        )
    if kind == "recurrent":
        return CharacterRecurrence(
            vocabulary_size, embedding_units, units, name="characters"
        )
    raise ValueError(
        f"characters must be convolution, recurrent or none, got {kind!r}: "
        "it names how the letters of a word become a vector."
    )
