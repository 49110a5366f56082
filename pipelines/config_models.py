"""The settings under `model`: a section for each shape of task."""

from typing import Literal, Self

from pydantic import Field, model_validator

from seqloom.pipelines.config_fields import (
    Count,
    CountOrZero,
    Name,
    Positive,
    PositiveOrZero,
    Section,
    Share,
)


class TaggingModelConfig(Section):
    """The tagger: word features, a recurrent encoder, an output layer."""

    word_units: CountOrZero = Field(
        100, description="width of a word's embedding; 0 leaves it out"
    )
    min_frequency: Count = Field(
        2, description="rarer training words share the unknown word's embedding"
    )
    lowercase: bool = Field(True, description="look words up in lower case")
    characters: Literal["convolution", "recurrent", "none"] = Field(
        "convolution", description="how a word's spelling is read"
    )
    char_units: Count = Field(50, description="width of what the spelling gives")
    char_embedding_units: Count = Field(
        30, description="width of a character's embedding"
    )
    max_characters: Count = Field(
        20, description="characters of a longer word beyond this are not read"
    )
    shape_units: CountOrZero = Field(
        16, description="width of the embedding of a word's casing; 0 leaves it out"
    )
    affix_units: CountOrZero = Field(
        24, description="width of the prefix and suffix embeddings; 0 leaves them out"
    )
    cell: Literal["lstm", "gru", "simple"] = Field(
        "lstm", description="the recurrent cell"
    )
    units: Count = Field(200, description="width of the encoder in each direction")
    num_layers: CountOrZero = Field(
        1, description="recurrent layers on top of each other; 0: no recurrent layer"
    )
    bidirectional: bool = Field(True, description="read the sentence both ways")
    residual: bool = Field(
        False, description="add a layer's input to its output from the second layer on"
    )
    dropout: Share = Field(
        0.5, description="share of features dropped, the same at every step of a text"
    )
    word_dropout: PositiveOrZero = Field(
        0.5,
        description="a training word seen n times turns into the unknown word with "
        "probability word_dropout / (word_dropout + n)",
    )
    output: Literal["crf", "softmax"] = Field(
        "crf", description="score whole tag sequences (crf) or every tag by itself"
    )
    constrained: bool = Field(
        True, description="spans only: never answer a tag sequence that is not valid"
    )
    preset: Name | None = Field(
        None,
        description="a pretrained encoder of keras_nlp: minilm, a preset's name, or a "
        "folder",
    )
    frozen: bool = Field(
        False, description="train what is on top of the pretrained encoder, not itself"
    )
    lora_rank: Count | None = Field(
        None,
        description="train only updates of this rank to the pretrained encoder; null: "
        "all of it",
    )


class ClassificationModelConfig(Section):
    """The classifier: pieces of a text, an encoder, a pooling layer, the labels."""

    tokenizer: Literal["words", "wordpiece", "sentencepiece"] = Field(
        "words", description="what a text is cut into; all are learned from training"
    )
    vocabulary_size: Count = Field(
        8000, description="different pieces there are at the most"
    )
    min_frequency: Count = Field(
        2, description="words: rarer training words share the unknown word's embedding"
    )
    lowercase: bool = Field(True, description="read texts in lower case")
    max_length: Count = Field(
        512,
        description="pieces of a text that are read; the rest is cut off, and counted",
    )
    word_units: Count = Field(100, description="width of a piece's embedding")
    encoder: Literal["none", "recurrent", "transformer"] = Field(
        "recurrent", description="what relates the pieces to each other"
    )
    cell: Literal["lstm", "gru", "simple"] = Field(
        "gru", description="recurrent: the cell"
    )
    units: Count = Field(
        128, description="width of the encoder; recurrent: in each direction"
    )
    num_layers: Count = Field(1, description="encoder layers on top of each other")
    bidirectional: bool = Field(True, description="recurrent: read the text both ways")
    num_heads: Count = Field(4, description="transformer: attention heads of a layer")
    feed_forward_units: Count = Field(
        512, description="transformer: width inside the feed-forward network"
    )
    norm: Literal["pre", "post"] = Field(
        "pre", description="transformer: normalize before or after each sublayer"
    )
    position: Literal["sinusoidal", "learned", "rotary", "none"] = Field(
        "sinusoidal", description="transformer: how it knows the order of the pieces"
    )
    pooling: Literal["attention", "mean", "max", "last"] = Field(
        "attention", description="how the pieces' vectors become one of the whole text"
    )
    dropout: Share = Field(
        0.3, description="share of features dropped, the same at every step of a text"
    )
    word_dropout: PositiveOrZero = Field(
        0.0,
        description="a training word seen n times turns into the unknown word with "
        "probability word_dropout / (word_dropout + n)",
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced: a text of a rare label weighs more in training"
    )
    label_smoothing: Share = Field(
        0.0, description="probability spread over all labels in the training targets"
    )
    preset: Name | None = Field(
        None,
        description="a pretrained encoder of keras_nlp: minilm, a preset's name, or a "
        "folder",
    )
    frozen: bool = Field(
        False, description="train what is on top of the pretrained encoder, not itself"
    )
    lora_rank: Count | None = Field(
        None,
        description="train only updates of this rank to the pretrained encoder; null: "
        "all of it",
    )


