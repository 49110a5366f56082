"""Exporting a translator for CTranslate2 into its run directory, and comparing both."""

import importlib.util
import itertools
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqloom.pipelines.errors import UserError
from seqloom.pipelines.run import Run
from seqloom.pipelines.settings import read_resolved
from seqloom.pipelines.trained import Trained, load
from seqloom.pipelines.verify import VerificationError
from seqloom.tasks.ctranslate2_format import longest_translation, save_ctranslate2

FOLDER = "ctranslate2"
# Both compute in 32 bits but not in the same order: a few choices are that close.
IDENTICAL = 0.99
MOST_SENTENCES = 2000
SENTENCES_AT_ONCE = 128


@dataclass(frozen=True)
class Comparison:
    """What two models make of the same sentences.

    Attributes:
        differing: Source, and either translation, where these are not the same.
        sentences: Number of all sentences.
    """

    differing: list[tuple[str, str, str]]
    sentences: int

    @property
    def identical(self) -> float:
        return 1 - len(self.differing) / self.sentences


def export_ctranslate2(run_dir: Path) -> Path:
    """Export a run as `ctranslate2/` in its directory: verified, or nothing changes.

    The greedy translations of the run's test sentences, up to `MOST_SENTENCES`, must
    be the same in 99 of 100 cases; the share goes to metrics.json.

    Raises:
        VerificationError: CTranslate2 translates otherwise than the model in memory.
        UserError: ctranslate2 is not installed, the model is none that it can run, the
            run has no test sentences, or its directory cannot be written.
    """
    _check_package()
    run = Run.open(run_dir)
    task = read_resolved(run.config_path).config.task
    if task != "translation":
        raise UserError(
            f"CTranslate2 runs translators, and {run.folder} is a run of {task}. "
            "Leave the format out: a SavedModel holds any task."
        )
    sources = read_test_sources(run)
    trained = load(run_dir)
    folder = run.folder / FOLDER
    try:
        with tempfile.TemporaryDirectory(prefix=".export-", dir=run.folder) as scratch:
            staged = Path(scratch) / FOLDER
            staged.mkdir()
            _save(trained, staged)
            found = compare_translations(trained, staged, sources)
            check_identical(found)
            shutil.rmtree(folder, ignore_errors=True)
            staged.rename(folder)
    except OSError as error:
        raise UserError(
            f"The model could not be exported into {run.folder}: {error}. Free some "
            "space or set the folder's rights, then export it again."
        ) from error
    share = {"identical": found.identical, "sentences": found.sentences}
    run.add_metrics(ctranslate2=share)
    print(
        f"Exported and verified: {folder}\nOf {found.sentences:,} test sentences "
        f"{found.identical:.2%} have the same greedy translation as in TensorFlow."
    )
    return folder


def compare_translations(
    trained: Trained, folder: Path, sources: Sequence[str]
) -> Comparison:
    """Translate sentences greedily with the model in memory and with an export."""
    translate = trained.task.serving_module(trained.model).with_options(beam=1)
    own: list[str] = []
    for first in range(0, len(sources), SENTENCES_AT_ONCE):
        answers = translate(list(sources[first : first + SENTENCES_AT_ONCE]))
        own += [text.decode() for text in answers["translations"][:, 0].numpy()]
    exported = translate_greedily(trained, folder, sources)
    rows = zip(sources, own, exported, strict=True)
    differing = [row for row in rows if row[1] != row[2]]
    return Comparison(differing, len(sources))


def translate_greedily(
    trained: Trained, folder: Path, sources: Sequence[str]
) -> list[str]:
    """Translations by an export, with nothing but what is in its folder."""
    import ctranslate2  # optional
    from sentencepiece import SentencePieceProcessor

    translator = ctranslate2.Translator(str(folder), compute_type="float32")
    source, target = (
        SentencePieceProcessor(model_file=str(folder / f"{side}.model"))
        for side in ("source", "target")
    )
    task: Any = trained.task
    pieces = [
        row[: task.max_length] for row in source.encode(list(sources), out_type=str)
    ]
    longest = longest_translation(trained.model, task)
    results = translator.translate_batch(
        pieces,
        max_batch_size=SENTENCES_AT_ONCE,
        beam_size=1,
        min_decoding_length=0,
        max_decoding_length=longest,
    )
    # CTranslate2 has one limit for all. Greedily, a lower one just cuts.
    limits = task.search.options(np.array([len(row) + 1 for row in pieces])).max_length
    return [
        target.decode(result.hypotheses[0][: min(int(limit), longest)])
        for result, limit in zip(results, limits, strict=True)
    ]


def check_identical(found: Comparison) -> None:
    """Raise VerificationError if more than one in a hundred differs; one may."""
    if len(found.differing) <= max(1, (1 - IDENTICAL) * found.sentences):
        return
    source, own, exported = found.differing[0]
    raise VerificationError(
        f"CTranslate2 gives {len(found.differing):,} of {found.sentences:,} test "
        f"sentences another greedy translation than the model in memory: {source!r} "
        f"becomes {exported!r}, not {own!r}. The export was thrown away. Install "
        "another version of ctranslate2; if that does not help, the export of this "
        "model is at fault."
    )


def _check_package() -> None:
    if importlib.util.find_spec("ctranslate2") is None:
        raise UserError(
            "Exporting for CTranslate2 needs the package ctranslate2, which is not "
            "installed. Install it: pip install 'seqloom[ctranslate2]'"
        )


def _save(trained: Trained, folder: Path) -> None:
    try:
        save_ctranslate2(trained.model, trained.task, folder)
    except ValueError as error:
        raise UserError(f"{trained.run.folder} cannot be exported: {error}") from error


def read_test_sources(run: Run) -> list[str]:
    """Test sentences of a run, up to `MOST_SENTENCES`.

    Raises:
        UserError: There are none.
    """
    path = run.predictions_dir / "test.jsonl"
    try:
        with path.open(encoding="utf-8") as file:
            lines = itertools.islice(file, MOST_SENTENCES)
            sources = [json.loads(line)["source"] for line in lines]
        if not sources:
            raise ValueError("it is empty")
    except (OSError, ValueError) as error:
        raise UserError(
            f"The export is compared on the sentences of {path}, which cannot be read: "
            f"{error}. Make it again: make evaluate RUN={run.folder}"
        ) from error
    return sources
