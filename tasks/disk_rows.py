"""Ragged rows of numbers in a file, for what memory cannot hold."""

import os
import tempfile
from collections.abc import Iterable

import numpy as np

from seqloom.tasks.records import DataError

Chunk = tuple[np.ndarray, np.ndarray]
"""The values `(V,)` of some rows, one row after the other, and their lengths `(n,)`."""


class DiskRows:
    """Rows `(N, (T))` of numbers, written once and read from the disk ever after.

        values   [5, 7, 7, 9, 1, ...]    in one file
        offsets  [0, 2, 3, 5, ...]       in another; row n is
                                         values[offsets[n] : offsets[n + 1]]

    The files lie where temporary files do (`TMPDIR`). They have no name, so they are
    gone with this object, and with the process, even one that is killed. Rows can be
    read by several threads at a time.

    Args:
        chunks: Some rows at a time, in order.
        dtype: Of the values.

    Raises:
        DataError: There is no room for the files.
    """

    def __init__(self, chunks: Iterable[Chunk], dtype):
        self.dtype = np.dtype(dtype)
        # Open as long as the rows are read: there is no block that could close them.
        self._values = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        offsets = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        end = np.zeros([1], np.int64)
        _write(offsets, end)
        for values, lengths in chunks:
            _write(self._values, values.astype(self.dtype, copy=False))
            ends = end + np.cumsum(lengths, dtype=np.int64)  # (n,)
            _write(offsets, ends)
            end = ends[-1:] if len(ends) else end
        # As a plain array, since each slice of a memmap is slow to make.
        self._offsets = np.asarray(np.memmap(offsets, np.int64, "r"))  # (N + 1,)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def row_lengths(self) -> np.ndarray:
        """`(N,)` int64."""
        return np.diff(self._offsets)

    def span(self, first: int, last: int) -> tuple[bytes, list[int]]:
        """The bytes of the rows from `first` up to `last`, which is not among them.

        And where each of them begins, and the last one ends, counted in values.
        """
        offsets = self._offsets[first : last + 1].tolist()
        start = offsets[0]
        return self._bytes(start, offsets[-1]), [end - start for end in offsets]

    def take(self, rows: np.ndarray) -> Chunk:
        """The rows of `(B,)` numbers, in that order."""
        starts, ends = self._offsets[rows], self._offsets[rows + 1]
        parts = map(self._bytes, starts.tolist(), ends.tolist())
        return np.frombuffer(b"".join(parts), self.dtype), ends - starts

    def _bytes(self, start: int, end: int) -> bytes:
        # No memmap: what was read once would count as memory of this process.
        size = self.dtype.itemsize
        return os.pread(self._values.fileno(), (end - start) * size, start * size)


def _write(file, numbers: np.ndarray) -> None:
    left = memoryview(numbers.tobytes())
    try:
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        raise DataError(
            f"{tempfile.gettempdir()}: cannot hold the training data, which is kept "
            f"there as it may not fit into memory ({error.strerror}). Make room, or "
            "set the environment variable TMPDIR to a folder on a larger disk."
        ) from error
