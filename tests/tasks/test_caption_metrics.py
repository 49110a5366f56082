"""Scores of captions against the numbers of the COCO caption evaluation."""

import pytest

from seqloom.tasks.caption_metrics import known_captions, row_scores, score_captions


def row(prediction, *references):
    return {"prediction": prediction, "references": list(references)}


ROWS = [
    row(
        "Two dogs are running through a field.",
        "Two dogs chase each other across a grassy field.",
        "A pair of brown dogs run side by side in the grass.",
        "Dogs race through tall grass!",
    ),
    row(
        "A man in a red jacket is climbing a rock.",
        "A climber in a red jacket scales a steep cliff.",
        "The man, roped in, is climbing a rock wall.",
        "A man isn't far from the top of the rock.",
    ),
    row(
        "A little girl in a pink dress is playing with a ball.",
        "A girl's pink dress flies up as she kicks a ball.",
        "A little girl in a pink dress plays with a ball.",
        "The little girl (about 3) kicks a blue ball.",
    ),
    row(
        "A man in a red shirt is riding a bike.",
        "A cyclist jumps his bike over a dirt ramp.",
        "A boy on a mountain-bike is in mid-air.",
        "Someone in a helmet does a trick on a bike.",
    ),
    row(
        "a group of people sit on a bench",
        "Three people sit on a bench and wait for the bus.",
        "Three people wait at the bus stop; one reads.",
        'People are waiting on a bench under a sign that says "Main St. 5:30".',
    ),
    row(
        "A dog dog dog in the water.",
        "A black dog swims in the water with a stick.",
        "The wet dog brings back a stick.",
        "A black Labrador is swimming in a lake.",
    ),
    row(
        "",
        "A surfer rides a huge wave.",
        "A man in a wetsuit surfs on a big wave.",
    ),
    row(
        "Children",
        "Children play football in the street.",
        "Four kids kick a ball around between parked cars.",
        "Children playing.",
    ),
    row(
        "A woman is standing on the beach and a man is standing on the beach.",
        "A woman stands on the beach at sunset.",
        "A woman is standing on the beach.",
        "Someone's shadow falls on the sand while she looks at the sea...",
    ),
    row("A boy is jumping into a pool.", *["A boy is jumping into a pool."] * 3),
]

# pycocoevalcap 1.2 made these numbers of ROWS, run by hand with Java for its tokenizer;
# its BLEU and ROUGE-L are shares of 1. On Flickr8k's 1,000 test images, one caption
# against the other four, for each of the five, all scores agree to 1e-12.
TOOL = {
    "bleu_1": 71.5116035,
    "bleu_2": 59.9521381,
    "bleu_3": 51.4876255,
    "bleu_4": 44.6854483,
    "rouge_l": 57.9477054,
    "cider_d": 2.0790279,
}
TOOL_CIDER_D = [
    *[0.8170336, 2.2878054, 3.0723349, 0.4758037, 1.648598],
    *[0.5660143, 0.0, 0.8738144, 1.0488753, 10.0],
]


def test_scores_are_those_of_the_tool():
    values = score_captions(ROWS).values
    assert {name: values[name] for name in TOOL} == pytest.approx(TOOL, abs=1e-6)
    each = row_scores(ROWS)
    assert [one["cider_d"] for one in each] == pytest.approx(TOOL_CIDER_D, abs=1e-6)
    assert sum(one["rouge_l"] for one in each) / 10 == pytest.approx(values["rouge_l"])


def test_the_docstring_example():
    rows = [
        row(
            "Two dogs play in the grass.",
            "Two dogs run in grass.",
            "Dogs play on a lawn.",
        ),
        row("A ball.", "A red ball."),
    ]
    values = score_captions(rows).values
    # 7 of 8 words, 2 of 6 pairs ("two dogs", "dogs play"), no three in a row.
    assert values["bleu_1"] == pytest.approx(100 * 7 / 8)
    assert values["bleu_2"] == pytest.approx(100 * (7 / 8 * 2 / 6) ** 0.5)
    assert values["bleu_3"] == values["bleu_4"] == 0
    assert round(values["rouge_l"], 1) == 75.6
    assert round(values["cider_d"], 2) == 1.85


