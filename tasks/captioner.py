"""The captioning model: an encoder reads an image as a grid, a decoder writes."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from seqloom.layers import (
    ColourEncoder,
    ConvolutionalEncoder,
    GridPosition,
    RandomHue,
    RecurrentDecoder,
    TokenEmbedding,
    TransformerDecoder,
    TransformerEncoder,
)

KINDS = ("recurrent", "transformer")


@keras.saving.register_keras_serializable(package="seqloom")
class Captioner(keras.Model):
    """A functional model from an image and caption pieces to logits.

    Shapes: B images, N captions, S places of the grid, T pieces, V vocabulary. Each
    image has N / B captions, one after the other.

    Call arguments:
        features: dict with image, `(B, H, W, 3)` pixels from 0 to 255 or the
            `(B, G, K, D)` grid of a backbone, and target_ids `(N, T)` int32, the begin
            piece first, padded with 0.

    Returns:
        dict of logits `(N, T, V)` float32 of the piece after each, and attention
        `(N, T, S)` float32 on the places of the grid, row by row; and where it detects
        words, words `(B, V)` float32, logits of the pieces that captions have.
    """

    # Just the arguments of keras.Model: then Keras saves and loads the whole graph.
    def __init__(self, inputs, outputs, name=None, **kwargs):
        super().__init__(inputs=inputs, outputs=outputs, name=name, **kwargs)

    @property
    def decoder(self) -> keras.layers.Layer:
        """The layer with `begin` and `step`."""
        return self.get_layer("decoder")

    @property
    def grid_shape(self) -> tuple[int, int]:
        """Rows G and columns K of the grid that the decoder looks at."""
        return tuple(self.get_layer("grid").output.shape[1:3])

    def begin(self, image):
        """The state of the decoder after seeing `(B, ...)` images."""
        memory, *starts = self.encode(image)
        if "first_input" in self._start_names:
            return self.decoder.begin(memory, first_input=starts[0])
        return self.decoder.begin(memory, initial_state=starts or None)

    def encode(self, image) -> list:
        """Memory `(B, S, D)`, then what a recurrent decoder starts from."""
        tensors = [self.get_layer("memory").output]
        tensors += [self.get_layer(name).output for name in self._start_names]
        # Made anew each time: a model that is kept would be saved with this one.
        part = keras.Model(self.input["image"], tensors)
        return keras.tree.flatten(part(image, training=False))

    @property
    def _start_names(self) -> list[str]:
        names = [layer.name for layer in self.layers]
        return [n for n in names if n == "first_input" or n.startswith("state_")]


def build_captioner(
    vocabulary_size: int,
    image_shape: Sequence[int],
    *,
    pixels: bool = True,
    image_encoder: keras.layers.Layer | None = None,
    filters: Sequence[int] = (32, 64, 128),
    dilations: Sequence[int] = (1, 3),
    colour_filters: int = 0,
    kind: str = "recurrent",
    units: int = 256,
    embedding_units: int | None = None,
    num_layers: int = 1,
    encoder_layers: int = 0,
    cell: str = "lstm",
    attention: str = "first_layer",
    score: str = "additive",
    normalizer: str = "softmax",
    num_heads: int = 4,
    feed_forward_units: int = 1024,
    norm: str = "pre",
    position: str = "sinusoidal",
    max_length: int = 64,
    tied: bool = True,
    dropout: float = 0.1,
    scheduled_sampling: float = 0.0,
    scheduled_sampling_ramp: int = 1,
    word_detection: bool = False,
) -> Captioner:
    """Build a captioner.

    Args:
        vocabulary_size: Number of piece ids, padding included.
        image_shape: `(H, W, 3)` of the images, or `(G, K, D)` of a backbone's grids.
        pixels: Whether images are pixels, which an encoder here has to read.
        image_encoder: That encoder; by default convolutions with `filters` and
            `dilations`.
        colour_filters: Of those convolutions: features of colours alone that each place
            has besides, and then the others are learned from images of any hue.
        kind: `recurrent` or `transformer`, of the decoder.
        encoder_layers: Layers of self-attention over the grid, where the decoder looks
            at it.
        attention: Of a recurrent decoder, see `RecurrentDecoder`. With none mean and
            maximum of the grid are its first input (Vinyals et al. 2015,
            https://arxiv.org/abs/1411.4555), at one length; else its first state (Xu et
            al. 2015, https://arxiv.org/abs/1502.03044, section 3.1.2).
        max_length: Longest caption in pieces, for learned positions.
        word_detection: Also tell which pieces each place of the grid shows, for
            `word_detection_loss`.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}.")
    width = embedding_units or units
    image = keras.Input(tuple(image_shape), name="image")
    grid = image
    if image_encoder is not None:
        grid = image_encoder(image)
    elif pixels:
        grid = _see(image, filters, dropout, dilations, colour_filters)
    looks = kind == "transformer" or attention != "none"
    places = _places(grid, looks)  # (B, S, D)
    target = TokenEmbedding(vocabulary_size, width, name="pieces")
    target_ids = keras.Input([None], dtype="int32", name="target_ids")
    starts: dict[str, Any] = {}
    stack = {
        "num_heads": num_heads,
        "feed_forward_units": feed_forward_units,
        "norm": norm,
        "normalizer": normalizer,
        "dropout": dropout,
    }
    if kind == "recurrent":
        whole = _whole(grid, dropout)  # (B, 2 D)
        if looks:
            memory = _memory(places, units, encoder_layers, stack)  # (B, S, units)
            starts["initial_state"] = _states(whole, units, num_layers, cell)
        else:
            memory = keras.layers.Identity(name="memory")(places)
            starts["first_input"] = _first_input(whole, width)
        decoder = RecurrentDecoder(
            vocabulary_size,
            units,
            num_layers,
            cell,
            attention,
            score,
            normalizer,
            dropout=dropout,
            embedding=target,
            tied=tied,
            scheduled_sampling=scheduled_sampling,
            scheduled_sampling_ramp=scheduled_sampling_ramp,
            name="decoder",
        )
    else:
        memory = _look_around(places, units, encoder_layers, stack)  # (B, S, units)
        decoder = TransformerDecoder(
            vocabulary_size,
            units,
            num_layers=num_layers,
            position=position,
            # One more, for the begin piece.
            max_length=max_length + 1 if position == "learned" else None,
            embedding=target,
            tied=tied,
            name="decoder",
            **stack,
        )
    logits, weights = decoder(target_ids, memory, **starts)
    outputs = {"logits": logits, "attention": weights}
    if word_detection:
        outputs["words"] = _detect(grid, vocabulary_size)
    inputs = {"image": image, "target_ids": target_ids}
    return Captioner(inputs, outputs, name="captioner")


