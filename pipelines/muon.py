"""Muon: matrices learn by updates that turn and do not stretch."""

import keras
from keras import ops

# Layers that score what a model gives out: each column there is a class of its own.
OUTPUTS = ("labels", "logits", "tags", "words")


@keras.saving.register_keras_serializable(package="seqloom")
class Muon(keras.optimizers.Muon):
    """Muon for the kernels inside a model, AdamW for all other weights.

        M = momentum M + gradient
        W = W - rate 0.2 sqrt(max(n, m)) orthogonal(gradient + momentum M)

    where orthogonal(U S V') = U V' of the n x m matrix, about, by five steps of Newton
    and Schulz. Its size is that of an update by AdamW, so the same learning rate and
    weight decay fit both.

    Keras' own leaves convolutions to AdamW, and takes every other matrix. Here a
    convolution's kernel is one matrix, `(rows * columns * inputs, filters)`, and what
    is looked up or added (embeddings, positions) and what scores the outputs is left to
    AdamW, as its author advises.

    Args:
        learning_rate: Of both.
        weight_decay: Of both.
        arguments: More of `keras.optimizers.Muon`: momentum, ns_steps, adam_beta_2.

    Reference: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; the size:
    Liu et al. 2025, https://arxiv.org/abs/2502.16982, equation 4.
    """

    def __init__(self, learning_rate=0.001, weight_decay=None, **arguments):
        super().__init__(
            learning_rate,
            weight_decay=weight_decay,
            adam_weight_decay=weight_decay,
            **arguments,
        )

    def get_config(self):
        config = super().get_config()
        del config["adam_weight_decay"]
        return config

    def _should_use_adamw(self, variable):
        *layers, name = variable.path.split("/")
        inside = not layers or layers[-1] not in OUTPUTS
        kernel = name.endswith("kernel") and len(variable.shape) in (2, 4)
        return not (kernel and inside)

    def zeropower_via_newtonschulz5(self, x, steps):
        matrix = ops.reshape(x, (-1, x.shape[-1]))  # (n, m)
        return ops.reshape(super().zeropower_via_newtonschulz5(matrix, steps), x.shape)

    def lr_adjust(self, x):
        matrix = ops.reshape(x, (-1, x.shape[-1]))  # (n, m)
        return ops.reshape(super().lr_adjust(matrix), x.shape)
