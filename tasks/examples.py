"""Encoded examples: what batches are cut from."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from seqloom.tasks.disk_rows import DiskRows


class Examples(NamedTuple):
    """Examples of one split, by row.

    Attributes:
        columns: Tensors and ragged tensors with the examples on their first axis; or
            `DiskRows` of what may not fit into memory.
        lengths: `(N,)` int64, the length that decides padding; of pairs `(N, 2)`, that
            of source and target.
        tables: Tensors shared by all examples, such as the features of each word.
        num_truncated: How many of them are longer than what is read.
        tokens: `(N,)` int64, the real tokens of each example, where there is padding in
            its length: several captions that make one are as long as the longest. None:
            its length, of pairs that of the target.
        resample: Gives the examples of an epoch where they differ from epoch to epoch.
    """

    columns: dict
    lengths: np.ndarray
    tables: dict
    num_truncated: int = 0
    tokens: np.ndarray | None = None
    resample: Callable[[int], Any] | None = None

    def __len__(self) -> int:
        return len(self.lengths)


def gather(column: tf.RaggedTensor | DiskRows, rows) -> tf.RaggedTensor:
    """In the graph: some rows of a ragged column, in memory or on disk.

    Args:
        column: Ragged `(N, (T))`.
        rows: `(B,)` int64.

    Returns:
        Ragged `(B, (T))`.
    """
    if not isinstance(column, DiskRows):
        return tf.gather(column, rows)
    dtypes = (column.dtype, tf.int64)
    values, lengths = tf.numpy_function(column.take, [rows], dtypes, stateful=False)
    values, lengths = tf.ensure_shape(values, [None]), tf.ensure_shape(lengths, [None])
    return tf.RaggedTensor.from_row_lengths(values, lengths, validate=False)
