"""The exported tagger against spaCy's pipeline for the CPU, on the same raw texts."""

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import tensorflow as tf
from turns import in_turn, report

from seqloom.pipelines.export import export

ROUNDS = 5
BATCH_TEXTS = 1024
SINGLE_TEXTS = 200
SPACY_TRAINING_SECONDS = 20


def compare_serving(task, splits, folder: Path) -> None:
    """Words a second and milliseconds a sentence of both, by turns, on the test split.

    The model has random weights: its speed does not depend on them.

    Args:
        task: A tagging task with its vocabulary.
        folder: An empty one, for the export.
    """
    texts = [" ".join(record.tokens) for record in splits.test]
    words = sum(len(record.tokens) for record in splits.test)
    tagger = ExportedTagger(task, folder)
    measures = [
        lambda: words / tagger.text_seconds(texts),
        lambda: words / tagger.token_seconds(splits.test),
    ]
    print(
        f"serving: {len(texts):,} texts, {words:,} words, {BATCH_TEXTS} texts a batch"
    )
    if importlib.util.find_spec("spacy") is None:
        print("serving: spaCy is not installed: `make bench` installs it")
        _report_ours(in_turn(measures, ROUNDS))
        report("serving", "seqloom, one sentence, ms", tagger.single_ms(texts))
        return
    with SpacyWorker(splits.train, texts, folder) as spacy:
        measures += [
            lambda: words / spacy.ask(processes=1)["seconds"],
            lambda: words / spacy.ask(processes=2)["seconds"],
        ]
        ours, tokens, one, two = in_turn(measures, ROUNDS)
        single_spacy = 1000 * spacy.ask(single=SINGLE_TEXTS)["seconds"]
    _report_ours([ours, tokens])
    report("serving", f"spaCy {spacy.version}, words/s", one)
    report("serving", f"spaCy {spacy.version}, two processes, words/s", two)
    report("serving", "seqloom, raw texts / spaCy", ours.over(one))
    report("serving", "seqloom, one sentence, ms", tagger.single_ms(texts))
    report("serving", "spaCy, one sentence, ms", single_spacy)


def _report_ours(sides) -> None:
    for name, side in zip(("raw texts", "tokens"), sides, strict=True):
        report("serving", f"seqloom, {name}, words/s (>= 30,000)", side)


class ExportedTagger:
    """A SavedModel, loaded as a user would."""

    def __init__(self, task, folder: Path):
        saved = export(task.serving_module(task.build_model()), folder)
        self._model = tf.saved_model.load(str(saved))
        self._signatures = self._model.signatures

    def text_seconds(self, texts: list[str]) -> float:
        label = self._signatures["serving_default"]
        started = time.perf_counter()
        for first in range(0, len(texts), BATCH_TEXTS):
            label(texts=tf.constant(texts[first : first + BATCH_TEXTS]))
        return time.perf_counter() - started

    def token_seconds(self, records) -> float:
        label = self._signatures["tokens"]
        started = time.perf_counter()
        for first in range(0, len(records), BATCH_TEXTS):
            rows = [record.tokens for record in records[first : first + BATCH_TEXTS]]
            label(
                words=tf.constant([word for row in rows for word in row]),
                row_lengths=tf.constant([len(row) for row in rows], tf.int64),
            )
        return time.perf_counter() - started

    def single_ms(self, texts: list[str]) -> float:
        label, times = self._signatures["serving_default"], []
        for text in texts[:SINGLE_TEXTS]:
            started = time.perf_counter()
            label(texts=tf.constant([text]))
            times.append(time.perf_counter() - started)
        return 1000 * sorted(times)[len(times) // 2]


class SpacyWorker:
    """`spacy_worker.py` in a process, which rests while others are measured."""

    def __init__(self, sentences, texts: list[str], folder: Path):
        path = folder / "spacy.json"
        train = [[record.tokens, record.tags] for record in sentences]
        content = json.dumps({"train": train, "texts": texts})
        path.write_text(content, encoding="utf-8")
        script = Path(__file__).with_name("spacy_worker.py")
        print(f"serving: spaCy trains for {SPACY_TRAINING_SECONDS} s", flush=True)
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(path), str(SPACY_TRAINING_SECONDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.version = self._answer()["version"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait()

    def ask(self, **request) -> dict:
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("spaCy's process ended early: see its message above.")
        return json.loads(line)