class TranslationModelConfig(Section):
    """The translator: pieces of both sides, encoder, decoder, and how it searches."""

    tokenizer: Literal["unigram", "bpe"] = Field(
        "unigram", description="what sentences are cut into; learned from training"
    )
    vocabulary_size: Count = Field(
        8000, description="different pieces there are at the most; joint: of both sides"
    )
    joint: bool = Field(True, description="both sides share their pieces and embedding")
    sampling: PositiveOrZero = Field(
        0.0,
        description="strength of other pieces at each epoch; 0: always the best ones",
    )
    max_length: Count = Field(
        256,
        description="pieces of a sentence that are read; the rest is cut off, and "
        "counted",
    )
    kind: Literal["recurrent", "transformer"] = Field(
        "transformer", description="what encoder and decoder are made of"
    )
    units: Count = Field(256, description="width of encoder and decoder")
    embedding_units: Count | None = Field(
        None, description="width of a piece's embedding; null: as wide as units"
    )
    num_layers: Count = Field(3, description="layers of encoder and decoder each")
    cell: Literal["lstm", "gru", "simple"] = Field(
        "gru", description="recurrent: the cell"
    )
    bidirectional: bool = Field(
        True, description="recurrent: the encoder reads both ways"
    )
    attention: Literal["none", "first_layer", "input_feeding"] = Field(
        "first_layer",
        description="recurrent: where the decoder looks at the source; none: it knows "
        "the encoder's last state only",
    )
    score: Literal["dot", "scaled_dot", "general", "additive"] = Field(
        "additive", description="recurrent: how a query is compared with the source"
    )
    normalizer: Literal["softmax", "sigmoid"] = Field(
        "softmax", description="how the scores of attention become weights"
    )
    scheduled_sampling: Share = Field(
        0.0,
        description="recurrent: share of the pieces that training reads from what the "
        "decoder would have written, instead of the target",
    )
    scheduled_sampling_ramp: Count = Field(
        1, description="recurrent: steps over which that share rises from 0"
    )
    num_heads: Count = Field(4, description="transformer: attention heads of a layer")
    feed_forward_units: Count = Field(
        1024, description="transformer: width inside the feed-forward network"
    )
    norm: Literal["pre", "post"] = Field(
        "pre", description="transformer: normalize before or after each sublayer"
    )
    position: Literal["sinusoidal", "learned", "rotary", "none"] = Field(
        "sinusoidal", description="transformer: how it knows the order of the pieces"
    )
    tied: bool = Field(
        True, description="score the next piece by the embeddings of the target side"
    )
    dropout: Share = Field(0.1, description="share of features dropped in training")
    label_smoothing: Share = Field(
        0.1, description="probability spread over all pieces in the training targets"
    )
    beam: Count = Field(
        5, description="hypotheses followed in translating; validation follows one"
    )
    length_penalty: float = Field(
        1.0, description="above 0, longer translations are liked more"
    )
    coverage_penalty: PositiveOrZero = Field(
        0.0, description="above 0, leaving source pieces without attention costs"
    )
    max_ratio: Positive = Field(
        2.0, description="longest translation, in pieces for each one of the source"
    )
    max_extra: CountOrZero = Field(
        10, description="pieces that a translation may have besides"
    )

    @model_validator(mode="after")
    def _only_recurrent_decoders_sample(self) -> Self:
        if self.kind != "recurrent":
            _refuse_recurrent(self, "scheduled_sampling")
        return self


