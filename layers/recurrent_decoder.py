"""The recurrent decoder: from what an encoder read to a sequence of tokens."""

from typing import Any

import keras
from keras import ops

from seqloom.layers.arguments import check_choice, check_dropout, check_positive
from seqloom.layers.attention import Attention
from seqloom.layers.decoder_state import DecoderState
from seqloom.layers.embedding import TokenEmbedding
from seqloom.layers.logits import TokenLogits
from seqloom.layers.masking import apply_mask
from seqloom.layers.recurrent import CELLS
from seqloom.layers.sampling import draw_tokens
from seqloom.layers.scheduled_sampling import ScheduledSampling
from seqloom.layers.unroll import unroll

ATTENTIONS = ("none", "first_layer", "input_feeding")


@keras.saving.register_keras_serializable(package="seqloom")
class RecurrentDecoder(keras.layers.Layer):
    """Write a sequence token by token, with or without a look at the memory.

    With y_t the embedded token, s_t^n the state of layer n and c_t the context that
    attention gives for a query:

        none           h_t = Recurrent(y_t, s_{t-1}),           o_t = h_t
        first_layer    c_t from the query s_{t-1}^1,
                       h_t = Recurrent([y_t; c_t], s_{t-1}),    o_t = tanh(W [c_t; h_t])
        input_feeding  h_t = Recurrent([y_t; o_{t-1}], s_{t-1}),
                       c_t from the query h_t,                  o_t = tanh(W [c_t; h_t])

        logits_t = TokenLogits(o_t)

    Layers above the first read the state of the one below, and with first_layer the
    context too. Without attention all that a decoder knows of the source is the state
    it begins with.

    Shapes: B batch, T target steps, S source steps, D features of the memory, U units,
    V vocabulary, N hypotheses (see `DecoderState`).

    Args:
        vocabulary_size: Number of ids V.
        units: Width U of the states.
        num_layers: Recurrent layers on top of each other.
        cell: `"simple"`, `"lstm"` or `"gru"`.
        attention: `"none"`, `"first_layer"` or `"input_feeding"`.
        score, normalizer: As in `Attention`; the additive score is U wide.
        dropout: Share of the features that is dropped from the inputs of every layer
            and from o_t. Between the layers one choice is kept for all steps.
        embedding: A `TokenEmbedding` to share with an encoder; by default a new one, U
            wide.
        tied: Score the tokens by the table of the embedding; see `TokenLogits`.
        scheduled_sampling, scheduled_sampling_ramp: The share and ramp of a
            `ScheduledSampling`: in training, so many tokens are its own instead of the
            targets. No gradient flows through what it wrote.

    Call arguments:
        targets: `(B, T)` int32 tokens written so far, the begin token first, padded
            with 0 on the right.
        memory: `(B, S, D)`, what the encoder read; or `(R, S, D)`, each row of it read
            by B / R targets, one after the other; then memory_mask, initial_state and
            first_input have R rows as well.
        memory_mask: `(B, S)` bool, True at real steps. Defaults to the mask of memory.
        initial_state: List of `(B, U)`, for each layer h, and for LSTM then c, such as
            `RecurrentBridge` gives. By default zeros.

        first_input: `(B, E)` in the width of the embedding, read before the first token
            as if it were one, such as an image. By default nothing.

    Returns:
        logits `(B, T, V)` float32 of the token after each, and attention `(B, T, S)`
        float32, which is all 0 without attention.

    Masking: what stands at masked steps of the memory never matters, nor what comes
    later in the targets.

    `begin` and `step` give the same, token by token.

    Reference: Sutskever et al. 2014, https://arxiv.org/abs/1409.3215 (none);
    Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473, equations 4 to 6, and
    Wu et al. 2016, https://arxiv.org/abs/1609.08144, section 3 (first_layer);
    Luong et al. 2015, https://arxiv.org/abs/1508.04025, equation 5 and section 3.3
    (input_feeding); Vinyals et al. 2015, https://arxiv.org/abs/1411.4555, equation 10
    (first_input).
    """

    def __init__(
        self,
        vocabulary_size,
        units,
        num_layers=1,
        cell="gru",
        attention="first_layer",
        score="additive",
        normalizer="softmax",
        dropout=0.0,
        embedding=None,
        tied=True,
        scheduled_sampling=0.0,
        scheduled_sampling_ramp=1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(self, units=units, num_layers=num_layers)
        check_choice(self, "cell", cell, CELLS)
        check_choice(self, "attention", attention, ATTENTIONS)
        check_dropout(self, dropout)
        policy = self.dtype_policy
        self.units = units
        self.cell = cell
        self.attention = attention
        self.score = score
        self.normalizer = normalizer
        self.dropout = dropout
        self.tied = tied
        self.embedding = embedding or TokenEmbedding(
            vocabulary_size, units, dtype=policy, name="embedding"
        )
        self.layers = [
            CELLS[cell](
                units,
                return_sequences=True,
                dtype=policy,
                name=f"layer_{number}",
            )
            for number in range(num_layers)
        ]
        self.looking: Any = None
        if attention != "none":
            self.looking = Attention(
                score,
                normalizer,
                units if score == "additive" else None,
                length_bias=normalizer == "sigmoid",
                dtype=policy,
                name="attention",
            )
            self.join = keras.layers.Dense(
                units, activation="tanh", dtype=policy, name="join"
            )
        self.logits = TokenLogits(
            vocabulary_size,
            self.embedding if tied else None,
            dtype=policy,
            name="logits",
        )
        self.input_dropout = keras.layers.Dropout(dropout, dtype=policy)
        self.output_dropout = keras.layers.Dropout(dropout, dtype=policy)
        self.layer_dropouts = [
            keras.layers.SpatialDropout1D(dropout, dtype=policy)
            for _ in self.layers[1:]
        ]
        self.sampling: Any = None
        if scheduled_sampling:
            self.sampling = ScheduledSampling(
                scheduled_sampling, scheduled_sampling_ramp, name="sampling"
            )

    @property
    def use_cudnn(self):
        """`"auto"` (default), True or False: how the LSTM and GRU layers use cuDNN."""
        return getattr(self.layers[0], "use_cudnn", False)

    @use_cudnn.setter
    def use_cudnn(self, value):
        for layer in self.layers:
            if hasattr(layer, "use_cudnn"):  # SimpleRNN never uses it
                layer.use_cudnn = value

    def build(self, targets_shape, memory_shape, initial_state_shape=None):
        if not self.embedding.built:
            self.embedding.build(targets_shape)
        width, features = self.embedding.units, memory_shape[-1]
        fed = {"none": 0, "first_layer": features, "input_feeding": self.units}
        for number, layer in enumerate(self.layers):
            below = width if number == 0 else self.units
            if number == 0 or self.attention == "first_layer":
                below += fed[self.attention]
            layer.build((None, None, below))
        if self.looking is not None:
            self.looking.build((None, None, self.units), memory_shape)
            self.join.build((None, features + self.units))
        self.logits.build((None, None, self.units))
        if self.sampling is not None:
            self.sampling.build(targets_shape)

    # === All steps at once ===

    def call(
        self,
        targets,
        memory,
        memory_mask=None,
        initial_state=None,
        first_input=None,
        training=None,
    ):
        inputs = self.input_dropout(self.embedding(targets), training=training)
        state = self.begin(memory, memory_mask, initial_state, first_input)
        state = state.for_each(ops.shape(targets)[0])
        if self.sampling is not None and training:
            features, attention = self._read_own(targets, state)
        elif self.looking is None:
            features = self._read(inputs, state.own["layers"], training)
            steps = (*ops.shape(targets), ops.shape(memory)[1])
            attention = ops.zeros(steps, dtype="float32")  # (B, T, S)
        else:
            features, attention = self._look_and_read(inputs, state, training)
        return self.logits(self.output_dropout(features, training=training)), attention

    def _read(self, sequence, states, training):
        """Without attention no step waits for another layer: `(B, T, U)`."""
        dropouts = [None, *self.layer_dropouts]
        for layer, dropout, first in zip(self.layers, dropouts, states, strict=True):
            if dropout is not None:
                sequence = dropout(sequence, training=training)
            sequence = layer(sequence, initial_state=first, training=training)
        return sequence

    def _look_and_read(self, inputs, state, training):
        """Features `(B, T, U)` and attention `(B, T, S)`, step by step."""
        kept = self._kept(ops.shape(inputs)[0], training)

        def step(token, own):
            features, own, weights = self._advance(token, own, state.shared, kept)
            return [features, weights], own

        return unroll(step, inputs, state.own, self._widths())

    def _read_own(self, targets, state):
        """As `_look_and_read`, but reading some of what it would have written."""
        rows, steps = ops.shape(targets)
        kept = self._kept(rows, training=True)
        ones = ops.ones((rows, steps, self.embedding.units), self.compute_dtype)
        inputs = (
            targets,
            *self.sampling(targets),
            self.input_dropout(ones, training=True),
        )

        def step(given, carried):
            target, is_own, uniform, kept_inputs = given
            own, features = carried
            written = draw_tokens(self.logits(features), uniform)
            token = ops.where(is_own, written, ops.cast(target, "int32"))
            token = self.embedding(token) * kept_inputs  # (B, E)
            features, own, weights = self._advance(token, own, state.shared, kept)
            return [features, weights], (own, features)

        nothing = ops.zeros((rows, self.units), self.compute_dtype)
        return unroll(step, inputs, (state.own, nothing), self._widths())

    def _kept(self, rows, training):
        """What each layer but the first gets its inputs multiplied by, `(B, U)`."""
        ones = ops.ones((rows, 1, self.units), self.compute_dtype)
        return [
            dropout(ones, training=training)[:, 0] for dropout in self.layer_dropouts
        ]

    def _widths(self):
        return [(self.compute_dtype, self.units), ("float32", None)]

    # === One step ===

    def begin(self, memory, memory_mask=None, initial_state=None, first_input=None):
        """The state before the first token; see `DecoderState`."""
        rows = ops.shape(memory)[0]
        nothing = ops.zeros((rows, self.units), self.compute_dtype)
        parts = 2 if self.cell == "lstm" else 1
        flat = initial_state or [nothing] * (parts * len(self.layers))
        if len(flat) != parts * len(self.layers):
            raise ValueError(
                f"RecurrentDecoder with {len(self.layers)} {self.cell} layers begins "
                f"with {parts * len(self.layers)} states, got {len(flat)}. Give it "
                "those of a RecurrentBridge with as many layers of the same cell."
            )
        flat = [ops.cast(state, self.compute_dtype) for state in flat]
        layers = [flat[first : first + parts] for first in range(0, len(flat), parts)]
        own = {"layers": layers}
        if self.attention == "input_feeding":
            own["fed"] = nothing
        memory = apply_mask(ops.cast(memory, self.compute_dtype), memory_mask)
        shared = {"memory": memory}
        if self.looking is not None:
            shared["keys"] = self.looking.keys(memory)
        if memory_mask is not None:
            shared["mask"] = memory_mask
        if first_input is not None:
            first_input = ops.cast(first_input, self.compute_dtype)
            _, own, _ = self._advance(first_input, own, shared)
        return DecoderState(shared, own)

    def step(self, tokens, state):
        """Logits `(N, V)`, the state after `(N,)` tokens, and attention `(N, S)`."""
        inputs = self.embedding(tokens)  # (N, E)
        features, own, weights = self._advance(inputs, state.own, state.shared)
        return self.logits(features), DecoderState(state.shared, own), weights

    def _advance(self, inputs, own, shared, kept=None):
        """Features `(N, U)`, own state and attention `(N, S)` after `(N, E)` inputs.

        `kept` is what each layer but the first gets its inputs multiplied by.
        """
        context = weights = None
        if self.attention == "first_layer":
            context, weights = self._look(own["layers"][0][0], shared)
            inputs = ops.concatenate([inputs, context], axis=-1)
        elif self.attention == "input_feeding":
            inputs = ops.concatenate([inputs, own["fed"]], axis=-1)
        features, layers = self._step_layers(inputs, own["layers"], context, kept)
        if self.looking is None:
            size = (ops.shape(features)[0], ops.shape(shared["memory"])[1])
            return features, {"layers": layers}, ops.zeros(size, dtype="float32")
        if self.attention == "input_feeding":
            context, weights = self._look(features, shared)
        features = self.join(ops.concatenate([context, features], axis=-1))
        own = {"layers": layers}
        if self.attention == "input_feeding":
            own["fed"] = features
        return features, own, weights

    def _step_layers(self, inputs, states, context, kept):
        after = []
        for number, (layer, before) in enumerate(zip(self.layers, states, strict=True)):
            if number and kept is not None:
                inputs = inputs * kept[number - 1]
            if number and context is not None:
                inputs = ops.concatenate([inputs, context], axis=-1)
            inputs, state = layer.cell.call(layer.cell.project(inputs), before)
            after.append(state)
        return inputs, after

    def _look(self, query, shared):
        """Context `(N, D)` and weights `(N, S)`: all queries of a source at once."""
        memory = shared["memory"]
        rows = ops.shape(memory)[0]
        # -1 would not tell the number of queries where there is no row.
        each = ops.shape(query)[0] // ops.maximum(rows, 1)
        queries = ops.reshape(query, (rows, each, self.units))  # (B, K, U)
        mask = shared.get("mask")
        visible = None if mask is None else mask[:, None]  # (B, 1, S)
        context, weights = self.looking.attend(queries, shared["keys"], memory, visible)
        context = ops.reshape(context, (rows * each, memory.shape[-1]))  # (N, D)
        return context, ops.reshape(weights, (rows * each, ops.shape(memory)[1]))

    # === Keras ===

    def compute_mask(self, targets, mask=None):
        return None, None

    def compute_output_shape(self, targets_shape, memory_shape, **_):
        logits = (*targets_shape, self.logits.vocabulary_size)
        return [logits, (*targets_shape, memory_shape[1])]

    def compute_output_spec(
        self,
        targets,
        memory,
        memory_mask=None,
        initial_state=None,
        first_input=None,
        training=None,
    ):
        shapes = self.compute_output_shape(targets.shape, memory.shape)
        return tuple(keras.KerasTensor(shape, dtype="float32") for shape in shapes)

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.logits.vocabulary_size,
            "units": self.units,
            "num_layers": len(self.layers),
            "cell": self.cell,
            "attention": self.attention,
            "score": self.score,
            "normalizer": self.normalizer,
            "dropout": self.dropout,
            "embedding": keras.saving.serialize_keras_object(self.embedding),
            "tied": self.tied,
            "scheduled_sampling": self.sampling.share if self.sampling else 0.0,
            "scheduled_sampling_ramp": self.sampling.ramp if self.sampling else 1,
        }

    @classmethod
    def from_config(cls, config):
        embedding = keras.saving.deserialize_keras_object(config["embedding"])
        return cls(**{**config, "embedding": embedding})
