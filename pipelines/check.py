"""Is this installation, or this change, sound? A task's twins must be learned."""

import tempfile
import time

from seqloom.pipelines import workflow
from seqloom.pipelines.run import Run
from seqloom.pipelines.settings import resolve

WANTED = 0.99
METRICS = ("f1", "exact_match", "correct", "accuracy")  # the first that a task has
COMMON = ("training.ema=null", "tracking.enabled=false")
TEXTS = (
    *COMMON,
    "data.corpus=synthetic",
    "model.word_units=32",
    "model.units=48",
    "model.dropout=0.2",
    "training.epochs=8",
    "training.learning_rate=0.01",
    "training.warmup_steps=10",
)
PAIRS = (
    *COMMON,
    "model.vocabulary_size=400",
    "model.dropout=0.0",
    "model.label_smoothing=0.0",
    "training.monitor=exact_match",
    "training.schedule=cosine",
)
RECURRENT = (
    "model.kind=recurrent",
    "model.units=64",
    "model.num_layers=1",
    "training.epochs=8",
    "training.learning_rate=0.01",
    "training.warmup_steps=20",
)
DECODERS = {
    # All of a sentence has to go through the state: that takes width, though by Muon
    # only half of it, and fewer epochs.
    "LSTM": (
        *RECURRENT,
        "model.cell=lstm",
        "model.attention=none",
        "model.units=128",
        "training.optimizer=muon",
        "training.epochs=16",
        "training.learning_rate=0.006",
    ),
    "GRU with attention": RECURRENT,
    "input feeding": (*RECURRENT, "model.attention=input_feeding"),
    "Transformer": (
        "model.kind=transformer",
        "model.units=64",
        "model.num_layers=2",
        "model.feed_forward_units=128",
        "training.optimizer=muon",
        "training.epochs=8",
        "training.learning_rate=0.003",
        "training.warmup_steps=50",
    ),
}
CIRCLES = (
    *COMMON,
    "data.corpus=circles",
    "data.image_size=48",
    "model.tokenizer=bpe",
    "model.vocabulary_size=330",
    "model.captions_at_once=null",
    "model.filters=[16,32,64]",
    "model.dilations=[1,3]",
    "model.word_detection=10",
    "model.units=64",
    "model.embedding_units=64",
    "model.num_layers=1",
    "model.encoder_layers=0",
    "model.dropout=0.0",
    "training.epochs=10",
    "training.by_length=true",
    "training.optimizer=adamw",
    "training.weight_decay=0.0",
    "training.learning_rate=0.003",
    "training.warmup_steps=20",
    "training.monitor=correct",
)
RECURRENT_WRITER = (
    "model.kind=recurrent",
    "model.dilations=[1]",
    "training.learning_rate=0.005",
)
WRITERS = {
    "LSTM": (*RECURRENT_WRITER, "model.attention=none"),
    "LSTM with attention": RECURRENT_WRITER,
    "Transformer": ("model.kind=transformer", "model.feed_forward_units=128"),
}
TOKENS = {"captioning": 80}  # of all replicas together: 16 captions
# What of a task is learned, and with which settings.
TWINS: dict[str, dict[str, tuple[str, ...]]] = {
    "ner": {"synthetic sentences": TEXTS},
    "pos": {"synthetic sentences": TEXTS},
    "sentiment": {"synthetic texts": TEXTS},
    "translation": {
        f"{twin}, {decoder}": (*PAIRS, *settings, f"data.corpus={twin}")
        for decoder, settings in DECODERS.items()
        for twin in ("copy", "reverse")
    },
    "captioning": {
        f"circles, {writer}": (*CIRCLES, *settings)
        for writer, settings in WRITERS.items()
    },
}


def check(task: str, replicas: int = 1) -> None:
    """Train, evaluate, export and verify the twins of a task; exit with 1 if one fails.

    Args:
        replicas: Logical devices of this machine to train on.
    """
    settings = [f"training.batch_tokens={TOKENS.get(task, 400) // replicas}"]
    if replicas > 1:
        settings += [
            f"training.logical_devices={replicas}",
            "training.strategy=mirrored",
        ]
    passed = [
        _learns(task, twin, [*own, *settings], replicas)
        for twin, own in TWINS[task].items()
    ]
    if not all(passed):
        raise SystemExit(1)


def _learns(task: str, twin: str, settings: list[str], replicas: int) -> bool:
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        resolved = resolve(task, None, [*settings, f"runs_dir={folder}"])
        test = Run(workflow.train(resolved)).metrics()["test"]
    metric = next(name for name in METRICS if name in test)
    seconds = time.perf_counter() - started
    passed = test[metric] >= WANTED
    workflow.console.print(
        f"{'PASSED' if passed else 'FAILED'}: {task} ({twin}) on {replicas} "
        f"replica{'s' * (replicas > 1)}, {metric} {test[metric]:.4f} (wanted {WANTED}),"
        f" {seconds:.0f} s"
    )
    return passed
