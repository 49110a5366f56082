"""How a user wants to have a text written: the options, checked before any graph."""

import difflib
from typing import Any

from seqloom.layers import DecodingOptions


def check_written_options(
    decoder, size: int, options: dict[str, Any], seed: int | None, attention: bool
) -> dict[str, Any]:
    """See that options of a decoder that writes make sense.

    Args:
        decoder: The layer that writes.
        size: Pieces of its vocabulary.
        options: Of `DecodingOptions`, as numbers. A max_length of 0 stands for that of
            the run.
        seed: Of sampling.
        attention: Whether the weights of attention are wanted, too.

    Returns:
        The options to write with.

    Raises:
        ValueError: An option does not exist, or makes no sense.
    """
    for name in options:
        _check_name(name)
    beam, longest = options.get("beam", 1), options.get("max_length")
    if beam > size:
        raise ValueError(
            f"beam={beam} is larger than the vocabulary of {size} pieces. Set it to 10 "
            "or less: more hardly ever helps."
        )
    if longest is not None and longest < 0:
        raise ValueError(
            f"max_length must be 0 or more, got {longest}. 0 leaves it to the run."
        )
    if seed is not None and not options.get("sample", False):
        raise ValueError(
            f"seed={seed} is for drawing at random, but sample=False looks for the "
            "best. Set sample=True, or leave the seed out."
        )
    if attention and getattr(decoder, "attention", "") == "none":
        raise ValueError(
            "This model looks at nothing while it writes (model.attention=none): it "
            "has no attention to show. Train one with another model.attention."
        )
    # Sampling follows no beam.
    return {"beam": 1, **options} if options.get("sample", False) else options


def _check_name(name: str) -> None:
    if name not in DecodingOptions._fields:
        near = difflib.get_close_matches(name, DecodingOptions._fields, 1)
        hint = f"Did you mean {near[0]!r}?" if near else "There are: "
        hint += "" if near else ", ".join(DecodingOptions._fields)
        raise ValueError(f"Writing has no option {name!r}. {hint}")
