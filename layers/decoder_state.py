"""What a decoder remembers between two steps."""

from typing import Any, NamedTuple


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
