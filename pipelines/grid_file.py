"""An array of features in a file that is whole or not there, with what it is of."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqloom.pipelines.errors import UserError
from seqloom.pipelines.sources import file_sha256

_HEADER_BYTES = 4096  # more than the two headers have


class DamagedGrids(Exception):
    """The file is there, and is not what was written."""


@dataclass(frozen=True)
class GridFile:
    """Features `(M, G, K, D)` float16 of images, kept under a key.

        <key>.npy     the array, as numpy reads it
        <key>.json    written last: what the array is of, and the sha256 of its file

    Attributes:
        folder: Where both are.
        key: Changes with whatever changes the array.
    """

    folder: Path
    key: str

    @property
    def array_path(self) -> Path:
        return self.folder / f"{self.key}.npy"

    @property
    def facts_path(self) -> Path:
        return self.folder / f"{self.key}.json"

    def read(self) -> np.ndarray | None:
        """The array, mapped into memory and read-only; None where there is none.

        Raises:
            DamagedGrids: It is not as it was written.
        """
        if not self.facts_path.is_file():
            return None
        try:
            facts = json.loads(self.facts_path.read_text(encoding="utf-8"))
            expected, actual = facts["sha256"], file_sha256(self.array_path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DamagedGrids(f"{type(error).__name__}: {error}") from error
        if actual != expected:
            raise DamagedGrids(f"sha256 {actual}, expected {expected}")
        return self._mapped()

    def write(
        self,
        shape: tuple[int, ...],
        batches: Iterable[np.ndarray],
        facts: Mapping[str, object],
    ) -> np.ndarray:
        """Write the array batch by batch, in place of one that may be there.

        Args:
            shape: Of the whole array.
            batches: `(B, G, K, D)` float16, `M` rows in all.
            facts: What it is of, for people who look into the folder.

        Returns:
            As `read`.

        Raises:
            UserError: There is no room, or the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.facts_path.unlink(missing_ok=True)
            self.array_path.unlink(missing_ok=True)
            self._check_room(shape)
            with _temporary(self.folder) as temporary:
                _write_array(temporary, shape, batches)
                sha256 = file_sha256(temporary)
                temporary.replace(self.array_path)
            with _temporary(self.folder) as temporary:
                facts = {**facts, "shape": shape, "sha256": sha256}
                text = json.dumps(facts, indent=2) + "\n"
                temporary.write_text(text, encoding="utf-8")
                temporary.replace(self.facts_path)
        except OSError as error:
            raise UserError(
                f"Cannot keep the features of images in {self.folder}: {error}. Free "
                "some space or set SEQLOOM_CACHE to a folder that can be written."
            ) from error
        return self._mapped()

    def _mapped(self) -> np.ndarray:
        return np.load(self.array_path, mmap_mode="r", allow_pickle=False)

    def _check_room(self, shape: tuple[int, ...]) -> None:
        needed = int(np.prod(shape, dtype=np.int64)) * 2 + _HEADER_BYTES
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise UserError(
                f"The features of {shape[0]:,} images need {needed:,} bytes, and "
                f"{self.folder} has {free:,} bytes free. Free some space, set "
                "SEQLOOM_CACHE to a folder on a larger disk, or make data.image_size "
                "smaller."
            )


def _write_array(path: Path, shape: tuple[int, ...], batches) -> None:
    # No memmap: where a disk is full, writing to one ends the process.
    header = {"descr": "<f2", "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for batch in batches:
            file.write(batch.astype("<f2", copy=False).tobytes())


@contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    """A file in `folder` that is gone afterwards, unless it was renamed."""
    handle, name = tempfile.mkstemp(dir=folder, prefix=".encoding-")
    os.close(handle)
    Path(name).chmod(0o644)  # others may share the cache
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
