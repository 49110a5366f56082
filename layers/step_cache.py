"""Keys and values of the steps that a decoder has written."""

from typing import Any, NamedTuple

from keras import ops

BLOCK = 32


class StepCache(NamedTuple):
    """Keys and values of S + R steps: of the first S, and of the R < 32 newest.

    A tensor cannot grow: one more step copies all of it. The newest steps are few, and
    join the others, which are copied then, once in 32 steps.

    Attributes:
        keys, values: `(N, H, S, K)`, for N sequences and H heads of K units.
        newest_keys, newest_values: `(N, H, R, K)`.
    """

    keys: Any
    values: Any
    newest_keys: Any
    newest_values: Any

    @property
    def steps(self):
        """How many there are, S + R."""
        return ops.shape(self.keys)[2] + self._newest

    @property
    def _newest(self):
        return ops.shape(self.newest_keys)[2]

    @property
    def parts(self):
        """Keys and values, from the first step to the last: `MultiHeadAttention`."""
        return (self.keys, self.values), (self.newest_keys, self.newest_values)

    def append(self, key, value) -> "StepCache":
        """One more step, with key and value `(N, H, 1, K)`."""
        newest_keys = _joined(self.newest_keys, key)
        newest_values = _joined(self.newest_values, value)

        def settled():
            keys = _joined(self.keys, newest_keys)
            values = _joined(self.values, newest_values)
            return keys, values, newest_keys[:, :, :0], newest_values[:, :, :0]

        def growing():
            return self.keys, self.values, newest_keys, newest_values

        return StepCache(*ops.cond(self._newest + 1 == BLOCK, settled, growing))


def empty_cache(rows, heads, units, dtype) -> StepCache:
    """Of no step yet, for so many sequences."""
    nothing = ops.zeros((rows, heads, 0, units), dtype)
    return StepCache(nothing, nothing, nothing, nothing)


def _joined(before, after):
    return ops.concatenate([before, after], axis=2)  # (N, H, S + R, K)
