"""Scenes for captioning: what a made picture shows, and how such scenes are drawn.

A scene has one group of like objects, or two that stand in a relation:

    Scene(
        groups=(
            Group("ring", "red", "small", "plain", 1),
            Group("square", "blue", "large", "striped", 2),
        ),
        relation="left",
        background="gradient",
    )

    a small red ring left of two large striped blue squares

Some pairs of attributes are held out: training and validation have none of them, and
half of test has. Who names them right has put together what was seen apart:

- a colour with the shape at the same place of the lists: red circle, orange square,
  yellow triangle, green ring, blue cross, purple heart;
- a texture with the colour at the same place, but for plain: striped orange, dotted
  yellow.

So training sees each shape in all colours but one, each colour on all shapes but one,
each texture on all shapes and in all colours but one. Textures are not held out by
shape: edges and stripes mix in small pictures, so that would ask for eyes, not for
composition.
"""

import random
from dataclasses import dataclass
from typing import Any

SHAPES = ("circle", "square", "triangle", "ring", "cross", "heart")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple")
SIZES = ("small", "large")
TEXTURES = ("plain", "striped", "dotted")
COUNTS = (1, 2, 3)
# How the first group stands to the second, and what that makes of the second.
OPPOSITES = {"left": "right", "right": "left", "above": "below", "below": "above"}
RELATIONS = tuple(OPPOSITES)
BACKGROUNDS = ("solid", "gradient", "noise", "stripes")

HELD_OUT_COLOURS = frozenset(zip(COLOURS, SHAPES, strict=True))
HELD_OUT_TEXTURES = frozenset(zip(TEXTURES[1:], COLOURS[1:]))

# Of all scenes, so many have two groups.
SHARE_OF_TWO = 2 / 3


@dataclass(frozen=True)
class Group:
    """One to three like objects.

    Args:
        shape: One of `SHAPES`.
        colour: One of `COLOURS`.
        size: One of `SIZES`.
        texture: One of `TEXTURES`.
        count: One of `COUNTS`.
    """

    shape: str
    colour: str
    size: str
    texture: str
    count: int

    def __post_init__(self):
        for name, values in ATTRIBUTES.items():
            _check(f"The {name} of a group", getattr(self, name), values)

    @property
    def held_out(self) -> bool:
        """Whether training never shows this shape or texture in this colour."""
        by_shape = (self.colour, self.shape) in HELD_OUT_COLOURS
        return by_shape or (self.texture, self.colour) in HELD_OUT_TEXTURES


ATTRIBUTES = {
    "shape": SHAPES,
    "colour": COLOURS,
    "size": SIZES,
    "texture": TEXTURES,
    "count": COUNTS,
}


@dataclass(frozen=True)
class Scene:
    """One group, or two in a relation, on a background.

    Args:
        groups: One or two. Two differ in shape or colour, as otherwise nobody could
            tell them apart.
        relation: One of `RELATIONS`, of the first group to the second; None for one.
        background: One of `BACKGROUNDS`; captions are silent about it.
    """

    groups: tuple[Group, ...]
    relation: str | None = None
    background: str = "solid"

    def __post_init__(self):
        _check("The number of groups of a scene", len(self.groups), (1, 2))
        relations = RELATIONS if len(self.groups) == 2 else (None,)
        name = f"The relation of a scene with {len(self.groups)} group(s)"
        _check(name, self.relation, relations)
        _check("The background of a scene", self.background, BACKGROUNDS)
        if len({(group.shape, group.colour) for group in self.groups}) < len(
            self.groups
        ):
            raise ValueError(
                "The groups of a scene must differ in shape or colour, got "
                f"{self.groups[0]} and {self.groups[1]}. Change one of them."
            )

    @property
    def held_out(self) -> bool:
        """Whether a group of it is."""
        return any(group.held_out for group in self.groups)

    @property
    def orders(self) -> tuple[tuple[tuple[Group, ...], str | None], ...]:
        """Ways to say it: groups in some order, and the relation that then holds."""
        if self.relation is None:
            return ((self.groups, None),)
        first, second = self.groups
        return (
            ((first, second), self.relation),
            ((second, first), OPPOSITES[self.relation]),
        )


def sample_scene(generator: random.Random, held_out: bool = False) -> Scene:
    """Draw a scene at random.

    Args:
        generator: Where chance comes from.
        held_out: Whether the scene has held-out pairs of attributes, or has none. As
            many scenes of both kinds have two groups.
    """
    number = 2 if generator.random() < SHARE_OF_TWO else 1
    groups = _sample_groups(generator, number)
    while any(group.held_out for group in groups) != held_out:
        groups = _sample_groups(generator, number)
    relation = generator.choice(RELATIONS) if number == 2 else None
    return Scene(groups, relation, generator.choice(BACKGROUNDS))


def _sample_groups(generator: random.Random, number: int) -> tuple[Group, ...]:
    groups: list[Group] = []
    while len(groups) < number:
        chosen: list[Any] = [generator.choice(v) for v in ATTRIBUTES.values()]
        group = Group(*chosen)
        if not any(
            (other.shape, other.colour) == (group.shape, group.colour)
            for other in groups
        ):
            groups.append(group)
    return tuple(groups)


def _check(what: str, value: object, values: tuple) -> None:
    if value not in values:
        raise ValueError(
            f"{what} is {value!r}. Choose from {', '.join(map(str, values))}."
        )
