"""Every setting there is: its type, its bounds, its default and what it is for.

The sections mirror the YAML files in `configs/`; those that differ from task to task
are in `config_data.py`, `config_pairs.py`, `config_captions.py` and
`config_models.py`. A config is frozen:
the pipelines read it and hand plain arguments to the tasks, which never see it. How
values are found in files and on the command line is `settings.py`; how a wrong one is
explained is `config_check.py`.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from seqloom.pipelines.config_captions import CaptionDataConfig
from seqloom.pipelines.config_data import DataConfig, TextDataConfig
from seqloom.pipelines.config_fields import (
    Count,
    CountOrZero,
    Name,
    Positive,
    PositiveOrZero,
    Section,
)
from seqloom.pipelines.config_models import (
    CaptioningModelConfig,
    ClassificationModelConfig,
    TaggingModelConfig,
    TranslationModelConfig,
)
from seqloom.pipelines.config_pairs import PairDataConfig

__all__ = [
    "DATA",
    "MODELS",
    "CaptionDataConfig",
    "CaptioningModelConfig",
    "ClassificationModelConfig",
    "Config",
    "DataConfig",
    "PairDataConfig",
    "Section",
    "TaggingModelConfig",
    "TextDataConfig",
    "TrackingConfig",
    "TrainingConfig",
    "TranslationModelConfig",
    "sections",
]


class TrainingConfig(Section):
    """The training loop."""

    strategy: Literal["auto", "one_device", "mirrored", "multi_worker"] = Field(
        "auto",
        description="auto: TF_CONFIG means multi_worker, several GPUs mean mirrored",
    )
    logical_devices: Count | None = Field(
        None, description="split the CPU into this many devices, to try mirrored on"
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "float32", description="what the layers compute in"
    )
    jit_compile: bool = Field(False, description="compile the step with XLA")
    deterministic: bool = Field(
        False, description="the same run twice gives the same bits; slower"
    )
    steps_per_call: Count = Field(
        1, description="steps run in the graph before Python is asked again"
    )
    epochs: Count = Field(40, description="how often the training split is read")
    max_steps: Count | None = Field(None, description="stop after this many steps")
    batch_tokens: Count = Field(
        1024, description="tokens of one replica's batch, padding included"
    )
    max_rows: Count | None = Field(
        None, description="sentences or texts of one replica's batch at the most"
    )
    by_length: bool = Field(
        True, description="a batch holds examples of about the same length"
    )
    accumulation: Count = Field(
        1, description="batches whose gradients are added up before one update"
    )
    optimizer: Literal[
        "adam",
        "adamw",
        "sgd",
        "rmsprop",
        "nadam",
        "adamax",
        "adagrad",
        "adadelta",
        "adafactor",
        "lion",
        "muon",
    ] = Field("adamw", description="a Keras optimizer, or muon")
    optimizer_options: dict[str, bool | int | float | str] = Field(
        default_factory=dict,
        description="more of the optimizer's arguments, such as {momentum: 0.9}",
    )
    learning_rate: Positive = Field(0.003, description="the highest learning rate")
    encoder_learning_rate: Positive | None = Field(
        None,
        description="that of a pretrained encoder; null: the same as of all the rest",
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0,
        description="learning rate of each pretrained layer relative to the one above "
        "it; 1: all alike",
    )
    weight_decay: PositiveOrZero = Field(
        0.0,
        description="decoupled weight decay at every update, but of biases and norms",
    )
    clip_norm: Positive | None = Field(
        5.0, description="the longest gradient, over all weights; null never clips"
    )
    schedule: Literal["constant", "cosine", "linear", "inverse_square_root"] = Field(
        "cosine", description="how the learning rate falls after the warm-up"
    )
    warmup_steps: CountOrZero = Field(
        200, description="steps in which the learning rate rises from 0"
    )
    ema: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="decay of the averaged weights that are evaluated and kept"
    )
    monitor: Name = Field(
        "loss", description="the validation metric that says which weights are best"
    )
    validate_epochs: Count = Field(
        1, description="validate after every so many epochs, and after the last"
    )
    patience: Count | None = Field(
        None, description="stop after this many validations without a better value"
    )
    checkpoint_steps: Count | None = Field(
        None, description="save every so many steps, besides every epoch"
    )
    keep_checkpoints: Count = Field(2, description="how many of the newest are kept")
    average_checkpoints: Count | None = Field(
        None,
        description="at the end, try the mean of the weights of so many of the newest",
    )
    start_from: Name | None = Field(
        None, description="a run whose vocabulary and weights are learned on from"
    )

    @model_validator(mode="after")
    def _averaged_checkpoints_are_kept(self) -> Self:
        if (self.average_checkpoints or 0) > self.keep_checkpoints:
            raise ValueError(
                f"training.average_checkpoints={self.average_checkpoints} but only "
                f"training.keep_checkpoints={self.keep_checkpoints} are kept. Keep as "
                "many"
            )
        return self


class TrackingConfig(Section):
    """What MLflow is told, and where it lives."""

    enabled: bool = Field(True, description="log the run to MLflow")
    uri: Name | None = Field(
        None,
        description="the MLflow store; null: MLFLOW_TRACKING_URI, or else "
        "<runs_dir>/mlflow.db",
    )
    experiment: Name | None = Field(
        None, description="the MLflow experiment; null: the task's name"
    )
    system_metrics: bool = Field(True, description="log processor and memory use")
    log_every_steps: Count = Field(20, description="steps between two logged losses")


class Config(Section):
    """One experiment, whole.

    Which sections stand under `data` and `model` goes by the task: see `sections`.
    """

    task: Name = Field(description="what is learned, such as ner or captioning")
    name: Name = Field("custom", description="the config's name; finds its runs again")
    seed: CountOrZero = Field(1, description="seed of weights, dropout and data order")
    runs_dir: Name = Field("runs", description="the folder that holds all runs")
    data: DataConfig | TextDataConfig | PairDataConfig | CaptionDataConfig
    model: (
        TaggingModelConfig
        | ClassificationModelConfig
        | TranslationModelConfig
        | CaptioningModelConfig
    )
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    tracking: TrackingConfig = Field(default_factory=TrackingConfig)


# The settings of `data` and `model` go by the task; a new shape of task adds its
# sections here and to the annotations in `Config`.
DATA: dict[str, type[Section]] = {
    "ner": DataConfig,
    "pos": DataConfig,
    "sentiment": TextDataConfig,
    "translation": PairDataConfig,
    "captioning": CaptionDataConfig,
}
MODELS: dict[str, type[Section]] = {
    "ner": TaggingModelConfig,
    "pos": TaggingModelConfig,
    "sentiment": ClassificationModelConfig,
    "translation": TranslationModelConfig,
    "captioning": CaptioningModelConfig,
}


def sections(task: str) -> dict[str, type[Section]]:
    """The groups of settings of `task` and what each may hold."""
    return {
        "data": DATA[task],
        "model": MODELS[task],
        "training": TrainingConfig,
        "tracking": TrackingConfig,
    }
