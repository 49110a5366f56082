"""What a decoder remembers between two steps."""

from typing import Any, NamedTuple

import keras
from keras import ops


class DecoderState(NamedTuple):
    """State of a decoder that writes N = B K sequences, K for each of B sources.

    Hypotheses stand in the order of their sources: row n belongs to source n // K. A
    search may gather the rows of `own` anew before each step, and drop sources from
    both; K may change on the way.

    Attributes:
        shared: Tensors with a row for each source, `(B, ...)`, in any nesting: what
            was read. It stays the same at every step.
        own: Tensors with a row for each hypothesis, `(N, ...)`, in any nesting: what
            was written.
    """

    shared: Any
    own: Any

    def for_each(self, number) -> "DecoderState":
        """The state of N sequences where there is one of each of B sources by now.

        Args:
            number: N, a multiple of B.
        """

        def repeat(rows):
            sources, *sizes = ops.shape(rows)
            # -1 would not tell how many where there is no source, and repeats are not
            # known to XLA, which knows sizes.
            each = number // ops.maximum(sources, 1)
            rows = ops.broadcast_to(
                rows[:, None], (sources, each, *sizes)
            )  # (B, K, ...)
            return ops.reshape(rows, (number, *sizes))  # (N, ...)

        return self._replace(own=keras.tree.map_structure(repeat, self.own))