def _see(image, filters, dropout, dilations, colour_filters):
    """The grid `(B, G, K, D)` of an image, by convolutions from scratch.

    Seen together, shapes and colours are learned together: a green ring, if none is in
    training, would be taken for one of the things that are.
    """
    convolutions = ConvolutionalEncoder(filters, dropout, dilations, name="eye")
    if not colour_filters:
        return convolutions(image)
    shapes = convolutions(RandomHue(name="hue")(image))
    cell = 2 ** len(filters)
    colours = ColourEncoder(colour_filters, cell, name="colours")(image)
    return keras.layers.Concatenate(name="seen")([shapes, colours])


def _places(grid, looks):
    """The places `(B, S, D)` of a grid `(B, G, K, D)`, each knowing where it is.

    Where nothing looks at them they stay as they are, without weights to be trained.
    """
    position = GridPosition if looks else keras.layers.Identity
    grid = position(name="grid")(grid)
    return keras.layers.Reshape((-1, grid.shape[-1]))(grid)  # (B, S, D)


def _memory(places, units, encoder_layers, stack):
    """What a recurrent decoder looks at, `(B, S, units)`.

    Large features would saturate the gates and scores that they go into.
    """
    places = keras.layers.LayerNormalization(name="places")(places)
    if encoder_layers > 0:
        return _look_around(places, units, encoder_layers, stack)
    places = keras.layers.Dropout(stack["dropout"])(places)
    return keras.layers.Dense(units, name="memory")(places)


