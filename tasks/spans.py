"""Labelled spans behind token tags: schemes, their detection, conversion to IOB2.

    tokens   Ada    Byron  met    Rhea   Kos    Rhea
    IOB1     I-PER  I-PER  O      I-PER  I-LOC  O
    IOB2     B-PER  I-PER  O      B-PER  B-LOC  O
    BIOES    B-PER  E-PER  O      S-PER  S-LOC  O
    BILOU    B-PER  L-PER  O      U-PER  U-LOC  O

    spans    [(0, 2, "PER"), (3, 4, "PER"), (4, 5, "LOC")]

A span is `(start, end, type)`, `end` exclusive. IOB1 writes B- only where a span
follows another of the same type at once; IOB2 begins every span with B-.
"""

from collections.abc import Iterable, Sequence

from seqloom.tasks.records import DataError

SCHEMES = ("iob1", "iob2", "bioes")
Span = tuple[int, int, str]

_SINGLE, _END = ("S", "U"), ("E", "L")  # BIOES and BILOU letters for the same thing


def split_tag(tag: str) -> tuple[str, str]:
    """Cut a tag into its prefix and its type.

    >>> split_tag("B-creative-work"), split_tag("O"), split_tag("I")
    (('B', 'creative-work'), ('O', ''), ('I', ''))

    Raises:
        DataError: The tag is not O and does not begin with a prefix and a hyphen.
    """
    prefix, _, kind = tag.partition("-")
    known = prefix in ("B", "I", *_SINGLE, *_END) and (kind or "-" not in tag)
    if tag == "O" or known:
        return prefix, kind
    raise DataError(
        f"The tag {tag!r} names no part of a span: it is neither 'O' nor like 'B-PER'. "
        "If it comes from the wrong column, set data.tag_column; if the tags are no "
        "spans at all, train with TASK=pos."
    )


def detect_scheme(sequences: Iterable[Sequence[str]]) -> str:
    """Tell "iob1", "iob2" or "bioes" (BILOU too) from all tags of a corpus together.

    S-, E-, U- and L- exist in BIOES and BILOU alone. Otherwise every I- that begins a
    span speaks for IOB1 and every B- that does not follow its own type for IOB2; the
    majority wins, so that a few slips in an IOB2 corpus do not turn it into IOB1.
    A corpus without evidence reads the same either way: "iob2".

    >>> detect_scheme([["I-PER", "I-PER", "O"], ["I-LOC", "B-LOC"]])
    'iob1'
    >>> detect_scheme([["B-PER", "I-PER", "O"]])
    'iob2'
    >>> detect_scheme([["B-PER", "L-PER", "O"]])
    'bioes'
    """
    iob1 = iob2 = 0
    for tags in sequences:
        previous = "O", ""
        for tag in tags:
            prefix, kind = split_tag(tag)
            if prefix in (*_SINGLE, *_END):
                return "bioes"
            follows_own_type = previous[0] != "O" and previous[1] == kind
            iob1 += prefix == "I" and not follows_own_type
            iob2 += prefix == "B" and not follows_own_type
            previous = prefix, kind
    return "iob1" if iob1 > iob2 else "iob2"


