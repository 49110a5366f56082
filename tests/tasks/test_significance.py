"""Paired bootstrap resampling against a plain loop and against sacreBLEU's own."""

import random

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest

from seqloom.tasks import significance
from seqloom.tasks.significance import compare_translations

WORDS = [
    "der",
    "die",
    "das",
    "Hund",
    "Ball",
    "Gras",
    "rot",
    "grün",
    "liegt",
    "im",
    "am",
]


def system(noise, seed, size=60):
    """Rows of a system that gets a share of the words wrong."""
    texts, errors = random.Random(0), random.Random(seed)
    rows = []
    for number in range(size):
        words = texts.choices(WORDS, k=texts.randint(5, 12))
        guess = [errors.choice(WORDS) if errors.random() < noise else w for w in words]
        reference, prediction = " ".join(words), " ".join(guess)
        row = {"source": f"{number}", "reference": reference, "prediction": prediction}
        rows.append(row)
    return rows


def texts(rows, side):
    return [row[side] for row in rows]


def score(scorer, rows):
    return scorer.corpus_score(
        texts(rows, "prediction"), [texts(rows, "reference")]
    ).score


def test_against_scoring_every_drawn_test_set():
    first, second = system(0.3, 1), system(0.25, 2)
    found = compare_translations(first, second, num_samples=50, seed=3)
    for name, scorer in (("bleu", BLEU()), ("chrf", CHRF())):
        generator, drawn = np.random.default_rng(3), []
        for _ in range(50):
            rows = generator.choice(60, 60)
            scores = [
                score(scorer, [some[i] for i in rows]) for some in (first, second)
            ]
            drawn.append(scores[1] - scores[0])
        whole = [score(scorer, some) for some in (first, second)]
        difference = whole[1] - whole[0]
        beyond = [abs(d - sum(drawn) / 50) >= abs(difference) for d in drawn]
        expected = {
            "first": whole[0],
            "second": whole[1],
            "difference": difference,
            "low": np.percentile(drawn, 2.5),
            "high": np.percentile(drawn, 97.5),
            "p_value": (1 + sum(beyond)) / 51,
            "second_wins": sum(d > 0 for d in drawn) / 50,
            "num_samples": 50,
        }
        assert found[name] == pytest.approx(expected)
        assert 0.02 < found[name]["p_value"] < 1  # neither side of it is empty


def test_the_test_sets_are_those_of_sacrebleu():
    first, second = system(0.3, 1), system(0.25, 2)
    systems = [(str(i), texts(r, "prediction")) for i, r in enumerate((first, second))]
    library = PairedTest(
        systems, {"BLEU": BLEU()}, [texts(first, "reference")], "bs", n_samples=100
    )
    expected = library()[1]["BLEU"]
    statistics = [significance._statistics(BLEU(), rows) for rows in (first, second)]
    drawn = significance.resampled_scores(BLEU(), statistics, 100, significance.SEED)
    assert drawn.mean(axis=1) == pytest.approx([r.mean for r in expected], rel=1e-5)


def test_a_clear_difference_and_none():
    good, bad = system(0.1, 1), system(0.5, 2)
    for scores in compare_translations(good, bad, 200).values():
        assert scores["p_value"] == pytest.approx(1 / 201)
        assert scores["low"] <= scores["difference"] <= scores["high"] < 0
        assert scores["second_wins"] == 0
    for scores in compare_translations(good, good, 200).values():
        assert scores["difference"] == scores["low"] == scores["high"] == 0
        assert scores["p_value"] == 1


def test_exchanging_the_systems_turns_the_sign():
    first, second = system(0.3, 1), system(0.25, 2)
    there, back = (
        compare_translations(*pair, 100) for pair in ((first, second), (second, first))
    )
    for name in ("bleu", "chrf"):
        assert there[name]["p_value"] == back[name]["p_value"]
        assert there[name]["low"] == pytest.approx(-back[name]["high"])


def test_equal_systems_are_rarely_told_apart():
    """Of systems with the same noise, about one pair in 20 has p <= 0.05."""
    p_values = [
        compare_translations(system(0.3, 2 * i + 1), system(0.3, 2 * i + 2), 100)
        for i in range(40)
    ]
    small = sum(found["bleu"]["p_value"] <= 0.05 for found in p_values)
    assert small <= 6  # more in one of 250 cases


def test_empty_translations():
    rows = system(0.3, 1)
    empty = [{**row, "prediction": ""} for row in rows]
    scores = compare_translations(empty, rows, 20)
    assert scores["bleu"]["first"] == scores["chrf"]["first"] == 0
    assert scores["bleu"]["second_wins"] == 1


def test_what_cannot_be_compared():
    rows = system(0.3, 1)
    with pytest.raises(
        ValueError, match="first system has 60 .* second 59: .* same da"
    ):
        compare_translations(rows, rows[:-1])
    with pytest.raises(
        ValueError, match="has 0 translations .* one sentence at the le"
    ):
        compare_translations([], [])
    for side in ("source", "reference"):
        other = [*rows[:7], {**rows[7], side: "x"}, *rows[8:]]
        message = f"Row 7 has the {side} '.*' in the first system and 'x' in the second"
        with pytest.raises(ValueError, match=message):
            compare_translations(rows, other)
    with pytest.raises(ValueError, match="num_samples >= 1, got 0. Try 1000"):
        compare_translations(rows, rows, 0)
