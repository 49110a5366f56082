"""`make bench`: what is fast and what is not, on this computer, on real texts.

    python benchmarks/bench.py [startup] [training] [bucketing] [tracking] [serving]
                               [finetuning]

Machines differ and drift, so the sides of a comparison take turns in one run, and the
median of the ratios is what counts. README.md here says what the numbers mean.
"""

import os
import sys
import tempfile
from pathlib import Path

from startup import measure_startup

from seqloom.pipelines.engine import import_engine

PARTS = ("startup", "training", "bucketing", "tracking", "serving", "finetuning")


def main() -> None:
    chosen = sys.argv[1:] or PARTS
    unknown = set(chosen) - set(PARTS)
    if unknown:
        sys.exit(f"error: no part {sorted(unknown)}. There are: {', '.join(PARTS)}.")
    print(f"Load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if "startup" in chosen:
        measure_startup()
    if set(chosen) - {"startup"}:
        measure_model(chosen)


def measure_model(chosen) -> None:
    import_engine()

    from finetuning import compare_finetuning

    from seqloom.pipelines.strategy import build_strategy, describe

    strategy = build_strategy("one_device")
    print(f"Devices: {describe(strategy)}")
    if set(chosen) - {"startup", "finetuning"}:
        measure_tagger(chosen, strategy)
    if "finetuning" in chosen:
        compare_finetuning(strategy)


def measure_tagger(chosen, strategy) -> None:
    import training
    from serving import compare_serving

    from seqloom.pipelines.catalogue import build_task
    from seqloom.pipelines.data import load_splits
    from seqloom.pipelines.settings import resolve

    config = resolve("ner").config
    splits = load_splits(config.data, "ner")
    task = build_task(config, spans=True)
    task.fit_vocabulary(splits.train)
    examples = task.examples(splits.train)
    for part in ("training", "bucketing", "tracking"):
        if part in chosen:
            getattr(training, f"compare_{part}")(task, examples, strategy, config)
    if "serving" in chosen:
        with tempfile.TemporaryDirectory() as folder:
            compare_serving(task, splits, Path(folder))


if __name__ == "__main__":
    main()
