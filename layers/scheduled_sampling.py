"""Scheduled sampling: in training, a decoder reads some of its own tokens."""

import keras
from keras import ops

from seqloom.layers.arguments import check_positive, check_share


@keras.saving.register_keras_serializable(package="seqloom")
class ScheduledSampling(keras.layers.Layer):
    """Decide where a decoder in training reads the token it would have written.

    In call number i, from 1 on, each token but the first is, independently, the
    decoder's own with probability

        share * min(1, i / ramp)

    The number of calls is a weight that is not trained, so a training that goes on
    later goes on from there.

    Shapes: B batch, T target steps.

    Args:
        share: Probability in the end, from 0 to 1.
        ramp: Calls over which it rises from 0, in a straight line.

    Call arguments:
        targets: `(B, T)` tokens; only their shape matters.

    Returns:
        own `(B, T)` bool, where the decoder's own token is read, and uniform `(B, T)`
        float32 in [0, 1), which decides what it would have written.

    Reference: Bengio et al. 2015, https://arxiv.org/abs/1506.03099, section 2.4 (the
    linear schedule).
    """

    def __init__(self, share, ramp=1, **kwargs):
        super().__init__(**kwargs)
        check_share(self, share=share)
        check_positive(self, ramp=ramp)
        self.share = share
        self.ramp = ramp
        self.seeds = keras.random.SeedGenerator()

    def build(self, targets_shape):
        # Without aggregation each replica counts its calls: they are called together,
        # and a nested function may not wait for other replicas.
        self.calls = self.add_weight(
            name="calls",
            shape=(),
            dtype="int32",
            initializer="zeros",
            trainable=False,
            aggregation="none",
        )

    def call(self, targets):
        shape = ops.shape(targets)
        self.calls.assign_add(1)
        risen = ops.minimum(1.0, ops.cast(self.calls, "float32") / self.ramp)
        chosen = keras.random.uniform(shape, seed=self.seeds) < self.share * risen
        later = ops.arange(shape[1]) > 0  # (T,)
        return chosen & later, keras.random.uniform(shape, seed=self.seeds)

    def compute_output_spec(self, targets):
        return (
            keras.KerasTensor(targets.shape, dtype="bool"),
            keras.KerasTensor(targets.shape, dtype="float32"),
        )

    def get_config(self):
        return {**super().get_config(), "share": self.share, "ramp": self.ramp}
