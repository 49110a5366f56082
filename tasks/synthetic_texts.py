"""A synthetic twin of sentiment: made from a seed, learnable within a minute.

The label of a text follows from its opinion words. They are a closed list, so that a
vocabulary of whole words can know them, and their endings tell them too: "-osa" and
"-ine" are good, "-urk" and "-og" are bad. "not" right before one turns it round, and
means nothing before any other word; so counting words is not enough. A text without an
opinion word is neutral. The other words are invented ones that training mostly never
showed. A classifier that misses 99 % on such texts has a fault.

    the toldur was brilosa .               positive
    the toldur was not brilosa again .     negative
    not every velament met a gorkur .      neutral
"""

import random

from seqloom.tasks.records import LabelledText

SIZES = {"train": 1600, "dev": 200, "test": 200}
LABELS = ("negative", "neutral", "positive")

_STEMS = ("bril", "tor", "kal", "mund", "fes", "lant", "grim", "sop")
_ENDINGS = {"positive": ("osa", "ine"), "negative": ("urk", "og")}
_OPINIONS = {
    label: [stem + ending for stem in _STEMS for ending in endings]
    for label, endings in _ENDINGS.items()
}
_OPPOSITE = {"positive": "negative", "negative": "positive"}

_ONSETS = (*"bdfgklmnprstvz", "br", "dr", "gr", "kl", "pl", "st", "tr")
_VOWELS = tuple("aeiou")
_CODAS = tuple("lmnrs")
_DETERMINERS = ("the", "a", "every", "some")
_VERBS = ("was", "seemed", "met", "left", "made")
_LINKS = ("and", "then", "while")
_FILLERS = ("again", "today", "there", "it", "of", "with", "one")


def synthetic_texts(
    split: str, seed: int = 0, num_texts: int | None = None
) -> list[LabelledText]:
    """Make the texts of a split; the same arguments always give the same ones.

    Args:
        split: "train", "dev" or "test".
        seed: Seed of the generator; the splits draw from streams of their own.
        num_texts: Defaults to 1,600 for training, 200 for the others.
    """
    num_texts = SIZES[split] if num_texts is None else num_texts
    generator = random.Random(f"sentiment {split} {seed}")
    texts = []
    for number in range(1, num_texts + 1):
        label = generator.choice(LABELS)
        where = f"synthetic/sentiment/{split}:{number}"
        texts.append(LabelledText(_text(generator, label), label, where))
    return texts


def _text(generator: random.Random, label: str) -> str:
    words = []
    for number in range(generator.choice((1, 1, 2))):
        if number:
            words.append(generator.choice(_LINKS))
        words += _clause(generator, label)
    return " ".join([*words, generator.choice((".", "!"))])


def _clause(generator: random.Random, label: str) -> list[str]:
    """A subject, a verb, and an opinion of the label or, for neutral, a thing."""
    words = [*_thing(generator), generator.choice(_VERBS)]
    if label == "neutral":
        words += _thing(generator)
    elif generator.random() < 0.4:
        words += ["not", generator.choice(_OPINIONS[_OPPOSITE[label]])]
    else:
        words.append(generator.choice(_OPINIONS[label]))
    for _ in range(generator.randint(0, 2)):
        words.append(generator.choice(_FILLERS))
    return words


def _thing(generator: random.Random) -> list[str]:
    words = [generator.choice(_DETERMINERS), _noun(generator)]
    return ["not", *words] if generator.random() < 0.2 else words


def _noun(generator: random.Random) -> str:
    """An invented noun, such as "toldur": thousands of them are possible."""
    syllables = [
        generator.choice(_ONSETS) + generator.choice(_VOWELS) + generator.choice(_CODAS)
        for _ in range(generator.choice((1, 2)))
    ]
    return "".join(syllables) + generator.choice(("ur", "ment"))
