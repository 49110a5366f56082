"""Every setting there is: its type, its bounds, its default and what it is for.

The sections mirror the YAML files in `configs/`. A config is frozen: the pipelines read
it and hand plain arguments to the tasks, which never see it. How values are found in
files and on the command line is `settings.py`; how a wrong one is explained is
`config_check.py`.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
PositiveOrZero = Annotated[float, Field(ge=0)]
Name = Annotated[str, Field(min_length=1)]


class Section(BaseModel):
    """A group of settings: no unknown keys, no silent conversions, no later changes."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False
    )


class DataConfig(Section):
    """Which sentences are read, and how."""

    corpus: Literal["conll2003", "wnut17", "ud_ewt", "synthetic"] | None = Field(
        None, description="a corpus that seqloom fetches; unused once `train` is set"
    )
    train: Name | None = Field(None, description="a training file of your own")
    dev: Name | None = Field(
        None, description="a validation file of your own; goes with `train` and `test`"
    )
    test: Name | None = Field(
        None, description="a test file of your own; goes with `train` and `dev`"
    )
    format: Literal["auto", "conll", "conllu"] = Field(
        "auto", description="how the files are laid out; auto goes by their name"
    )
    token_column: CountOrZero = Field(
        0, description="CoNLL: the column of the word, counted from 0"
    )
    tag_column: int | Name | None = Field(
        None,
        description="the column of the tag: a number (-1: the last), a name such as "
        "UPOS, or null",
    )
    scheme: Literal["auto", "iob1", "iob2", "bioes", "none"] = Field(
        "auto", description="how the tags mark spans; none means they mark words alone"
    )
    on_error: Literal["stop", "skip"] = Field(
        "stop", description="at a malformed sentence: stop, or skip and count it"
    )
    limit: Count | None = Field(
        None, description="read only this many sentences of every split"
    )
    max_length: Count = Field(
        256, description="training leaves out sentences of more tokens than this"
    )

    @model_validator(mode="after")
    def _own_files_come_together(self) -> Self:
        files = {"train": self.train, "dev": self.dev, "test": self.test}
        given = [f"data.{name}" for name, path in files.items() if path]
        missing = [f"data.{name}" for name, path in files.items() if not path]
        if given and missing:
            raise ValueError(
                f"{' and '.join(given)} set but not {' and '.join(missing)}: files of "
                "your own come as all three. Set the rest, or leave them all null and "
                "name a data.corpus"
            )
        if not given and not self.corpus:
            raise ValueError(
                "there is nothing to learn from: data.corpus and data.train are both "
                "null. Set data.corpus=conll2003, or data.train, data.dev and data.test"
            )
        return self


class TaggingModelConfig(Section):
    """The tagger: word features, a recurrent encoder, an output layer."""

    word_units: Count = Field(100, description="width of a word's embedding")
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
    num_layers: Count = Field(1, description="recurrent layers on top of each other")
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
        None, description="sentences of one replica's batch at the most"
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
    ] = Field("adamw", description="a Keras optimizer")
    optimizer_options: dict[str, bool | int | float | str] = Field(
        default_factory=dict,
        description="more of the optimizer's arguments, such as {momentum: 0.9}",
    )
    learning_rate: Positive = Field(0.003, description="the highest learning rate")
    weight_decay: PositiveOrZero = Field(
        0.0, description="decoupled weight decay at every update"
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
    patience: Count | None = Field(
        None, description="stop after this many validations without a better value"
    )
    checkpoint_steps: Count | None = Field(
        None, description="save every so many steps, besides every epoch"
    )
    keep_checkpoints: Count = Field(2, description="how many of the newest are kept")


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
    """One experiment, whole."""

    task: Name = Field(description="what is learned: ner, pos")
    name: Name = Field("custom", description="the config's name; finds its runs again")
    seed: CountOrZero = Field(1, description="seed of weights, dropout and data order")
    runs_dir: Name = Field("runs", description="the folder that holds all runs")
    data: DataConfig
    model: TaggingModelConfig = Field(default_factory=TaggingModelConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    tracking: TrackingConfig = Field(default_factory=TrackingConfig)


# The settings of `model` go by the task; a new shape of task adds its section here
# and to the annotation of `Config.model`.
MODELS: dict[str, type[Section]] = {
    "ner": TaggingModelConfig,
    "pos": TaggingModelConfig,
}


def sections(task: str) -> dict[str, type[Section]]:
    """The groups of settings of `task` and what each may hold."""
    return {
        "data": DataConfig,
        "model": MODELS[task],
        "training": TrainingConfig,
        "tracking": TrackingConfig,
    }
