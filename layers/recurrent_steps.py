"""Keras' recurrent layers, with the inputs of all steps multiplied at once.

Keras multiplies them step by step, which costs little forward; but backward it adds up
a kernel's gradient at every step. Off cuDNN a training is a fifth faster this way. Only
the order of summation differs from Keras, and weights keep their names and shapes.
"""

import keras
from keras import ops


class ProjectedLoop(keras.layers.RNN):
    """What Keras' layers fall back to where there is no cuDNN.

    Stands behind a Keras layer in the order of base classes. The layer must have Keras'
    default activations and biases, and no dropout inside the cell.
    """

    steps: type

    def __init__(self, cell, **kwargs):
        super().__init__(cell, **kwargs)
        cell.__class__ = self.steps  # the same weights, other steps

    def inner_loop(self, sequences, initial_state, mask, training=False):
        projected = self.cell.project(sequences)  # (B, T, gates * U)
        return super().inner_loop(projected, initial_state, mask, training)


class SimpleSteps(keras.layers.SimpleRNNCell):
    def project(self, inputs):
        return ops.matmul(inputs, self.kernel) + self.bias

    def call(self, sequence, states, training=False):
        state = ops.tanh(sequence + ops.matmul(states[0], self.recurrent_kernel))
        return state, [state]


class LSTMSteps(keras.layers.LSTMCell):
    def project(self, inputs):
        return ops.matmul(inputs, self.kernel) + self.bias

    def call(self, inputs, states, training=False):
        before, memory = states
        gates = inputs + ops.matmul(before, self.recurrent_kernel)
        enter, keep, candidate, leave = ops.split(gates, 4, axis=-1)
        memory = ops.sigmoid(keep) * memory + ops.sigmoid(enter) * ops.tanh(candidate)
        state = ops.sigmoid(leave) * ops.tanh(memory)
        return state, [state, memory]


class GRUSteps(keras.layers.GRUCell):
    def project(self, inputs):
        return ops.matmul(inputs, self.kernel) + self.bias[0]

    def call(self, inputs, states, training=False):
        before = states[0]
        recurrent = ops.matmul(before, self.recurrent_kernel) + self.bias[1]
        input_parts = ops.split(inputs, 3, axis=-1)
        recurrent_parts = ops.split(recurrent, 3, axis=-1)
        keep, reset = (
            ops.sigmoid(one + two)
            for one, two in zip(input_parts[:2], recurrent_parts[:2], strict=True)
        )
        candidate = ops.tanh(input_parts[2] + reset * recurrent_parts[2])
        state = keep * before + (1 - keep) * candidate
        return state, [state]


@keras.saving.register_keras_serializable(package="seqloom")
class SimpleRNN(keras.layers.SimpleRNN, ProjectedLoop):
    steps = SimpleSteps


@keras.saving.register_keras_serializable(package="seqloom")
class LSTM(keras.layers.LSTM, ProjectedLoop):
    steps = LSTMSteps


@keras.saving.register_keras_serializable(package="seqloom")
class GRU(keras.layers.GRU, ProjectedLoop):
    steps = GRUSteps