class CaptioningModelConfig(Section):
    """The captioner: what reads an image, what writes about it, and how it searches."""

    tokenizer: Literal["unigram", "bpe"] = Field(
        "unigram", description="what captions are cut into; learned from training"
    )
    vocabulary_size: Count = Field(
        2000, description="different pieces there are at the most"
    )
    lowercase: bool = Field(True, description="learn and write captions in lower case")
    max_length: Count = Field(
        64,
        description="pieces of a caption that are learned; the rest is cut off, and "
        "counted",
    )
    vary: bool = Field(
        False,
        description="training sees images cropped and in other light, never mirrored",
    )
    captions_at_once: Count | None = Field(
        None,
        description="an epoch reads an image once, with so many of its captions, "
        "drawn anew; null: once with each",
    )
    preset: Name | None = Field(
        None,
        description="a pretrained image backbone: efficientnet_lite0, a preset of "
        "keras_nlp, or a folder; null: convolutions from scratch",
    )
    frozen: bool = Field(
        True, description="the backbone is not trained; what it sees is kept on disk"
    )
    filters: list[Count] = Field(
        default_factory=lambda: [32, 64, 128],
        min_length=1,
        description="from scratch: channels of the convolutions, each halves the sides",
    )
    dilations: list[Count] = Field(
        default_factory=lambda: [1, 3],
        description="from scratch: how far the taps of those that follow lie apart",
    )
    colour_filters: CountOrZero = Field(
        0,
        description="from scratch: features of colours alone, and all others are then "
        "learned from images of any hue",
    )
    kind: Literal["recurrent", "transformer"] = Field(
        "recurrent", description="what the decoder is made of"
    )
    units: Count = Field(256, description="width of the decoder")
    embedding_units: Count | None = Field(
        None, description="width of a piece's embedding; null: as wide as units"
    )
    num_layers: Count = Field(1, description="layers of the decoder")
    encoder_layers: CountOrZero = Field(
        0,
        description="layers of self-attention between the places that are looked at",
    )
    cell: Literal["lstm", "gru", "simple"] = Field(
        "lstm", description="recurrent: the cell"
    )
    attention: Literal["none", "first_layer", "input_feeding"] = Field(
        "first_layer",
        description="recurrent: where the decoder looks at the image; none: the whole "
        "of it is its first input",
    )
    score: Literal["dot", "scaled_dot", "general", "additive"] = Field(
        "additive", description="recurrent: how a query is compared with a place"
    )
    normalizer: Literal["softmax", "sigmoid"] = Field(
        "softmax", description="how the scores of attention become weights"
    )
    doubly_stochastic: PositiveOrZero = Field(
        0.0,
        description="recurrent: how much it costs to look at some places more than at "
        "others, over a whole caption",
    )
    word_detection: PositiveOrZero = Field(
        0.0,
        description="how much it costs not to tell from the places of an image which "
        "pieces its captions have",
    )
    scheduled_sampling: Share = Field(
        0.0,
        description="recurrent: share of the pieces that training reads from what the "
        "decoder would have written, instead of the caption",
    )
    scheduled_sampling_ramp: Count = Field(
        1, description="recurrent: steps over which that share rises from 0"
    )
    num_heads: Count = Field(4, description="transformer: attention heads of a layer")
    feed_forward_units: Count = Field(
        1024, description="transformer: width inside the feed-forward network"
    )
    norm: Literal["pre", "post"] = Field(
        "pre", description="transformer: normalize before or after each sublayer"
    )
    position: Literal["sinusoidal", "learned", "rotary", "none"] = Field(
        "sinusoidal", description="transformer: how it knows the order of the pieces"
    )
    tied: bool = Field(True, description="score the next piece by the embeddings")
    dropout: Share = Field(0.1, description="share of features dropped in training")
    label_smoothing: Share = Field(
        0.0, description="probability spread over all pieces in the training targets"
    )
    beam: Count = Field(
        3, description="hypotheses followed in captioning; validation follows one"
    )
    length_penalty: float = Field(
        0.7, description="above 0, longer captions are liked more"
    )
    max_written: Count = Field(
        40, description="pieces of the longest caption that is written"
    )

    @model_validator(mode="after")
    def _what_is_set_has_a_use(self) -> Self:
        if self.kind != "recurrent":
            _refuse_recurrent(self, "scheduled_sampling", "doubly_stochastic")
        elif self.attention == "none" and self.doubly_stochastic:
            raise ValueError(
                f"model.doubly_stochastic={self.doubly_stochastic} is about attention, "
                "and model.attention=none has none. Set it to 0, or set "
                "model.attention=first_layer"
            )
        if self.vary and self.preset and self.frozen:
            raise ValueError(
                "model.vary=true needs images that are read anew at each epoch, but "
                f"what the frozen {self.preset} sees is computed once. Set "
                "model.vary=false or model.frozen=false"
            )
        return self


def _refuse_recurrent(model: Section, *names: str) -> None:
    """Raise unless these settings, which only recurrent decoders have, are off."""
    for name in names:
        if getattr(model, name):
            raise ValueError(
                f"model.{name}={getattr(model, name)} is for recurrent decoders, this "
                "one is a transformer. Set it to 0, or set model.kind=recurrent"
            )
