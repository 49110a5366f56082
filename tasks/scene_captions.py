"""Captions of scenes: several ways to say one thing, and back from words to things.

    Scene: a small plain red ring left of two large striped blue squares

    a small red ring left of two large striped blue squares
    two big blue squares with stripes are to the right of one small red ring
    on the left is a small plain red ring and on the right are two large blue squares
        with stripes
    ...

Captions are in lower case, without commas or full stops. All of them tell the whole
scene: shape, colour, size, texture and count of each group, and the relation; only of
plain things they may say nothing about the texture. `parse` reads what `captions` may
write, and says what it could not read of anything else.
"""

import random
import re
from dataclasses import dataclass
from typing import Any

from seqloom.tasks.scenes import COLOURS, OPPOSITES, SHAPES, Group, Scene

# Every scene can be told in so many ways.
MAX_CAPTIONS = 6

COUNTS = {"a": 1, "one": 1, "two": 2, "three": 3}
SIZES = {"small": "small", "large": "large", "big": "large"}
TEXTURES = {"plain": "plain", "striped": "striped", "dotted": "dotted"}
ENDINGS = {"with stripes": "striped", "with dots": "dotted"}
PLURALS = {shape: f"{shape}s" for shape in SHAPES} | {"cross": "crosses"}

# {a} is a group, {is_a} the verb that goes with it.
ALONE = (
    "{a}",
    "there {is_a} {a}",
    "the picture shows {a}",
)
RELATED = (
    "{a} {beside} {b}",
    "{a} {is_a} {beside} {b}",
    "there {is_a} {a} {beside} {b}",
    "the picture shows {a} {beside} {b}",
    "{a} {at_a} and {b} {at_b}",
    "{at_a} {is_a} {a} and {at_b} {is_b} {b}",
)
BESIDE = {
    "left": ("left of", "to the left of"),
    "right": ("right of", "to the right of"),
    "above": ("above",),
    "below": ("below", "under"),
}
AT = {
    "left": "on the left",
    "right": "on the right",
    "above": "at the top",
    "below": "at the bottom",
}


@dataclass(frozen=True)
class Mention:
    """What a caption says of a group; None for what it does not say, or says twice.

    Args:
        shape: One of `scenes.SHAPES`, and the others accordingly. Without a word on
            the texture, it is "plain".
    """

    shape: str | None = None
    colour: str | None = None
    size: str | None = None
    texture: str | None = "plain"
    count: int | None = None


@dataclass(frozen=True)
class Description:
    """What a caption says.

    Args:
        groups: The groups, in the order of the caption.
        relation: That of the first to the second, where there are two and the caption
            says it.
        unread: Words that say nothing, or nothing where they stand.
    """

    groups: tuple[Mention, ...]
    relation: str | None
    unread: tuple[str, ...]


# === Writing ===


def captions(
    scene: Scene, generator: random.Random, number: int = 5
) -> tuple[str, ...]:
    """Write so many captions of a scene, all of them right and no two alike.

    Args:
        number: At most `MAX_CAPTIONS`.
    """
    if not 1 <= number <= MAX_CAPTIONS:
        raise ValueError(
            f"There are 1 to {MAX_CAPTIONS} captions of a scene, got number={number}. "
            "Ask for fewer."
        )
    written: dict[str, None] = {}
    while len(written) < number:
        written[_sentence(scene, generator)] = None
    return tuple(written)


def _sentence(scene: Scene, generator: random.Random) -> str:
    groups, relation = generator.choice(scene.orders)
    words = {"a": _phrase(groups[0], generator), "is_a": _verb(groups[0])}
    if relation is None:
        return generator.choice(ALONE).format(**words)
    return generator.choice(RELATED).format(
        **words,
        b=_phrase(groups[1], generator),
        is_b=_verb(groups[1]),
        beside=generator.choice(BESIDE[relation]),
        at_a=AT[relation],
        at_b=AT[OPPOSITES[relation]],
    )


def _phrase(group: Group, generator: random.Random) -> str:
    count = _choose(COUNTS, group.count, generator)
    size = _choose(SIZES, group.size, generator)
    noun = group.shape if group.count == 1 else PLURALS[group.shape]
    ways = [
        f"{count} {size} {group.texture} {group.colour} {noun}",
        f"{count} {size} {group.colour} {noun}",
    ]
    if group.texture == "plain":
        # Mostly nothing is said, as people do.
        return generator.choices(ways, (1, 3))[0]
    ways[1] += " " + _choose(ENDINGS, group.texture, generator)
    return generator.choice(ways)