def _whole(grid, dropout):
    """One vector `(B, 2 D)` of an image: mean and maximum of its `(B, G, K, D)` places.

    The mean alone hardly differs where a small thing stands on a plain ground.
    """
    mean = keras.layers.GlobalAveragePooling2D(name="mean")(grid)
    most = keras.layers.GlobalMaxPooling2D(name="most")(grid)
    joined = keras.layers.Concatenate(name="joined")([mean, most])
    whole = keras.layers.LayerNormalization(name="whole")(joined)
    return keras.layers.Dropout(dropout)(whole)


def _first_input(whole, width):
    """What an image is read as, `(B, width)`, of one length.

    Else what all images share grows while the decoder learns which words there are, and
    shuts the gates to the rest.
    """
    seen = keras.layers.Dense(width, name="looked")(whole)
    norm = keras.layers.LayerNormalization(
        center=False, scale=False, name="first_input"
    )
    return norm(seen)


def _states(whole, units, num_layers, cell) -> list:
    """First states `(B, units)` of each layer, by the whole of the grid."""
    parts = ("h", "c") if cell == "lstm" else ("h",)
    names = [f"state_{part}_{n}" for n in range(num_layers) for part in parts]
    return [
        keras.layers.Dense(units, activation="tanh", name=name)(whole) for name in names
    ]


def _detect(grid, vocabulary_size):
    """Logits `(B, V)` of pieces, each where the grid shows it best."""
    places = keras.layers.Reshape((-1, grid.shape[-1]))(grid)  # (B, S, D)
    # Most pieces are in few captions.
    rare = keras.initializers.Constant(-3.0)
    seen = keras.layers.Dense(vocabulary_size, bias_initializer=rare, name="words")
    most = keras.layers.GlobalMaxPooling1D(dtype="float32", name="most_words")
    return most(seen(places))  # (B, V)


def _look_around(places, units, num_layers, stack):
    """Memory `(B, S, units)` after self-attention between the places."""
    places = keras.layers.Dropout(stack["dropout"])(places)
    memory = keras.layers.Dense(units, name="projection")(places)
    if num_layers == 0:
        return keras.layers.LayerNormalization(name="memory")(memory)
    encoder = TransformerEncoder(
        num_layers=num_layers, position="none", name="memory", **stack
    )
    return encoder(memory)


def doubly_stochastic_penalty(attention, labels):
    """How unevenly the grid was looked at, summed over the captions.

        sum_i (1 - sum_t attention[t, i])^2

    Args:
        attention: `(B, T, S)`.
        labels: `(B, T)` integers, padded with 0; padded steps do not count.

    Returns:
        Scalar float32.

    Reference: Xu et al. 2015, https://arxiv.org/abs/1502.03044, equation 14.
    """
    real = ops.cast(ops.not_equal(labels, 0), "float32")[..., None]  # (B, T, 1)
    looked = ops.sum(ops.cast(attention, "float32") * real, axis=1)  # (B, S)
    return ops.sum(ops.square(1.0 - looked))


def word_detection_loss(words, common, rare):
    """How badly images tell which pieces all their captions have, summed over images.

        sum_v BCE([v in common], max over places of words[place, v])

    for all v but those in rare, which nothing in the image tells. What is there is
    detected much sooner than it is said at its turn, and then a decoder has something
    to look at.

    Args:
        words: `(B, V)` logits, the maximum over the places.
        common: `(B, M)` integers, the pieces that all captions of an image have, padded
            with 0.
        rare: `(B, R)` integers, those that only some have, padded with 0.

    Returns:
        Scalar float32.

    Reference: Fang et al. 2015, https://arxiv.org/abs/1411.4952, section 3, which takes
    a noisy-OR over the places where here their maximum stands; Joulin et al. 2016,
    https://arxiv.org/abs/1511.02251 (learning to see from the words of captions).
    """
    words = ops.cast(words, "float32")
    size = ops.shape(words)[1]
    has, may_have = (
        ops.sum(ops.one_hot(pieces, size, dtype="float32"), axis=1)  # (B, V)
        for pieces in (common, rare)
    )
    losses = ops.binary_crossentropy(has, words, from_logits=True)
    return ops.sum((losses * (1.0 - may_have))[:, 1:])  # 0 is no piece