def test_the_closest_reference_length_counts_the_shorter_of_two():
    # 3 words: 2 and 4 are as close, 9 is not; 2 means no penalty for brevity.
    rows = [row("a b c", "a b c d", "a b", "a b c d e f g h i")]
    values = score_captions(rows).values
    assert values["length_ratio"] == pytest.approx(3 / 2)
    assert values["bleu_3"] == pytest.approx(100)


def test_a_perfect_system_reaches_the_top_of_all_scales():
    texts = ["Two dogs run here.", "A man climbs a rock.", "She kicks the blue ball!"]
    values = score_captions([row(text, text, text) for text in texts]).values
    for name in ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l"):
        assert values[name] == pytest.approx(100)
    assert values["length_ratio"] == values["distinct"] == 1


def test_case_and_punctuation_do_not_count():
    other = [row(r["prediction"].upper() + "!", *r["references"]) for r in ROWS]
    assert score_captions(other).values == pytest.approx(score_captions(ROWS).values)


def test_the_order_of_references_and_rows_does_not_matter():
    turned = [row(r["prediction"], *r["references"][::-1]) for r in ROWS[::-1]]
    assert score_captions(turned).values == pytest.approx(score_captions(ROWS).values)
    assert row_scores(turned)[0] == pytest.approx(row_scores(ROWS)[-1])


def test_how_captions_differ():
    rows = [row(text, "x") for text in ("A dog.", "a dog", "A cat runs", "")]
    known = known_captions(["a  DOG !", "a cat"])
    values = score_captions(rows, known=known).values
    assert values["distinct"] == 3 / 4
    assert values["novel"] == 1 / 4
    assert values["words_used"] == 4
    assert values["mean_length"] == 7 / 4
    assert "novel" not in score_captions(rows).values


@pytest.mark.parametrize("rows", [[], [row("", "a dog")], [row("...", "a", "")]])
def test_nothing_said_scores_nothing(rows):
    values = score_captions(rows, known=frozenset()).values
    assert values.pop("distinct") == len(rows)
    assert set(values.values()) == {0}


def test_empty_captions_among_others_lower_the_scores():
    whole = score_captions([*ROWS[:4], row("", *ROWS[4]["references"])]).values
    fewer = score_captions([*ROWS[:4], ROWS[2]]).values
    for name in ("bleu_1", "bleu_4", "rouge_l", "cider_d"):
        assert 0 < whole[name] < fewer[name]
    nothing_to_match = score_captions([row("a dog", "", ".")]).values
    assert all(nothing_to_match[name] == 0 for name in TOOL)


def test_scores_by_the_length_of_references():
    rows = [
        row("a b c d e", " ".join(["a b c d e", *["w"] * more]), "v " * (5 + more))
        for more in (0, 3, 4, 5, 6, 7, 8, 10, 11, 90)
    ]
    rows.append(row("a b", "v " * 8, "v " * 9))  # 8.5 words
    scores = score_captions(rows)
    counts = {name: part["count"] for name, part in scores.per_type.items()}
    assert counts == {"1-8": 2, "9-10": 3, "11-12": 2, "13-15": 2, "16+": 2}
    short = score_captions(rows[:2]).values
    assert scores.per_type["1-8"]["bleu_4"] == pytest.approx(short["bleu_4"])
    assert scores.per_type["1-8"]["rouge_l"] == pytest.approx(short["rouge_l"])
    each = [one["cider_d"] for one in row_scores(rows)]
    assert scores.per_type["16+"]["cider_d"] == pytest.approx(sum(each[8:10]) / 2)
    quick = score_captions(rows, quick=True)
    assert quick.per_type == {}
    assert quick.values == scores.values


def test_signatures_say_how_it_was_counted():
    signatures = score_captions(ROWS[:6]).signatures
    assert signatures["bleu"].startswith(
        "nrefs:3|case:lc|eff:no|tok:none|smooth:none|version:2."
    )
    assert signatures["bleu"].endswith("|words:ptb-lower-nopunct")
    rest = "words:ptb-lower-nopunct|version:"
    assert signatures["rouge_l"].startswith(f"nrefs:3|beta:1.2|max:p,r|{rest}")
    assert signatures["cider_d"].startswith(f"nrefs:3|n:4|sigma:6|df:test|{rest}")
    assert score_captions(ROWS).signatures["cider_d"].startswith("nrefs:var|")


def test_a_row_without_references_is_named():
    with pytest.raises(ValueError, match="Row 1 of 2 has no reference for its caption"):
        score_captions([row("a", "a"), row("a dog")])
