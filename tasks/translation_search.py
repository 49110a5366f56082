"""How translations are looked for."""

from dataclasses import dataclass

import tensorflow as tf

from seqloom.layers import DecodingOptions


@dataclass(frozen=True)
class Search:
    """How a translation is looked for.

    Args:
        beam: Hypotheses that are followed; 1 is greedy.
        length_penalty, coverage_penalty: See `DecodingOptions`.
        max_ratio: Longest translation in pieces, in those of its source ...
        max_extra: ... and so many more.
    """

    beam: int = 5
    length_penalty: float = 1.0
    coverage_penalty: float = 0.0
    max_ratio: float = 2.0
    max_extra: int = 10

    def options(self, source_lengths, **changes) -> DecodingOptions:
        """The options for sources of `(B,)` pieces."""
        longest = self.max_ratio * tf.cast(source_lengths, tf.float32)
        values = {
            "beam": self.beam,
            "length_penalty": self.length_penalty,
            "coverage_penalty": self.coverage_penalty,
            "max_length": tf.cast(longest, tf.int32) + self.max_extra,
        }
        return DecodingOptions(**{**values, **changes})


def within_positions(options: DecodingOptions, decoder) -> DecodingOptions:
    """No longer translations than a decoder with learned positions has of these."""
    positions = getattr(decoder, "max_length", None)
    if positions is None:
        return options
    longest = tf.minimum(options.max_length, positions - 1)  # one is for the begin
    return options._replace(max_length=longest)
