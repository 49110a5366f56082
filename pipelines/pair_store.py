"""Pairs of sentences on disk, for training files that memory cannot hold."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import overload

import numpy as np

from seqloom.tasks.disk_rows import Chunk, DiskRows
from seqloom.tasks.records import SentencePair

# Training files of more bytes are kept on disk. As a list, their pairs would take two
# to three times as much memory.
LARGE_BYTES = 256 * 2**20
GZIP_RATIO = 4  # bytes of a text for one of its gzip, about
PAIRS_AT_ONCE = 1024
_NUM_FIELDS = len(SentencePair._fields)


def is_large(paths: Iterable[Path]) -> bool:
    """Whether the texts of these files, plain or gzipped, are to be kept on disk."""
    return sum(map(_text_bytes, paths)) > LARGE_BYTES


def kept(pairs: Iterable[SentencePair], large: bool) -> Sequence[SentencePair]:
    """The pairs for good: a store of those of large files, else a list."""
    return PairStore(pairs) if large else list(pairs)


class PairStore(Sequence[SentencePair]):
    """A list of pairs that lies on disk; each is read anew when it is asked for.

    It cannot be changed. A slice is a list; iteration reads some pairs at a time.

    Args:
        pairs: Read once, in order.

    Raises:
        DataError: There is no room on the disk; see `DiskRows`.
    """

    def __init__(self, pairs: Iterable[SentencePair]):
        self._texts = DiskRows(_chunks(pairs), np.uint8)  # all fields of a pair in turn

    def __len__(self) -> int:
        return len(self._texts) // _NUM_FIELDS

    @overload
    def __getitem__(self, index: int) -> SentencePair: ...

    @overload
    def __getitem__(self, index: slice) -> list[SentencePair]: ...

    def __getitem__(self, index):
        numbers = range(len(self))[index]
        if isinstance(numbers, int):
            return self._read(numbers, numbers + 1)[0]
        if numbers and numbers.step == 1:
            return self._read(numbers.start, numbers.stop)
        return [self[number] for number in numbers]

    def __iter__(self) -> Iterator[SentencePair]:
        for first in range(0, len(self), PAIRS_AT_ONCE):
            yield from self[first : first + PAIRS_AT_ONCE]

    def _read(self, first: int, last: int) -> list[SentencePair]:
        data, ends = self._texts.span(first * _NUM_FIELDS, last * _NUM_FIELDS)
        texts = (data[a:b].decode("utf-8", "surrogatepass") for a, b in pairwise(ends))
        return [SentencePair(*fields) for fields in zip(*[texts] * _NUM_FIELDS)]


def _chunks(pairs: Iterable[SentencePair]) -> Iterator[Chunk]:
    pairs = iter(pairs)
    while some := list(islice(pairs, PAIRS_AT_ONCE)):
        # Paths may hold bytes that are no UTF-8, which are surrogates in Python.
        texts = [text.encode("utf-8", "surrogatepass") for p in some for text in p]
        lengths = np.array([len(text) for text in texts], np.int64)
        yield np.frombuffer(b"".join(texts), np.uint8), lengths


def _text_bytes(path: Path) -> int:
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return path.stat().st_size * (GZIP_RATIO if is_gzip else 1)
