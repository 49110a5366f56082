"""The words of captions against what the Treebank tokenizer makes of them."""

import pytest

from seqloom.tasks.caption_words import caption_words

# The right side is the output of the PTBTokenizer of the COCO caption evaluation
# (pycocoevalcap 1.2 with Stanford CoreNLP 3.4.1, run by hand), punctuation dropped.
PAIRS = {
    "A dog , on the grass .": "a dog on the grass",
    "Two DOGS run!": "two dogs run",
    "The man isn't sure; he can't swim.": "the man is n't sure he ca n't swim",
    "They cannot, won’t and WOULDN'T've.": "they can not wo n't and would n't 've",
    "He's gonna jump, she'd wait, we'll see.": (
        "he 's gon na jump she 'd wait we 'll see"
    ),
    "I'm sure they've got it, you're not": "i 'm sure they 've got it you 're not",
    "The dogs' ball and a girl's doll.": "the dogs ball and a girl 's doll",
    "a 'quoted' word, a “curly” one and ``another''": (
        "a quoted word a curly one and another"
    ),
    "A T-shirt, a 2-year-old - a mother-in-law's": (
        "a t-shirt a 2-year-old a mother-in-law 's"
    ),
    "He waits -- then runs — then stops... end": "he waits then runs then stops end",
    "A man (left) [not right] {now}": (
        "a man -lrb- left -rrb- -lsb- not right -rsb- -lcb- now -rcb-"
    ),
    "Mr. Smith of the U.S. eats at 5:30 p.m. on Main St.": (
        "mr. smith of the u.s. eats at 5:30 p.m. on main st."
    ),
    "He says no. No. 7 in a Miami U. shirt": "he says no no. 7 in a miami u. shirt",
    "50% off, $5.00, #3 & 1,000 people, 1/2 full": (
        "50 % off $ 5.00 # 3 & 1,000 people 1/2 full"
    ),
    "the AT&T logo, black&white, R&B": "the at&t logo black & white r&b",
    "red &amp; white": "red & white",
    "5 o'clock, rock 'n' roll in the '90s, the 80's": (
        "5 o'clock rock 'n' roll in the '90s the 80 's"
    ),
    "the girl,boy and boy;girl": "the girl boy and boy girl",
    "www.example.com a_b x=y": "www.example.com a_b x = y",
    "Une œuvre naïve, eine Straße": "une œuvre naïve eine straße",
}


@pytest.mark.parametrize("caption", PAIRS)
def test_words_are_those_of_the_tool(caption):
    assert " ".join(caption_words(caption)) == PAIRS[caption]


def test_only_words_are_left():
    for nothing in ("", "  \t\n", ".", "...", "-- ' `` ''", "?!", "\u3000", "—"):
        assert caption_words(nothing) == []
    assert caption_words(" A\tdog \n runs ") == ["a", "dog", "runs"]
