"""Synthetic twins of the tagging tasks: made from a seed, learnable within a minute.

Every tag follows from something a sound tagger can see: the ending of a word (which
also settles words that training never showed), a closed list, or, for words that take
several tags, the word before. A tagger that misses 99 % on them has a fault.

    ner   the  mayor  Koldon  met  Velaska  Torson  near  Lake   Rimville  .
          O    O      B-PER   O    B-PER    I-PER   O     B-LOC  I-LOC     O

    pos   the  brimish  toldur  velates  quorly  to    run   .
          DET  ADJ      NOUN    VERB     ADV     PART  VERB  PUNCT
"""

import random
from collections.abc import Sequence

from seqloom.tasks.records import TaggedSentence

SIZES = {"train": 800, "dev": 200, "test": 200}
TASKS = ("ner", "pos")

_ONSETS = (*"bdfgklmnprstvz", "br", "dr", "gr", "kl", "pl", "st", "tr")
_VOWELS = tuple("aeiou")
_CODAS = tuple("lmnrs")

Tokens = list[tuple[str, str]]


def synthetic_sentences(
    task: str, split: str, seed: int = 0, num_sentences: int | None = None
) -> list[TaggedSentence]:
    """Make the sentences of a split; the same arguments always give the same ones.

    Args:
        task: "ner" (IOB2 tags of PER, LOC and ORG) or "pos" (a small tag set).
        split: "train", "dev" or "test".
        seed: Seed of the generator; the splits draw from streams of their own.
        num_sentences: Defaults to 800 for training, 200 for the others.
    """
    if task not in TASKS:
        raise ValueError(
            f"There is no synthetic twin of the task {task!r}. Choose from "
            f"{', '.join(TASKS)}."
        )
    num_sentences = SIZES[split] if num_sentences is None else num_sentences
    make = _ner_sentence if task == "ner" else _pos_sentence
    generator = random.Random(f"{task} {split} {seed}")
    sentences = []
    for number in range(1, num_sentences + 1):
        tokens, tags = zip(*make(generator), strict=True)
        where = f"synthetic/{task}/{split}:{number}"
        sentences.append(TaggedSentence(tokens, tags, where))
    return sentences


def _stem(generator: random.Random) -> str:
    """An invented stem, such as "kol" or "brimas": thousands of them are possible."""
    syllables = [
        generator.choice(_ONSETS) + generator.choice(_VOWELS) + generator.choice(_CODAS)
        for _ in range(generator.choice((1, 1, 2)))
    ]
    return "".join(syllables)


def _name(generator: random.Random, endings: tuple[str, ...]) -> str:
    return (_stem(generator) + generator.choice(endings)).capitalize()


_TRIGGERS = {
    "PER": ("mayor", "aunt"),
    "LOC": ("near", "across"),
    "ORG": ("firm", "maker"),
}
# What these are, only the trigger before them says.
_EITHER = ("Jordan", "Phoenix", "Victoria", "Lincoln")
_LINKS = ["met", "saw", "left", "joined", "praised", "and", "then", "while"]
_FILLERS = [
    "the",
    "a",
    "old",
    "report",
    "today",
    "again",
    "quietly",
    "it",
    "said",
    "morning",
]


def _entity(generator: random.Random, kind: str) -> Tokens:
    if kind == "PER":
        words = [_name(generator, ("ska", "don"))]
        if generator.random() < 0.5:
            words.append(_name(generator, ("son", "ova")))
    elif kind == "LOC":
        words = [_name(generator, ("ville", "burg"))]
        if generator.random() < 0.4:
            words.insert(0, generator.choice(("Lake", "Mount", "Port")))
    else:
        words = [_name(generator, ("tek", "corp"))]
        if generator.random() < 0.4:
            words.extend(generator.choice((("Group",), ("and", "Partners"))))
    return _as_span(words, kind)


def _as_span(words: list[str], kind: str) -> Tokens:
    return [(word, f"{'I' if i else 'B'}-{kind}") for i, word in enumerate(words)]


def _ner_sentence(generator: random.Random) -> Tokens:
    sentence = _outside(generator, _FILLERS, 1, 2)
    for number in range(generator.choice((1, 1, 2))):
        if number:
            sentence += _outside(generator, _LINKS, 1, 1)
        kind = generator.choice(tuple(_TRIGGERS))
        trigger = (generator.choice(_TRIGGERS[kind]), "O")
        if generator.random() < 0.25:
            sentence += [trigger, *_as_span([generator.choice(_EITHER)], kind)]
        else:
            leading = [trigger] if generator.random() < 0.4 else []
            sentence += leading + _entity(generator, kind)
    sentence += _outside(generator, _LINKS, 1, 1)
    sentence += _outside(generator, _FILLERS, 1, 3)
    return [*sentence[:13], (".", "O")]


def _outside(
    generator: random.Random, words: Sequence[str], least: int, most: int
) -> Tokens:
    return [
        (generator.choice(words), "O") for _ in range(generator.randint(least, most))
    ]


_DETERMINERS = ("the", "a", "every", "some")
_PRONOUNS = ("she", "he", "they", "we")
_BOTH = ("run", "walk", "plan", "talk")  # a noun after a determiner, a verb after "to"


def _pos_sentence(generator: random.Random) -> Tokens:
    subject = (
        [(generator.choice(_PRONOUNS), "PRON")]
        if generator.random() < 0.3
        else _noun_phrase(generator)
    )
    verb = [(_stem(generator) + generator.choice(("ates", "ized")), "VERB")]
    sentence = subject + verb
    if generator.random() < 0.5:
        sentence.append((_stem(generator) + "ly", "ADV"))
    ending = generator.random()
    if ending < 0.4:
        sentence += _noun_phrase(generator)
    elif ending < 0.8:
        sentence += [("to", "PART"), (generator.choice(_BOTH), "VERB")]
    return [*sentence, (generator.choice((".", "!")), "PUNCT")]


def _noun_phrase(generator: random.Random) -> Tokens:
    if generator.random() < 0.3:
        return [
            (generator.choice(_DETERMINERS), "DET"),
            (generator.choice(_BOTH), "NOUN"),
        ]
    phrase = [(generator.choice(_DETERMINERS), "DET")]
    if generator.random() < 0.3:
        phrase = [(str(generator.randint(2, 999)), "NUM")]
    if generator.random() < 0.5:
        phrase.append((_stem(generator) + generator.choice(("ish", "ous")), "ADJ"))
    phrase.append((_stem(generator) + generator.choice(("ur", "ment")), "NOUN"))
    return phrase
