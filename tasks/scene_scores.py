"""What captions of scenes get right, in rows of predictions."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from seqloom.tasks.records import CaptionedImage
from seqloom.tasks.scene_check import SceneCheck, check, summarize
from seqloom.tasks.synthetic_scenes import SceneImage


def scene_columns(record: CaptionedImage | SceneImage, caption: str) -> dict[str, Any]:
    """What a row says of a caption where the scene is known, else nothing.

    `correct` as a whole, `held_out` scenes are of pairs of attributes that training
    never showed; the others are those of `SceneCheck`.
    """
    if not isinstance(record, SceneImage):
        return {}
    found = check(caption, record.scene)
    return {
        "correct": found.correct,
        "held_out": record.held_out,
        **dataclasses.asdict(found),
    }


def scene_values(rows: Sequence[dict]) -> dict[str, float]:
    """`summarize` of rows with such columns; of others nothing."""
    if not rows or "held_out" not in rows[0]:
        return {}
    names = [field.name for field in dataclasses.fields(SceneCheck)]
    checks = [SceneCheck(**{name: row[name] for name in names}) for row in rows]
    values = summarize(checks, [row["held_out"] for row in rows])
    if not any(row["held_out"] for row in rows):
        del values["correct_held_out"]  # there is none, so nothing is right or wrong
    return values
