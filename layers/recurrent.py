"""Stacks of recurrent layers that read a whole sequence."""

import keras
from keras import ops

from seqloom.layers import recurrent_steps
from seqloom.layers.arguments import check_choice, check_dropout, check_positive
from seqloom.layers.masking import apply_mask, fill_empty_rows

CELLS = {
    "simple": recurrent_steps.SimpleRNN,
    "lstm": recurrent_steps.LSTM,
    "gru": recurrent_steps.GRU,
}


@keras.saving.register_keras_serializable(package="seqloom")
class RecurrentEncoder(keras.layers.Layer):
    """Read a sequence with a stack of (bidirectional) recurrent layers.

        h[0] = sequence
        h[n] = Recurrent_n(dropout(h[n-1], mask))  (+ h[n-1] if residual and as wide)

    Shapes: B batch, T steps, D features, U units, W = 2U when bidirectional else U.

    Args:
        units: Width U of each direction: a bidirectional output is 2U wide.
        num_layers: Layers in the stack.
        cell: `"simple"` (tanh), `"lstm"` or `"gru"`.
        bidirectional: Read in both directions and join the two outputs.
        residual: Add a layer's input to its output where the two are equally wide,
            i.e. always from the second layer on, and in the first where D = W.
        dropout: Share of the features of each layer's input that is dropped. One
            choice per sequence is kept for all of its steps (variational dropout).
        return_state: Also return the final states, for a decoder to begin from.

    Call arguments:
        sequence: `(B, T, D)`.
        mask: `(B, T)` bool, True at real steps, padded on the right (cuDNN takes no
            other). Defaults to the mask that `sequence` carries; without either,
            all steps are real.

    Returns:
        `(B, T, W)`, exactly 0 at masked steps. With `return_state`, a list of it and
        the final states `(B, U)`: for each layer, for each direction (forward
        first), h, and for LSTM then c. A forward state is the one after the last
        real step, a backward state the one after the first step. A row without a
        real step gives zeros everywhere.

    Masking: masked steps are skipped, and the output keeps the mask of `sequence`.

    On a GPU Keras picks the cuDNN kernels where it can, and a graph traced with them
    runs on no CPU (keras#18504): set `use_cudnn = False` before an export.

    Reference: Hochreiter and Schmidhuber 1997 (LSTM), Cho et al. 2014 (GRU,
    https://arxiv.org/abs/1406.1078), Gal and Ghahramani 2016 (dropout,
    https://arxiv.org/abs/1512.05287, section 4, on the inputs).
    """

    def __init__(
        self,
        units,
        num_layers=1,
        cell="lstm",
        bidirectional=True,
        residual=False,
        dropout=0.0,
        return_state=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(self, units=units, num_layers=num_layers)
        check_choice(self, "cell", cell, CELLS)
        check_dropout(self, dropout)
        self.units = units
        self.num_layers = num_layers
        self.cell = cell
        self.bidirectional = bidirectional
        self.residual = residual
        self.dropout = dropout
        self.return_state = return_state
        self.layers = [self._layer(number) for number in range(num_layers)]
        self.dropouts = [
            keras.layers.SpatialDropout1D(dropout, dtype=self.dtype_policy)
            for _ in range(num_layers)
        ]

    def _layer(self, number):
        layer = CELLS[self.cell](
            self.units,
            return_sequences=True,
            return_state=True,
            dtype=self.dtype_policy,
            name=f"layer_{number}",
        )
        if not self.bidirectional:
            return layer
        return keras.layers.Bidirectional(
            layer, dtype=self.dtype_policy, name=f"layer_{number}"
        )

    @property
    def use_cudnn(self):
        """`"auto"` (default), True or False: how the LSTM and GRU layers use cuDNN."""
        return getattr(self._directions()[0], "use_cudnn", False)

    @use_cudnn.setter
    def use_cudnn(self, value):
        for layer in self._directions():
            if hasattr(layer, "use_cudnn"):  # SimpleRNN never uses it
                layer.use_cudnn = value

    def _directions(self):
        if not self.bidirectional:
            return self.layers
        return [
            direction
            for layer in self.layers
            for direction in (layer.forward_layer, layer.backward_layer)
        ]

    @property
    def output_units(self):
        """Width W of the output."""
        return self.units * (2 if self.bidirectional else 1)

    def build(self, sequence_shape):
        for layer in self.layers:
            layer.build(sequence_shape)
            sequence_shape = (*sequence_shape[:-1], self.output_units)

    def call(self, sequence, mask=None, training=None):
        filled = None if mask is None else fill_empty_rows(mask)
        states = []
        for layer, dropout in zip(self.layers, self.dropouts, strict=True):
            dropped = dropout(sequence, training=training)
            outputs, *final = layer(dropped, mask=filled, training=training)
            if self.residual and sequence.shape[-1] == self.output_units:
                outputs = outputs + sequence
            sequence = apply_mask(outputs, mask)  # (B, T, W)
            states += final
        if not self.return_state:
            return sequence
        return [sequence, *(zero_empty_rows(state, mask) for state in states)]

    def compute_mask(self, sequence, mask=None):
        if not self.return_state:
            return mask
        return [mask] + [None] * self.num_states

    @property
    def num_states(self):
        """Tensors in the state: layers x directions x (2 for LSTM, else 1)."""
        return len(self._directions()) * (2 if self.cell == "lstm" else 1)

    def compute_output_shape(self, sequence_shape):
        output = (*sequence_shape[:-1], self.output_units)
        if not self.return_state:
            return output
        return [output] + [(sequence_shape[0], self.units)] * self.num_states

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "num_layers": self.num_layers,
            "cell": self.cell,
            "bidirectional": self.bidirectional,
            "residual": self.residual,
            "dropout": self.dropout,
            "return_state": self.return_state,
        }


def zero_empty_rows(state, mask):
    """Set `(B, U)` state to 0 in the rows where `(B, T)` mask has no real step."""
    if mask is None:
        return state
    real = ops.any(mask, axis=-1, keepdims=True)  # (B, 1)
    return ops.where(real, state, ops.zeros_like(state))
