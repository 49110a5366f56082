"""Encoded examples: what batches are cut from."""

from typing import NamedTuple

import numpy as np


class Examples(NamedTuple):
    """Examples of one split, by row.

    Attributes:
        columns: Tensors and ragged tensors with the examples on their first axis.
        lengths: `(N,)` int64, the length that decides padding.
        tables: Tensors shared by all examples, such as the features of each word.
        num_truncated: How many of them are longer than what is read.
    """

    columns: dict
    lengths: np.ndarray
    tables: dict
    num_truncated: int = 0

    def __len__(self) -> int:
        return len(self.lengths)
