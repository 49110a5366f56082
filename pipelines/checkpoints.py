"""Checkpoints: every number that decides how a training goes on, in one file.

`checkpoint-<step>.npz` holds the arrays, `checkpoint-<step>.json` the plain values and
the sha256 of the arrays. Both are written beside their place and renamed, the JSON
last: a checkpoint without it does not count.
"""

import hashlib
import json
import os
from pathlib import Path

import keras
import numpy as np

from seqloom.pipelines.errors import UserError


class Checkpoints:
    """The checkpoints of one run, of which the newest `keep` stay.

    Args:
        folder: Where they are; made when the first is saved.
        variables: By name, the lists of variables to save: weights, optimizer slots,
            averages, and the seeds of dropout (which tf.train.Checkpoint forgets).
        keep: How many to keep.
    """

    def __init__(self, folder: Path, variables: dict[str, list], keep: int = 2):
        self.folder = folder
        self.variables = variables
        self.keep = keep

    def save(self, step: int, values: dict) -> None:
        """Write one checkpoint, then drop the oldest. OSError leaves the others be."""
        self.folder.mkdir(parents=True, exist_ok=True)
        arrays_path = self.folder / f"checkpoint-{step:08d}.npz"
        temporary = arrays_path.with_suffix(".tmp")
        try:
            with temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **self._arrays())
                file.flush()
                os.fsync(file.fileno())
            content = {"sha256": _sha256(temporary), "step": step, "values": values}
            temporary.replace(arrays_path)
            write_json(arrays_path.with_suffix(".json"), content)
        except OSError:
            temporary.unlink(missing_ok=True)
            if not arrays_path.with_suffix(".json").exists():
                arrays_path.unlink(missing_ok=True)
            raise
        for old in self.paths()[: -self.keep]:
            old.unlink()
            old.with_suffix(".npz").unlink(missing_ok=True)

    def paths(self) -> list[Path]:
        """JSON files of the finished checkpoints, oldest first."""
        return sorted(self.folder.glob("checkpoint-*.json"))

    def values(self) -> list[dict]:
        """The plain values of the finished checkpoints, oldest first."""
        contents = (_read(path) for path in self.paths())
        return [content["values"] for content in contents if content]

    def restore(self, say=print) -> dict | None:
        """Load the newest intact checkpoint; None if there is none at all.

        Returns:
            The plain values it was saved with.
        """
        found = self.paths()
        for path in reversed(found):
            problem, content = _inspect(path)
            if content is not None:
                self._assign(path.with_suffix(".npz"))
                return content["values"]
            say(f"Checkpoint {path.with_suffix('.npz')} is damaged ({problem}).")
        if found:
            raise UserError(
                f"No checkpoint in {self.folder} is intact: all {len(found)} are "
                "damaged, so this run cannot go on. Start a new one without RESUME."
            )
        return None

    def mean(self, group: str, count: int) -> list[np.ndarray]:
        """The mean of each variable of a group over the newest intact checkpoints.

        Args:
            count: How many checkpoints there may be at the most.
        """
        intact = [path for path in self.paths() if _inspect(path)[1] is not None]
        sums: list[np.ndarray] = []
        for path in intact[-count:]:
            with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
                names = sorted(n for n in arrays.files if n.startswith(f"{group}/"))
                values = [arrays[name].astype(np.float64) for name in names]
            sums = [a + b for a, b in zip(sums, values)] if sums else values
        return [total / len(intact[-count:]) for total in sums]

    def _arrays(self) -> dict[str, np.ndarray]:
        return {
            f"{group}/{index:04d}": keras.ops.convert_to_numpy(variable)
            for group, variables in self.variables.items()
            for index, variable in enumerate(variables)
        }

    def _assign(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as arrays:
            expected = {name: value.shape for name, value in self._arrays().items()}
            saved = {name: arrays[name].shape for name in arrays.files}
            if saved != expected:
                names = sorted(
                    name
                    for name in {*saved, *expected}
                    if saved.get(name) != expected.get(name)
                )
                raise UserError(
                    f"Checkpoint {path} does not fit this model: {names[0]} is "
                    f"{saved.get(names[0], 'absent')} there and "
                    f"{expected.get(names[0], 'absent')} here. Resume with the code "
                    "and packages that began the run."
                )
            for group, variables in self.variables.items():
                for index, variable in enumerate(variables):
                    variable.assign(arrays[f"{group}/{index:04d}"])


def write_json(path: Path, content) -> None:
    """Write JSON so that a reader sees the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _inspect(path: Path) -> tuple[str, dict | None]:
    """What is wrong with a checkpoint, or its content."""
    arrays_path = path.with_suffix(".npz")
    content = _read(path)
    if content is None:
        return "its JSON cannot be read", None
    if not arrays_path.exists():
        return "the arrays are missing", None
    if _sha256(arrays_path) != content["sha256"]:
        return "its bytes are not those that were written", None
    return "", content


def _read(path: Path) -> dict | None:
    """The JSON of a checkpoint, or None if it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {key: content[key] for key in ("sha256", "step", "values")}
    except (ValueError, KeyError, TypeError):
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
