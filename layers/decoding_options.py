"""What a text must be like that a decoder writes, and how it is looked for."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

PADDING, UNKNOWN, BEGIN, END = range(4)


class DecodingOptions(NamedTuple):
    """Options of `generate`, which says exactly what they mean.

    Numbers may be scalar tensors, such as the inputs of a SavedModel, and the lengths
    also tensors `(B,)`. What a Python number switches off costs nothing.

    Attributes:
        beam: Hypotheses K that are followed for each source; 1 is greedy.
        n_best: Hypotheses n that are given for each source, at most `beam`; when
            sampling, the number of texts drawn for each.
        length_penalty: alpha of the length penalty; 0 compares log-probabilities,
            above 0 favours long texts.
        coverage_penalty: beta >= 0 of the coverage penalty.
        min_length, max_length: Fewest and most tokens, without the end token.
        repetition_penalty: theta > 0; above 1 makes what was written less probable.
        no_repeat_ngram: n: no n tokens are written twice in this order; 0: all may.
            A Python number.
        allow_unknown: Whether the unknown token may be written. A Python bool.
        sample: Draw tokens instead of looking for the best. A Python bool.
        temperature: Divides the logits before drawing.
        top_k: Draw from the k most probable tokens only; 0: from all.
        top_p: Draw from the fewest most probable tokens that have together at least
            this probability; 1: from all.
    """

    beam: Any = 1
    n_best: Any = 1
    length_penalty: Any = 0.0
    coverage_penalty: Any = 0.0
    min_length: Any = 0
    max_length: Any = 256
    repetition_penalty: Any = 1.0
    no_repeat_ngram: int = 0
    allow_unknown: bool = True
    sample: bool = False
    temperature: Any = 1.0
    top_k: Any = 0
    top_p: Any = 1.0

    @property
    def width(self):
        """Hypotheses that are written side by side for each source."""
        return self.n_best if self.sample else self.beam


INTEGERS = ("beam", "n_best", "min_length", "max_length", "no_repeat_ngram", "top_k")
RANGES = {
    "beam": (lambda value: value >= 1, "beam >= 1"),
    "n_best": (lambda value: value >= 1, "n_best >= 1"),
    "coverage_penalty": (lambda value: value >= 0, "coverage_penalty >= 0"),
    "min_length": (lambda value: value >= 0, "min_length >= 0"),
    "max_length": (lambda value: value >= 0, "max_length >= 0"),
    "repetition_penalty": (lambda value: value > 0, "repetition_penalty > 0"),
    "no_repeat_ngram": (lambda value: value >= 0, "no_repeat_ngram >= 0"),
    "temperature": (lambda value: value > 0, "temperature > 0"),
    "top_k": (lambda value: value >= 0, "top_k >= 0"),
    "top_p": (lambda value: (value > 0) & (value <= 1), "0 < top_p <= 1"),
}


def check_options(options, seed=None, source_mask=None):
    """Raise ValueError, or fail in the graph, unless the options make sense.

    Returns:
        The same options. In a graph nothing reads them before they are checked: what
        fails first is told, and that should be the option.
    """
    checks = []
    for name, (in_range, text) in RANGES.items():
        value = getattr(options, name)
        _check_kind(name, value)
        checks += require(
            in_range(value if tf.is_tensor(value) else np.asarray(value)),
            f"DecodingOptions needs {text}, got {name}={{}}.",
            value,
        )
    checks += _check_ways(options, seed)
    if not is_off(options.coverage_penalty, 0) and source_mask is None:
        raise ValueError(
            f"coverage_penalty={options.coverage_penalty} needs to know which steps of "
            "the source are real. Give generate a source_mask (B, S)."
        )
    lengths = options.min_length, options.max_length
    if not any(tf.get_static_value(value) is None for value in lengths):
        require(
            np.less_equal(*lengths),
            "DecodingOptions needs min_length <= max_length, got min_length={} and "
            "max_length={}.",
            *lengths,
        )
    with tf.control_dependencies(checks):
        return DecodingOptions(
            *(tf.identity(o) if tf.is_tensor(o) else o for o in options)
        )


def _check_kind(name, value):
    value = value if tf.is_tensor(value) else np.asarray(value)
    rank = 1 if name in ("min_length", "max_length") else 0
    if (value.ndim or 0) > rank:
        raise ValueError(
            f"DecodingOptions needs one {name} for all sources, got {name}={value}."
        )
    if name in INTEGERS and not tf.as_dtype(value.dtype).is_integer:
        raise ValueError(
            f"DecodingOptions needs an integer {name}, got {name}={value}."
        )


def _check_ways(options, seed):
    """Sampling and search each have options that mean nothing to the other."""
    if not options.sample:
        checks = require(
            options.n_best <= options.beam,
            "n_best={} hypotheses cannot come from beam={}. Ask for fewer, or widen "
            "the beam.",
            options.n_best,
            options.beam,
        )
        for name, off in (("temperature", 1), ("top_k", 0), ("top_p", 1)):
            if not is_off(getattr(options, name), off):
                raise ValueError(
                    f"{name}={getattr(options, name)} says how to draw tokens, but "
                    "sample=False looks for the best ones. Set sample=True."
                )
        return checks
    if not is_off(options.beam, 1):
        raise ValueError(
            f"Sampling follows no beam, got beam={options.beam} with sample=True. "
            "n_best is the number of texts that are drawn for each source."
        )
    if seed is None:
        raise ValueError(
            "Sampling needs a seed of two integers, such as seed=(0, 1): the same seed "
            "gives the same texts."
        )
    return []


def is_off(value, off):
    """Whether value is known now, and says that nothing is asked for."""
    value = tf.get_static_value(value)
    return value is not None and bool(np.all(value == off))


def require(holds, text, *values):
    """Raise ValueError with `text` of `values` unless all of `holds` is true.

    Where that is only known when the graph runs, it fails there with the same text.

    Returns:
        The operations that check it in the graph.
    """
    known = tf.get_static_value(holds)
    if known is None:
        shown = [tf.strings.format(text, values)]
        check = tf.debugging.Assert(tf.reduce_all(holds), shown)
        return [] if check is None else [check]
    if not np.all(known):
        raise ValueError(text.format(*(_plain(value) for value in values)))
    return []


def _plain(value):
    known = tf.get_static_value(value)
    return value if known is None else known
