"""`make bench`: what is fast and what is not, on this computer, on real texts.

    python benchmarks/bench.py [startup] [training] [bucketing] [tracking] [serving]
                               [finetuning] [translation] [decoding] [--run=FOLDER]

The run, of a Transformer translator, is what `decoding` translates with.

Machines differ and drift, so the sides of a comparison take turns in one run, and the
median of the ratios is what counts. README.md here says what the numbers mean.
"""

import os
import sys
import tempfile
from pathlib import Path

from startup import measure_startup

from seqloom.pipelines.engine import import_engine

TAGGER_PARTS = ("training", "bucketing", "tracking", "serving")
PARTS = (
    "startup",
    *TAGGER_PARTS,
    "finetuning",
    "translation",
    "decoding",
    "captioning",
)
RUN = "--run="


def main() -> None:
    given = sys.argv[1:]
    run = next((word[len(RUN) :] for word in given if word.startswith(RUN)), None)
    chosen = [word for word in given if not word.startswith(RUN)] or PARTS
    unknown = set(chosen) - set(PARTS)
    if unknown:
        sys.exit(f"error: no part {sorted(unknown)}. There are: {', '.join(PARTS)}.")
    print(f"Load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if "startup" in chosen:
        measure_startup()
    if set(chosen) - {"startup"}:
        measure_model(chosen, run)


def measure_model(chosen, run) -> None:
    import_engine()

    from captioning import compare_captioning
    from decoding import compare_decoding
    from finetuning import compare_finetuning
    from translation_training import compare_translation

    from seqloom.pipelines.strategy import build_strategy, describe

    strategy = build_strategy("one_device")
    print(f"Devices: {describe(strategy)}")
    if set(chosen) & set(TAGGER_PARTS):
        measure_tagger(chosen, strategy)
    if "finetuning" in chosen:
        compare_finetuning(strategy)
    if "translation" in chosen:
        compare_translation(strategy)
    if "decoding" in chosen:
        compare_decoding(run)
    if "captioning" in chosen:
        compare_captioning(strategy)


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
