"""Schemes of span tags: literal examples, and round trips over random spans."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB2 as SEQEVAL_IOB2
from seqeval.scheme import Entities

from seqloom.tasks.records import DataError
from seqloom.tasks.spans import (
    detect_scheme,
    is_iob2_valid,
    spans,
    split_tag,
    to_iob2,
)

# tokens:  Ada Byron met Rhea Kos Rhea
IOB1 = ("I-PER", "I-PER", "O", "I-PER", "I-LOC", "B-LOC")
IOB2 = ("B-PER", "I-PER", "O", "B-PER", "B-LOC", "B-LOC")
BIOES = ("B-PER", "E-PER", "O", "S-PER", "S-LOC", "S-LOC")
BILOU = ("B-PER", "L-PER", "O", "U-PER", "U-LOC", "U-LOC")
SPANS = [(0, 2, "PER"), (3, 4, "PER"), (4, 5, "LOC"), (5, 6, "LOC")]


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [(IOB1, "iob1"), (IOB2, "iob2"), (BIOES, "bioes"), (BILOU, "bioes")],
)
def test_every_scheme_is_detected_and_becomes_the_same_iob2(tags, scheme):
    assert detect_scheme([tags]) == scheme
    assert to_iob2(tags, scheme) == IOB2
    assert spans(to_iob2(tags, scheme)) == SPANS


def test_reading_iob2_as_iob1_changes_nothing():
    assert to_iob2(IOB2, "iob1") == IOB2


def test_longer_bioes_span_has_inside_tags():
    assert to_iob2(["B-ORG", "I-ORG", "E-ORG", "O"], "bioes") == (
        "B-ORG",
        "I-ORG",
        "I-ORG",
        "O",
    )


def test_types_may_hold_hyphens_or_be_missing():
    assert split_tag("I-creative-work") == ("I", "creative-work")
    assert spans(["B-creative-work", "I-creative-work"]) == [(0, 2, "creative-work")]
    assert spans(["B", "I", "O", "B"]) == [(0, 2, ""), (3, 4, "")]
    assert to_iob2(["B", "E", "S"], "bioes") == ("B", "I", "B")


def test_the_majority_decides_over_a_whole_corpus():
    slip = ["O", "I-PER"]
    assert detect_scheme([slip, ["B-PER", "I-PER"], ["B-LOC"]]) == "iob2"
    assert detect_scheme([["I-PER"], ["I-LOC", "B-LOC"], ["O"]]) == "iob1"
    assert detect_scheme([["O"], []]) == "iob2"


@pytest.mark.parametrize(
    ("tags", "scheme", "message"),
    [
        (
            ["O", "I-PER"],
            "iob2",
            r"Tag 2 .*'I-PER'.* must be 'B-PER'.*data.scheme=iob1",
        ),
        (["B-LOC", "I-PER"], "iob2", r"Tag 2 .*'I-PER'.* must be 'B-PER'"),
        (["S-PER"], "iob2", r"Tag 1 .*'S-PER', which iob2 does not have.*bioes"),
        (["O", "I-PER", "E-PER"], "bioes", "Tag 2 .*'I-PER', breaks BIOES: no span"),
        (
            ["B-PER", "O"],
            "bioes",
            "Tag 2 .*'O', breaks BIOES: .*'PER' before it has no",
        ),
        (["B-PER", "E-LOC"], "bioes", "Tag 2 .*'E-LOC', breaks BIOES"),
        (["B-PER", "I-PER"], "bioes", "ends inside a span of type 'PER'.*'E-PER'"),
        (["PERSON"], "iob2", "'PERSON' names no part of a span.*data.tag_column"),
        (["I_PER"], "iob1", "'I_PER' names no part of a span"),
        (["B-"], "iob1", "'B-' names no part of a span"),
    ],
)
def test_tags_that_break_the_scheme(tags, scheme, message):
    with pytest.raises(DataError, match=message):
        to_iob2(tags, scheme)


def test_an_unknown_scheme():
    with pytest.raises(ValueError, match="one of iob1, iob2, bioes, got 'bmes'"):
        to_iob2(["O"], "bmes")


def test_conlleval_and_strict_counting_differ_on_stray_inside_tags():
    tags = ["I-PER", "I-PER", "B-LOC", "I-PER", "I-LOC"]
    assert spans(tags) == [(0, 2, "PER"), (2, 3, "LOC"), (3, 4, "PER"), (4, 5, "LOC")]
    assert spans(tags, strict=True) == [(2, 3, "LOC")]


def test_spans_refuse_other_schemes():
    with pytest.raises(DataError, match="'S-PER' is no IOB tag"):
        spans(["S-PER"])


def test_validity():
    assert is_iob2_valid(IOB2)
    assert is_iob2_valid([])
    assert not is_iob2_valid(IOB1)
    assert not is_iob2_valid(["B-PER", "I-LOC"])
    assert not is_iob2_valid(["S-PER"])


@st.composite
def sentences(draw):
    """Length and spans of a sentence, written span by span."""
    position, found = 0, []
    for _ in range(draw(st.integers(0, 5))):
        start = position + draw(st.integers(0, 2))
        end = start + draw(st.integers(1, 4))
        found.append((start, end, draw(st.sampled_from(["PER", "LOC", "a-b"]))))
        position = end
    return position + draw(st.integers(0, 2)), found


def encode(length, found, single, end_prefix):
    tags = ["O"] * length
    for start, end, kind in found:
        for i in range(start, end):
            tags[i] = f"I-{kind}"
        tags[start] = f"B-{kind}"
        tags[end - 1] = (
            f"{end_prefix}-{kind}" if end - start > 1 else f"{single}-{kind}"
        )
    return tags


def encode_iob1(length, found):
    tags, before = ["O"] * length, {}
    for start, end, kind in found:
        for i in range(start, end):
            tags[i] = f"I-{kind}"
        if before.get(start) == kind:
            tags[start] = f"B-{kind}"
        before[end] = kind
    return tags


@settings(deadline=None)  # the machine may be busy
@given(sentences())
def test_spans_survive_every_scheme(sentence):
    length, found = sentence
    written = {
        "iob1": encode_iob1(length, found),
        "iob2": encode(length, found, single="B", end_prefix="I"),
        "bioes": encode(length, found, single="S", end_prefix="E"),
        "bilou": encode(length, found, single="U", end_prefix="L"),
    }
    for name, tags in written.items():
        converted = to_iob2(tags, "bioes" if name == "bilou" else name)
        assert is_iob2_valid(converted)
        assert spans(converted) == found
        assert spans(converted, strict=True) == found
    detected = detect_scheme([written["bioes"]])
    assert to_iob2(written["bioes"], detected) == to_iob2(written["bioes"], "bioes")


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B"])))
def test_spans_agree_with_seqeval(tags):
    lenient = [(start, end + 1, kind) for kind, start, end in get_entities(tags)]
    assert spans(tags) == lenient
    strict = Entities([tags], SEQEVAL_IOB2).entities[0]
    assert spans(tags, strict=True) == [(e.start, e.end, e.tag) for e in strict]
