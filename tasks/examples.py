"""Encoded examples: what batches are cut from."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Examples(NamedTuple):
    """Examples of one split, by row.

    Attributes:
        columns: Tensors and ragged tensors with the examples on their first axis.
        lengths: `(N,)` int64, the length that decides padding; of pairs `(N, 2)`, that
            of source and target.
        tables: Tensors shared by all examples, such as the features of each word.
        num_truncated: How many of them are longer than what is read.
        resample: Gives the examples of an epoch where they differ from epoch to epoch.
    """

    columns: dict
    lengths: np.ndarray
    tables: dict
    num_truncated: int = 0
    resample: Callable[[int], Any] | None = None

    def __len__(self) -> int:
        return len(self.lengths)
