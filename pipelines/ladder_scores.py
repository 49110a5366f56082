"""What the runs of a ladder tell: scores over time and by length, and how sure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seqloom.pipelines.ladder_figures import Curve, Length
from seqloom.pipelines.rungs import Rung
from seqloom.tasks.significance import compare_translations
from seqloom.tasks.translation_metrics import LAST_LENGTHS


def curve(rung: Rung, metric: str) -> Curve:
    """The validations of a run, and its test score."""
    history = rung.run.history() if rung.run else []
    points = [row for row in history if row.get(f"val_{metric}") is not None]
    pace = (rung.minutes or 0.0) / max(rung.training.get("steps", 0), 1)
    return Curve(
        rung.title,
        [_minutes(row, pace) for row in points],
        [row[f"val_{metric}"] for row in points],
        rung.minutes,
        rung.test[metric],
    )


def _minutes(row: Mapping[str, Any], pace: float) -> float:
    """When a validation was; where it was not noted, all steps count alike."""
    return row["seconds"] / 60 if "seconds" in row else row["step"] * pace


def scores_by_length(rung: Rung) -> dict[str, Length]:
    """The test score for each range of source lengths; empty if it is not known.

    It is BLEU of translations, and the share of right labels or tags of all else.
    """
    per_type = rung.metrics.get("test_per_type") or {}
    if per_type and all("bleu" in row for row in per_type.values()):
        return {
            name: Length(row["bleu"], row["count"]) for name, row in per_type.items()
        }
    counts: dict[str, list[int]] = {}
    for row in predictions(rung):
        words = row.get("tokens") or row.get("text", "").split()
        answers = row["reference"], row["prediction"]
        pairs = [answers] if isinstance(answers[0], str) else list(zip(*answers))
        group = counts.setdefault(_range(len(words)), [0, 0, 0])
        group[0] += sum(truth == guess for truth, guess in pairs)
        group[1] += len(pairs)
        group[2] += 1
    ordered = sorted(counts, key=lambda name: int(name.rstrip("+").split("-")[0]))
    return {
        name: Length(counts[name][0] / max(counts[name][1], 1), counts[name][2])
        for name in ordered
    }


def _range(words: int) -> str:
    """The range of lengths that so many words are in, such as `6-10` or `31+`."""
    first = 1
    for last in LAST_LENGTHS:
        if words <= last:
            return f"{first}-{last}"
        first = last + 1
    return f"{first}+"


def predictions(rung: Rung) -> Iterator[dict[str, Any]]:
    """The rows of a run's predictions of the test split; none if they are gone."""
    path = rung.run.predictions_dir / "test.jsonl" if rung.run else None
    if path is None or not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def differences(rungs: Sequence[Rung], metric: str) -> list[str]:
    """A line for each config and the one before: which is better, and how surely.

    Of BLEU alone, by paired bootstrap resampling of the test sentences.
    """
    if metric != "bleu":
        return []
    rows = [list(predictions(rung)) for rung in rungs]
    return [
        _difference(rungs[i - 1], rungs[i], rows[i - 1], rows[i])
        for i in range(1, len(rungs))
    ]


def _difference(before: Rung, after: Rung, rows: list, other_rows: list) -> str:
    names = f"{after.title} and {before.title}"
    try:
        bleu = compare_translations(rows, other_rows)["bleu"]
    except (ValueError, KeyError):
        return (
            f"{names} cannot be compared sentence by sentence: one of them has no "
            "predictions, or the two have those of other sentences."
        )
    low, high = bleu["low"], bleu["high"]
    numbers = f"{bleu['difference']:+.1f} BLEU, 95 % interval {low:.1f} to {high:.1f}"
    if low <= 0 <= high:
        return f"{names} are not clearly apart: {numbers}."
    word = "better" if low > 0 else "worse"
    return f"{after.title} is {word} than {before.title}: {numbers}."
