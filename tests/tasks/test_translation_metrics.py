"""BLEU, chrF and what goes with them, on numbers worked by hand."""

import math
from collections import Counter

import pytest

from seqloom.tasks.translation_metrics import bleu_by_source_length, score_translations


def row(reference, prediction, source="a b c"):
    return {"source": source, "reference": reference, "prediction": prediction}


def ngrams(words, order):
    return Counter(tuple(words[i : i + order]) for i in range(len(words) - order + 1))


def bleu(rows):
    """Corpus BLEU of texts with a space between tokens, without smoothing."""
    logs = 0.0
    lengths = [
        sum(len(r[k].split()) for r in rows) for k in ("prediction", "reference")
    ]
    for order in range(1, 5):
        found = total = 0
        for r in rows:
            guess = ngrams(r["prediction"].split(), order)
            found += (guess & ngrams(r["reference"].split(), order)).total()
            total += guess.total()
        logs += math.log(found / total) / 4
    return 100 * min(1, math.exp(1 - lengths[1] / lengths[0])) * math.exp(logs)


def chrf(rows):
    """Corpus chrF2 over characters without spaces."""
    rates = []
    for order in range(1, 7):
        counts = [0, 0, 0]
        for r in rows:
            guess, true = (
                ngrams("".join(r[k].split()), order)
                for k in ("prediction", "reference")
            )
            for i, part in enumerate((guess & true, guess, true)):
                counts[i] += part.total()
        if counts[1] and counts[2]:
            rates.append((counts[0] / counts[1], counts[0] / counts[2]))
    precision, recall = (sum(side) / len(rates) for side in zip(*rates, strict=True))
    return 100 * 5 * precision * recall / (4 * precision + recall)


ROWS = [
    row("Ein roter Ball liegt hier .", "Ein roter Ball liegt da ."),
    row("Ja .", "Ja ."),
    row("Zwei Hunde spielen im hohen Gras .", "zwei Hunde spielen im Gras ."),
]


def test_scores_of_the_whole_corpus():
    values = score_translations(ROWS).values
    assert values["bleu"] == pytest.approx(bleu(ROWS))
    assert values["chrf"] == pytest.approx(chrf(ROWS))
    assert values["exact_match"] == pytest.approx(1 / 3)
    assert values["length_ratio"] == pytest.approx(14 / 15)
    assert set(values) == {"bleu", "chrf", "exact_match", "length_ratio"}


def test_the_docstring_example():
    rows = [row("Ein roter Ball liegt hier.", "Ein roter Ball liegt da.")]
    rows.append(row("Ja.", "Ja."))
    values = score_translations(rows).values
    assert [round(values[name], 1) for name in ("bleu", "chrf")] == [55.8, 77.4]


def test_texts_are_tokenized_and_case_counts():
    good = score_translations(
        [row("Ein roter, runder Ball.", "Ein roter, runder Ball.")]
    )
    assert good.values["bleu"] == pytest.approx(100)
    apart = [row("Ein roter, runder Ball.", "Ein roter , runder Ball .")]
    assert score_translations(apart).values["bleu"] == pytest.approx(100)
    assert score_translations(apart).values["exact_match"] == 0
    lower = [row("Ein roter, runder Ball.", "ein roter, runder ball.")]
    assert score_translations(lower).values["bleu"] < 50


def test_signatures_say_how_it_was_counted():
    signatures = score_translations(ROWS).signatures
    assert signatures["bleu"].startswith(
        "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2."
    )
    assert signatures["chrf"].startswith(
        "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|"
    )
    assert score_translations([]).signatures == signatures


def test_empty_texts():
    for rows in ([], [row("a b", "")], [row("", "a")], [row("", "", "")]):
        values = score_translations(rows).values
        assert values["bleu"] == values["chrf"] == 0
        assert all(math.isfinite(value) for value in values.values())
    assert score_translations([]).per_type == {}
    whole = score_translations([*ROWS, row("a b c d", "")]).values
    shorter = score_translations(ROWS).values
    assert 0 < whole["bleu"] < shorter["bleu"]


def test_bleu_by_length_of_the_source():
    lengths = [0, 1, 5, 6, 10, 11, 15, 16, 20, 21, 30, 31, 99]
    rows = [
        row("a b c d e", "a b c d e" if i % 2 else "a b c d f", "w " * length)
        for i, length in enumerate(lengths)
    ]
    scores = score_translations(rows)
    assert list(scores.per_type) == ["1-5", "6-10", "11-15", "16-20", "21-30", "31+"]
    counts = [part["count"] for part in scores.per_type.values()]
    assert counts == [3, 2, 2, 2, 2, 2]
    assert scores.per_type["1-5"]["bleu"] == pytest.approx(bleu(rows[:3]))
    assert scores.per_type["31+"]["bleu"] == pytest.approx(bleu(rows[-2:]))
    some = bleu_by_source_length(rows[5:7])
    assert list(some) == ["11-15"]
    quick = score_translations(rows, quick=True)
    assert quick.per_type == {}
    assert quick.values == scores.values
