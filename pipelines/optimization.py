"""Optimizers and learning-rate schedules."""

import math
from collections.abc import Sequence

import keras
from keras import ops

from seqloom.layers import PretrainedEncoder
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.muon import Muon

OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "nadam": keras.optimizers.Nadam,
    "adamax": keras.optimizers.Adamax,
    "adagrad": keras.optimizers.Adagrad,
    "adadelta": keras.optimizers.Adadelta,
    "adafactor": keras.optimizers.Adafactor,
    "lion": keras.optimizers.Lion,
    "muon": Muon,
}
# Weights that are added as biases are, though they have more axes.
POSITIONS = ("rows", "columns")


@keras.saving.register_keras_serializable(package="seqloom")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to a peak, then a decay.

    With progress p = (step - warmup) / (total - warmup), in 0..1:

        constant              peak
        linear                peak (1 - p)
        cosine                peak (1 + cos(pi p)) / 2
        inverse_square_root   peak sqrt(warmup / step), warmup at least 1

    Args:
        peak: The highest rate, reached at the end of the warm-up.
        kind: One of the names above.
        warmup_steps: Steps of the linear rise from 0.
        total_steps: Steps of the whole training.

    Reference: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, eq. 3 (inverse
    square root); Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983, eq. 5.
    """

    def __init__(self, peak: float, kind: str, warmup_steps: int, total_steps: int):
        super().__init__()
        self.peak = peak
        self.kind = kind
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        warmup = float(max(self.warmup_steps, 1))
        if self.kind == "inverse_square_root":
            decay = ops.sqrt(warmup / ops.maximum(step, warmup))
        else:
            decay = self._decay(step)
        rise = (step + 1.0) / warmup
        return self.peak * ops.where(step < self.warmup_steps, rise, decay)

    def _decay(self, step):
        length = float(max(self.total_steps - self.warmup_steps, 1))
        progress = ops.clip((step - self.warmup_steps) / length, 0.0, 1.0)
        if self.kind == "linear":
            return 1.0 - progress
        if self.kind == "cosine":
            return 0.5 * (1.0 + ops.cos(math.pi * progress))
        return ops.ones_like(progress)

    def get_config(self):
        return {
            "peak": self.peak,
            "kind": self.kind,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
        }


def build_optimizer(
    name: str,
    learning_rate: float,
    schedule: str,
    warmup_steps: int,
    total_steps: int,
    weight_decay: float = 0.0,
    options: dict | None = None,
) -> keras.optimizers.Optimizer:
    """Make a Keras optimizer; clipping and averaging are the training loop's."""
    rate: float | WarmupSchedule = learning_rate
    # A plain number stays a variable that Keras callbacks can set.
    if schedule != "constant" or warmup_steps:
        rate = WarmupSchedule(learning_rate, schedule, warmup_steps, total_steps)
    arguments = {**(options or {}), "weight_decay": weight_decay or None}
    if name == "adamw" and not weight_decay:
        name = "adam"  # the same; AdamW would subtract zeros from every weight
    try:
        return OPTIMIZERS[name](rate, **arguments)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"training.optimizer_options={options} does not fit optimizer {name}: "
            f"{error}"
        ) from error


def spare_from_decay(
    optimizer: keras.optimizers.Optimizer, weights: Sequence[keras.Variable]
) -> None:
    """Let no weight decay pull at what is added or scales alone: biases, gains of
    norms, and where a place of a grid is. The optimizer must not be built yet."""
    spared = [
        weight
        for weight in weights
        if len(weight.shape) < 2 or weight.path.split("/")[-1] in POSITIONS
    ]
    optimizer.exclude_from_weight_decay(var_list=spared)


def slow_down_encoder(
    optimizer: keras.optimizers.Optimizer,
    model: keras.Model,
    share: float = 1.0,
    decay: float = 1.0,
) -> None:
    """Let the weights of a model's pretrained encoders learn more slowly.

        rate of a weight = learning rate * share * decay^(number of layers above it)

    The optimizer must be built for the model's trainable weights, in their order.

    Reference: Howard & Ruder 2018, https://arxiv.org/abs/1801.06146, section 3.2
    (discriminative fine-tuning).
    """
    rates = {
        path: share * decay**depth
        for layer in model.layers
        if isinstance(layer, PretrainedEncoder)
        for path, depth in layer.depths().items()
    }
    if all(rate == 1.0 for rate in rates.values()):
        return
    shares = [rates.get(weight.path, 1.0) for weight in model.trainable_variables]
    update = optimizer.update_step

    def update_step(gradient, variable, learning_rate):
        own = shares[optimizer._get_variable_index(variable)]
        return update(gradient, variable, learning_rate * own)

    optimizer.update_step = update_step


def current_rate(optimizer: keras.optimizers.Optimizer) -> float:
    """The learning rate of the next step."""
    return float(ops.convert_to_numpy(optimizer.learning_rate))
