"""Is this installation, or this change, sound? A task's twin must be learned."""

import tempfile
import time

from seqloom.pipelines import workflow
from seqloom.pipelines.run import Run
from seqloom.pipelines.settings import resolve

WANTED = 0.99
SMALL = (
    "data.corpus=synthetic",
    "model.word_units=32",
    "model.units=48",
    "model.dropout=0.2",
    "training.epochs=8",
    "training.batch_tokens=400",
    "training.learning_rate=0.01",
    "training.warmup_steps=10",
    "training.ema=null",
    "tracking.enabled=false",
)


def check(task: str, replicas: int = 1) -> None:
    """Train, evaluate, export and verify the twin of a task; exit with 1 if it fails.

    Args:
        replicas: Logical devices of this machine to train on.
    """
    started = time.perf_counter()
    settings = [*SMALL, f"training.batch_tokens={400 // replicas}"]
    if replicas > 1:
        settings += [
            f"training.logical_devices={replicas}",
            "training.strategy=mirrored",
        ]
    with tempfile.TemporaryDirectory() as folder:
        resolved = resolve(task, None, [*settings, f"runs_dir={folder}"])
        test = Run(workflow.train(resolved)).metrics()["test"]
    metric = "f1" if "f1" in test else "accuracy"
    seconds = time.perf_counter() - started
    passed = test[metric] >= WANTED
    workflow.console.print(
        f"{'PASSED' if passed else 'FAILED'}: {task} on {replicas} "
        f"replica{'s' * (replicas > 1)}, {metric} {test[metric]:.4f} on the synthetic "
        f"twin (wanted {WANTED}), {seconds:.0f} s"
    )
    if not passed:
        raise SystemExit(1)
