"""Whether a caption tells a scene: read for what it means, not for its words.

scene     a small red ring left of two large striped blue squares
caption   two large blue squares right of a small red ring
check     texture is wrong, all else is right
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from statistics import fmean

from seqloom.tasks.scene_captions import Description, Mention, parse
from seqloom.tasks.scenes import ATTRIBUTES, OPPOSITES, Group, Scene

# The parts of a scene, in the order of tables.
PARTS = ("objects", "colour", "size", "texture", "count", "relation")


@dataclass(frozen=True)
class SceneCheck:
    """What of a caption is right.

    Args:
        objects: It has the shapes of the scene, no group too few, none too many.
        colour: Each group of the scene is mentioned, in its colour.
        size: Accordingly.
        texture: Accordingly.
        count: Accordingly.
        relation: The groups stand to each other as it says. None where the scene has
            one group, so that there is no relation to be told.
        unread: Words that could not be read.
    """

    objects: bool
    colour: bool
    size: bool
    texture: bool
    count: bool
    relation: bool | None
    unread: tuple[str, ...] = ()

    @property
    def wrong(self) -> tuple[str, ...]:
        """The parts that are wrong, of `PARTS`."""
        return tuple(part for part in PARTS if getattr(self, part) is False)

    @property
    def correct(self) -> bool:
        """Nothing is wrong, and every word was read."""
        return not self.wrong and not self.unread


def check(caption: str, scene: Scene) -> SceneCheck:
    """Compare what a caption says with what a scene has.

    The order in which groups are told does not matter: "a left of b" is "b right of a".
    Where the groups are not those of the scene, mentions are taken for the groups they
    have most in common with.
    """
    said = parse(caption)
    candidates = [_compare(said, pairs, scene) for pairs in _pairings(said, scene)]
    return max(candidates, key=_agreement)[0]


def summarize(
    checks: Sequence[SceneCheck], held_out: Sequence[bool]
) -> dict[str, float]:
    """Shares of captions that are right: as a whole, and in each part.

    Args:
        checks: Of all captions.
        held_out: For each, whether its scene has pairs of attributes that training
            never showed.

    Returns:
        `correct`, and the same of the held-out and of the other scenes,
        `correct_held_out` and `correct_seen`; `objects`, `colour`, `size`, `texture`
        and `count`; `relation`, of the scenes that have one; `readable`, the share of
        captions of which every word was read. 0 where there are no such scenes.
    """
    flagged = list(zip(checks, held_out, strict=True))
    told = {
        part: [right for one in checks if (right := getattr(one, part)) is not None]
        for part in PARTS
    }
    return {
        "correct": _share([one.correct for one in checks]),
        "correct_seen": _share([one.correct for one, held in flagged if not held]),
        "correct_held_out": _share([one.correct for one, held in flagged if held]),
        **{part: _share(rights) for part, rights in told.items()},
        "readable": _share([not one.unread for one in checks]),
    }


def _share(rights: Sequence[bool]) -> float:
    return fmean(rights) if rights else 0.0


# For each group of the scene the place of its mention, None where it has none.
_Pairs = tuple[int | None, ...]


def _pairings(said: Description, scene: Scene) -> list[_Pairs]:
    """All ways to take mentions for groups, as many as can be."""
    places: list[int | None] = list(range(len(said.groups)))
    places += [None] * (len(scene.groups) - len(places))
    return list(permutations(places, len(scene.groups)))


def _compare(said: Description, pairs: _Pairs, scene: Scene) -> tuple[SceneCheck, int]:
    """Also says how many attributes of all groups are right."""
    rights = [
        _rights(group, None if place is None else said.groups[place])
        for group, place in zip(scene.groups, pairs)
    ]
    parts = {name: all(right[name] for right in rights) for name in ATTRIBUTES}
    shapes = parts.pop("shape")
    relation = None
    if scene.relation is not None:
        flipped = OPPOSITES[scene.relation]
        relation = said.relation == (scene.relation if pairs == (0, 1) else flipped)
    whole = SceneCheck(
        objects=shapes and len(said.groups) == len(scene.groups),
        relation=relation,
        unread=said.unread,
        **parts,
    )
    return whole, sum(sum(right.values()) for right in rights)


def _rights(group: Group, mention: Mention | None) -> dict[str, bool]:
    return {
        name: mention is not None and getattr(mention, name) == getattr(group, name)
        for name in ATTRIBUTES
    }


def _agreement(candidate: tuple[SceneCheck, int]) -> tuple[int, int]:
    whole, rights = candidate
    return rights, -len(whole.wrong)
