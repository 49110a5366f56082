"""From the final states of an encoder to the first states of a decoder."""

import keras
from keras import ops

from seqloom.layers.arguments import check_choice, check_positive
from seqloom.layers.recurrent import CELLS


@keras.saving.register_keras_serializable(package="seqloom")
class RecurrentBridge(keras.layers.Layer):
    """Turn the states an encoder ends with into those a decoder begins with.

        h_n = tanh(W_n [forward h; backward h] + b_n)
        c_n = W'_n [forward c; backward c] + b'_n

    Decoder layer n takes the states of encoder layer n, or of the last one there is.

    Shapes: B batch, U units, E units of the encoder.

    Args:
        units: Width U of the decoder's states.
        num_layers: Layers of the decoder.
        cell: Of encoder and decoder: `"simple"`, `"lstm"` or `"gru"`.
        bidirectional: Whether the encoder is.

    Call arguments:
        states: List of `(B, E)`, as `RecurrentEncoder` with `return_state` gives them:
            for each layer, for each direction, h, and for LSTM then c.

    Returns:
        List of `(B, U)`: for each layer of the decoder h, and for LSTM then c.

    Reference: Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473, A.2.2 (there from
    the backward state alone).
    """

    def __init__(self, units, num_layers=1, cell="gru", bidirectional=True, **kwargs):
        super().__init__(**kwargs)
        check_positive(self, units=units, num_layers=num_layers)
        check_choice(self, "cell", cell, CELLS)
        self.units = units
        self.num_layers = num_layers
        self.cell = cell
        self.bidirectional = bidirectional
        self.dense_layers = [
            keras.layers.Dense(
                units,
                activation="tanh" if part == 0 else None,
                dtype=self.dtype_policy,
                name=f"{name}_{number}",
            )
            for number in range(num_layers)
            for part, name in enumerate(self._parts)
        ]

    @property
    def _parts(self):
        """Names of the states of a layer; the second is the LSTM's memory cell."""
        return ("h", "c") if self.cell == "lstm" else ("h",)

    def _joined(self, states, axis_of):
        """For each state of the decoder, those of the encoder that it comes from."""
        parts, directions = len(self._parts), 2 if self.bidirectional else 1
        per_layer = parts * directions
        if len(states) % per_layer or not states:
            raise ValueError(
                f"RecurrentBridge with cell={self.cell!r} and bidirectional="
                f"{self.bidirectional} takes {per_layer} states for each encoder "
                f"layer, got {len(states)} in all. Give it those of a "
                "RecurrentEncoder with the same arguments and return_state=True."
            )
        last = len(states) // per_layer - 1
        return [
            axis_of(states[min(number, last) * per_layer :][:per_layer][part::parts])
            for number in range(self.num_layers)
            for part in range(parts)
        ]

    def build(self, states_shape):
        widths = self._joined(
            states_shape, lambda shapes: sum(shape[-1] for shape in shapes)
        )
        for dense, width in zip(self.dense_layers, widths, strict=True):
            dense.build((None, width))

    def call(self, states):
        joined = self._joined(states, lambda parts: ops.concatenate(parts, axis=-1))
        return [
            dense(state) for dense, state in zip(self.dense_layers, joined, strict=True)
        ]

    def compute_output_shape(self, states_shape):
        return [(states_shape[0][0], self.units)] * len(self.dense_layers)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "num_layers": self.num_layers,
            "cell": self.cell,
            "bidirectional": self.bidirectional,
        }