def to_iob2(tags: Sequence[str], scheme: str) -> tuple[str, ...]:
    """Write the tags of one sentence in IOB2.

    >>> to_iob2(["I-PER", "I-PER", "B-PER", "O"], "iob1")
    ('B-PER', 'I-PER', 'B-PER', 'O')
    >>> to_iob2(["B-PER", "E-PER", "S-LOC"], "bioes")
    ('B-PER', 'I-PER', 'B-LOC')
    >>> to_iob2(["B-PER", "I-PER", "O"], "iob2")
    ('B-PER', 'I-PER', 'O')

    Args:
        tags: Tags of one sentence.
        scheme: "iob1", "iob2" or "bioes"; "bioes" reads BILOU too. "iob1" also reads
            IOB2, and an IOB2 sentence comes out unchanged.

    Raises:
        DataError: A tag that the scheme does not allow at its place.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}, got {scheme!r}.")
    if scheme == "bioes":
        return _bioes_to_iob2(tags)
    converted = []
    previous = "O", ""
    for position, tag in enumerate(tags):
        prefix, kind = split_tag(tag)
        if prefix in (*_SINGLE, *_END):
            raise DataError(
                f"Tag {position + 1} of the sentence is {tag!r}, which {scheme} does "
                "not have. Set data.scheme=bioes, or auto to detect it."
            )
        begins = prefix == "I" and (previous[0] == "O" or previous[1] != kind)
        if begins and scheme == "iob2":
            raise DataError(
                f"Tag {position + 1} of the sentence, {tag!r}, does not go on a span "
                f"of its type, so in IOB2 it must be {_tag('B', kind)!r}. Correct it; "
                "set data.on_error=skip to drop such sentences; or set "
                "data.scheme=iob1, which takes such a tag for the beginning of a span."
            )
        converted.append(_tag("B", kind) if begins else tag)
        previous = prefix, kind
    return tuple(converted)


def _bioes_to_iob2(tags: Sequence[str]) -> tuple[str, ...]:
    converted = []
    opened: str | None = None  # type of the span that still waits for its E-
    for position, tag in enumerate(tags):
        prefix, kind = split_tag(tag)
        goes_on = prefix in ("I", *_END)
        if goes_on != (opened is not None) or (goes_on and opened != kind):
            why = (
                "no span of its type is open"
                if opened is None or goes_on
                else f"the span of type {opened!r} before it has no E- (or L-) tag"
            )
            raise DataError(
                f"Tag {position + 1} of the sentence, {tag!r}, breaks BIOES: {why}. "
                "Correct it, or set data.on_error=skip to drop such sentences."
            )
        if prefix == "O":
            converted.append("O")
        else:
            converted.append(_tag("I" if goes_on else "B", kind))
        opened = kind if prefix in ("B", "I") else None
    if opened is not None:
        raise DataError(
            f"The sentence ends inside a span of type {opened!r}: BIOES wants its last "
            f"tag to be {_tag('E', opened)!r} (BILOU: {_tag('L', opened)!r}). Correct "
            "it, or set data.on_error=skip to drop such sentences."
        )
    return tuple(converted)


def spans(tags: Sequence[str], strict: bool = False) -> list[Span]:
    """List the spans of one sentence's IOB tags.

    conlleval counting: a span begins at B-, and at an I- after O or after another
    type. `strict`, as in seqeval's strict IOB2 mode: a span begins at B- alone, and an
    I- that goes on no span of its type belongs to none.

    >>> spans(["B-PER", "I-PER", "O", "I-LOC"])
    [(0, 2, 'PER'), (3, 4, 'LOC')]
    >>> spans(["B-PER", "I-PER", "O", "I-LOC"], strict=True)
    [(0, 2, 'PER')]
    >>> spans(["B-PER", "I-LOC"]), spans(["B-PER", "I-LOC"], strict=True)
    ([(0, 1, 'PER'), (1, 2, 'LOC')], [(0, 1, 'PER')])
    """
    found: list[Span] = []
    start: int | None = None
    open_kind = ""
    for position, tag in enumerate([*tags, "O"]):
        prefix, kind = split_tag(tag)
        if prefix not in ("B", "I", "O"):
            raise DataError(f"{tag!r} is no IOB tag: convert with to_iob2 first.")
        goes_on = prefix == "I" and start is not None and kind == open_kind
        if goes_on:
            continue
        if start is not None:
            found.append((start, position, open_kind))
        begins = prefix == "B" or (prefix == "I" and not strict)
        start, open_kind = (position, kind) if begins else (None, "")
    return found


def is_iob2_valid(tags: Sequence[str]) -> bool:
    """Whether every I- goes on a span of its own type.

    >>> is_iob2_valid(["B-PER", "I-PER"]), is_iob2_valid(["O", "I-PER"])
    (True, False)
    """
    previous = "O", ""
    for tag in tags:
        prefix, kind = split_tag(tag)
        if prefix not in ("B", "I", "O"):
            return False
        if prefix == "I" and (previous[0] == "O" or previous[1] != kind):
            return False
        previous = prefix, kind
    return True


def _tag(prefix: str, kind: str) -> str:
    return f"{prefix}-{kind}" if kind else prefix