def _verb(group: Group) -> str:
    return "is" if group.count == 1 else "are"


def _choose(words: dict, meaning: object, generator: random.Random) -> str:
    return generator.choice([word for word in words if words[word] == meaning])


# === Reading ===


def _links() -> dict[tuple[str, ...], str | None]:
    """The words before, between and after the groups, and the relation they make."""
    links: dict[tuple[str, ...], str | None] = {}
    verbs = [{"is_a": a, "is_b": b} for a in ("is", "are") for b in ("is", "are")]
    for verb in verbs:
        for pattern in ALONE:
            links[_around(pattern, **verb)] = None
        for relation, besides in BESIDE.items():
            sides = {"at_a": AT[relation], "at_b": AT[OPPOSITES[relation]]}
            for pattern in RELATED:
                for beside in besides:
                    found = _around(pattern, beside=beside, **sides, **verb)
                    links[found] = relation
    return links


def _around(pattern: str, **words: str) -> tuple[str, ...]:
    text = pattern.format(a="|", b="|", **words)
    return tuple(part.strip() for part in text.split("|"))


_LINKS = _links()

# What each word of a group says: the name of the attribute, and its value.
_MEANINGS: dict[str, tuple[str, Any]] = (
    {word: ("count", count) for word, count in COUNTS.items()}
    | {"an": ("count", 1)}
    | {word: ("size", size) for word, size in SIZES.items()}
    | {word: ("texture", texture) for word, texture in TEXTURES.items()}
    | {colour: ("colour", colour) for colour in COLOURS}
    | {shape: ("shape", shape) for shape in SHAPES}
    | {PLURALS[shape]: ("shape", shape) for shape in SHAPES}
)
_WORD = re.compile(rf"\b(?:{'|'.join(ENDINGS)})\b|\w+")


def parse(caption: str) -> Description:
    """Read a caption, in whatever words: what cannot be read is told, never raised.

    A group goes from its number, or from the first word that only groups have, to its
    noun and a "with stripes" or "with dots" after it.
    """
    reader = _Reader()
    for word in _WORD.findall(" ".join(caption.lower().split())):
        reader.read(word)
    return reader.description()


class _Reader:
    """Reads word after word."""

    def __init__(self):
        self.said: list[dict[str, Any]] = []  # of each group
        self.links: list[list[str]] = [[]]  # words around the groups
        self.unread: list[str] = []
        self.open = False  # whether the last group still waits for its noun

    def read(self, word: str) -> None:
        if word in ENDINGS:
            self._read_ending(word)
        elif word not in _MEANINGS:
            self.open = False
            self.links[-1].append(word)
        else:
            name, value = _MEANINGS[word]
            if not self.open or name == "count":
                self._begin()
            self._say(name, value, word)
            self.open = name != "shape"

    def description(self) -> Description:
        for said in self.said:
            said.setdefault("texture", "plain")
        groups = tuple(Mention(**said) for said in self.said)
        links = tuple(" ".join(words) for words in self.links)
        unread = list(self.unread)
        if links not in _LINKS:
            unread += [word for words in self.links for word in words]
        return Description(groups, _LINKS.get(links), tuple(unread))

    def _begin(self) -> None:
        self.said.append({})
        self.links.append([])

    def _read_ending(self, ending: str) -> None:
        """Right after the noun, or it says nothing."""
        if self.open or not self.said or self.links[-1]:
            self.unread += ending.split()
        else:
            self._say("texture", ENDINGS[ending], ending)

    def _say(self, name: str, value: object, word: str) -> None:
        said = self.said[-1]
        if name in said:
            self.unread.append(word)
            said[name] = value if said[name] == value else None
            return
        said[name] = value
        if name == "shape" and not _agree(said.get("count"), word):
            self.unread.append(word)
            said["count"] = None


def _agree(count: int | None, noun: str) -> bool:
    """Not so in "two ring" and "a rings", whose number nobody knows."""
    return count is None or (count == 1) == (noun in SHAPES)
