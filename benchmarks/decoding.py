"""An exported translator against CTranslate2, and against re-running the prefix.

All have the same weights, translate the same sentences, 128 at a time, and use all
cores. Weights are random, and a bias keeps sentences from ending before a given number
of pieces; or, with the folder of a run, they are trained, and sentences just end.
"""

import importlib.util
import os
import tempfile
import time
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from turns import in_turn, report

from seqloom.layers.decoding_options import BEGIN, END, PADDING
from seqloom.pipelines.ctranslate2_export import read_test_sources
from seqloom.pipelines.data import load_splits
from seqloom.pipelines.settings import resolve
from seqloom.pipelines.trained import load
from seqloom.tasks.ctranslate2_format import (
    NEVER,
    longest_translation,
    save_ctranslate2,
)
from seqloom.tasks.translation import TranslationTask

ROUNDS = 7
SENTENCES = 128
PIECES = 13  # of a translation of Multi30k, on average
SHORTEST, LENGTHS = 2, (16, 64, 256)
MODEL = {
    "kind": "transformer",
    "units": 256,
    "num_layers": 3,
    "num_heads": 4,
    "feed_forward_units": 1024,
}
WANTED = {1: 0.6, 5: 0.5}  # of CTranslate2's speed, by beam


def compare_decoding(run: str | None = None) -> None:
    """Sentences a second of all sides, by turns, and milliseconds a piece.

    Args:
        run: Folder of a run of a Transformer translator.
    """
    with tempfile.TemporaryDirectory() as folder:
        if run is not None:
            trained = load(run)
            texts = read_test_sources(trained.run)
            texts = texts[: max(len(texts) // SENTENCES, 1) * SENTENCES]
            compare_engines(trained.task, trained.model, texts, Path(folder))
            return
        task, texts = random_task()
        model = random_model(task)
        exported = compare_engines(task, model, texts, Path(folder), PIECES)
        compare_rerunning(exported, Rerunning(task, model, texts))
        measure_lengths(exported)


def compare_engines(task, model, texts, folder: Path, pieces=None) -> "Exported":
    """Our SavedModel and CTranslate2, greedily and with a beam of 5."""
    exported = Exported(task, model, texts, folder / "saved_model")
    print(f"decoding: {len(texts):,} texts, {SENTENCES} at a time")
    if importlib.util.find_spec("ctranslate2") is None:
        print("decoding: ctranslate2 is not installed: `make setup` installs it")
        return exported
    other = CTranslate2(task, model, texts, folder / "ctranslate2")
    # The last of our steps writes the end.
    theirs = other.translate(1, pieces and pieces - 1)
    same = np.equal(exported.translate(1, pieces), theirs).mean()
    report("decoding", "greedy translations that are identical, %", 100 * float(same))
    for beam, wanted in WANTED.items():
        ours, theirs = in_turn(
            [partial(side.rate, beam, pieces) for side in (exported, other)], ROUNDS
        )
        report("decoding", f"beam {beam}: seqloom, sentences/s", ours)
        report("decoding", f"beam {beam}: CTranslate2, sentences/s", theirs)
        report("decoding", f"beam {beam}: ratio (>= {wanted})", ours.over(theirs))
    return exported


def compare_rerunning(exported: "Exported", other: "Rerunning") -> None:
    """Greedily, against a decoder that keeps nothing between two steps."""
    for pieces in LENGTHS[:2]:
        ours, theirs = in_turn(
            [partial(side.rate, 1, pieces) for side in (exported, other)], rounds=3
        )
        limit = " (>= 5)" if pieces == LENGTHS[1] else ""
        report(
            "decoding",
            f"seqloom / prefix run again, {pieces} pieces{limit}",
            ours.over(theirs),
        )


def measure_lengths(exported: "Exported") -> None:
    """What one more piece costs all sentences together, as translations grow."""
    sides = in_turn(
        [partial(exported.seconds, 1, pieces) for pieces in (SHORTEST, *LENGTHS)], 3
    )
    first = sides[0].median  # reads the texts
    costs = [
        1000 * (side.median - first) / (pieces - SHORTEST)
        for pieces, side in zip(LENGTHS, sides[1:], strict=True)
    ]
    for pieces, cost in zip(LENGTHS, costs, strict=True):
        report("decoding", f"{pieces} pieces: ms a piece of all sentences", cost)
    report("decoding", f"{LENGTHS[-1]} pieces / {LENGTHS[0]}", costs[-1] / costs[0])


def random_task():
    """A task with a vocabulary of 8,000, and 128 texts, of Multi30k."""
    config = resolve("translation", "multi30k_transformer").config
    splits = load_splits(config.data, "translation")
    task = TranslationTask("translation", vocabulary_size=8000, model=MODEL)
    task.fit_vocabulary(splits.train)
    return task, [record.source for record in splits.test[:SENTENCES]]


def random_model(task):
    """Writes nothing but pieces, and no end until it must."""
    keras.utils.set_random_seed(1)
    model = task.build_model()
    bias = model.decoder.logits.bias
    special = np.isin(np.arange(bias.shape[0]), [PADDING, BEGIN, END])
    bias.assign(np.where(special, NEVER, 0.0))
    return model


class Side:
    """What translates texts, `SENTENCES` at a time.

    `translate` and what follows takes a beam, and how many steps a translation takes;
    with None it ends where it ends.
    """

    def __init__(self, texts: list[str]):
        self._batches = [
            texts[first : first + SENTENCES]
            for first in range(0, len(texts), SENTENCES)
        ]
        self._number = len(texts)

    def translate(self, beam: int, pieces: int | None) -> list[str]:
        """Translations of all texts."""
        return [
            text
            for batch in self._batches
            for text in self._translate_batch(batch, beam, pieces)
        ]

    def seconds(self, beam: int, pieces: int | None) -> float:
        started = time.perf_counter()
        self.translate(beam, pieces)
        return time.perf_counter() - started

    def rate(self, beam: int, pieces: int | None) -> float:
        """Sentences a second."""
        return self._number / self.seconds(beam, pieces)


class Exported(Side):
    """A SavedModel, loaded as a user would, and its signature `search`."""

    def __init__(self, task, model, texts, folder: Path):
        super().__init__(texts)
        module = task.serving_module(model)
        signatures = {"search": module.search}
        tf.saved_model.save(module, str(folder), signatures=signatures)
        self._loaded = tf.saved_model.load(str(folder))

    def _translate_batch(self, texts, beam, pieces):
        outputs = self._loaded.signatures["search"](
            texts=tf.constant(texts),
            beam=tf.constant(beam),
            n_best=tf.constant(1),
            length_penalty=tf.constant(1.0),
            # The end is a step, too. 0: what the run's settings say.
            max_length=tf.constant(pieces - 1 if pieces else 0),
        )
        return [text.decode() for text in outputs["translations"][:, 0].numpy()]


class CTranslate2(Side):
    """The same from texts to texts: SentencePiece, CTranslate2, SentencePiece."""

    def __init__(self, task, model, texts, folder: Path):
        import ctranslate2
        from sentencepiece import SentencePieceProcessor

        super().__init__(texts)
        folder.mkdir()
        save_ctranslate2(model, task, folder)
        self._translator = ctranslate2.Translator(
            str(folder),
            compute_type="float32",
            inter_threads=1,
            intra_threads=os.cpu_count(),
        )
        self._source, self._target = (
            SentencePieceProcessor(model_file=str(folder / f"{side}.model"))
            for side in ("source", "target")
        )
        self._longest = longest_translation(model, task)

    def _translate_batch(self, texts, beam, pieces):
        results = self._translator.translate_batch(
            self._source.encode(texts, out_type=str),
            beam_size=beam,
            min_decoding_length=0,
            max_decoding_length=pieces or self._longest,
        )
        return self._target.decode([result.hypotheses[0] for result in results])


class Rerunning(Side):
    """The same layers in a loop that runs them over all pieces so far at each step.

    It reads the sources once, and scores the last piece only.
    """

    def __init__(self, task, model, texts):
        super().__init__(texts)
        self._task = task
        self._model = model
        self._write = tf.function(self._write_steps, reduce_retracing=True)

    def _translate_batch(self, texts, beam, pieces):
        ids = self._write(tf.constant(texts), tf.constant(pieces))
        return [text.decode() for text in self._task.target.decode(ids).numpy()]

    def _write_steps(self, texts, steps):
        ids, _ = self._task.encode_source(texts)
        source_ids = ids.to_tensor()  # (B, S)
        [memory] = self._model.encode(source_ids)
        mask = source_ids != 0

        def step(written):
            logits = self._score_last(written, memory, mask)
            best = tf.argmax(logits, axis=-1, output_type=tf.int32)
            return [tf.concat([written, best[:, None]], axis=1)]

        begin = tf.fill([tf.size(texts), 1], BEGIN)
        (written,) = tf.while_loop(
            lambda written: tf.shape(written)[1] <= steps,
            step,
            [begin],
            shape_invariants=[tf.TensorShape([None, None])],
        )
        return written[:, 1:]

    def _score_last(self, written, memory, mask):
        decoder = self._model.decoder
        x = decoder.embedding(written) * decoder.units**0.5  # (B, T, D)
        x = decoder.position_layer(x)
        for layer in decoder.layers:
            x, *_ = layer(x, memory, memory_mask=mask)
        return decoder.logits(decoder.final_norm(x[:, -1]))  # (B, V)
