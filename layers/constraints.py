"""Which tags may follow which."""


def iob2_constraints(tags):
    """Say which IOB2 tags may follow which, begin and end a sequence.

    `I-X` may follow `B-X` and `I-X` alone, and never comes first. All else is free.
    For `["B-A", "I-A", "O"]`:

        allowed = [[True, True, True], [True, True, True], [True, False, True]]
        start = [True, False, True]
        end = [True, True, True]

    Args:
        tags: List of K tags: `O`, `B-X`, `I-X`.

    Returns:
        `(allowed, start, end)`: allowed[i][j] says whether tag j may follow tag i.
        They are plain lists of bool, as `LinearChainCRF` takes them.

    Raises:
        ValueError: a tag is not an IOB2 tag.
    """
    for tag in tags:
        if tag != "O" and not (tag[:2] in ("B-", "I-") and len(tag) > 2):
            raise ValueError(
                f"{tag!r} is not an IOB2 tag, among the tags {list(tags)}. "
                "Convert to O, B-X and I-X first, or use no constraints."
            )
    allowed = [[may_follow(tag, previous) for tag in tags] for previous in tags]
    start = [not tag.startswith("I-") for tag in tags]
    return allowed, start, [True] * len(tags)


def may_follow(tag, previous):
    """Whether IOB2 `tag` may come right after `previous`."""
    return not tag.startswith("I-") or previous in (f"B-{tag[2:]}", tag)


def impossible_length(allowed, start, end):
    """The smallest length n for which no allowed sequence exists, or None.

    Follows the set of tags that can stand at step n; it depends on the last set
    alone, so as soon as one comes again, all have been seen.
    """
    tags = range(len(start))
    reachable = frozenset(tag for tag in tags if start[tag])
    seen = set()
    while reachable not in seen:
        seen.add(reachable)
        if not any(end[tag] for tag in reachable):
            return len(seen)
        reachable = frozenset(
            tag for tag in tags if any(allowed[before][tag] for before in reachable)
        )
    return None
