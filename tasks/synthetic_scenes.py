"""The synthetic corpora of captioning: drawn scenes, each with several captions.

No description, that is groups and relation in whatever order, is in two splits. Of
test, every second scene has pairs of attributes that training never shows together,
see `scenes`.

Circles are scenes of a lone plain circle, small or large, in a colour: learned within
seconds, to see whether an installation is sound.
"""

import dataclasses
import random
import zlib
from typing import NamedTuple

from seqloom.tasks.records import ImageBytes
from seqloom.tasks.scene_captions import captions
from seqloom.tasks.scene_drawing import draw, png_bytes
from seqloom.tasks.scenes import Scene, sample_scene

SIZES = {"train": 30000, "dev": 500, "test": 1000}
CIRCLES = {"train": 600, "dev": 60, "test": 200}
NUM_CAPTIONS = 5

# Of ten hands that descriptions are dealt to, those of each split.
_HANDS = {"train": range(8), "dev": range(8, 9), "test": range(9, 10)}


class SceneImage(NamedTuple):
    """A drawn image with its captions: a `CaptionedImage` that knows its scene.

    SceneImage(
        image=ImageBytes(b"..."),
        captions=("a small red ring", "there is one small red ring"),
        name="test-0002.png",
        where="synthetic/scenes/test:2",
        scene=Scene((Group("ring", "red", "small", "plain", 1),)),
    )
    """

    image: ImageBytes
    captions: tuple[str, ...]
    name: str
    where: str
    scene: Scene

    @property
    def held_out(self) -> bool:
        """Whether it has pairs of attributes that training never shows together."""
        return self.scene.held_out


def synthetic_scenes(
    split: str, seed: int = 0, number: int | None = None, size: int = 64
) -> list[SceneImage]:
    """Make the images of a split; the same arguments always give the same ones.

    The pixels are the same everywhere; their PNG files are wherever Pillow compresses
    in the same way.

    Args:
        split: "train", "dev" or "test".
        seed: Seed of the generator; the splits draw from streams of their own.
        number: Only the first so many; defaults to 30,000 of training, 500 of
            validation, 1,000 of test.
        size: Pixels of each side.
    """
    if split not in SIZES:
        raise ValueError(
            f"The synthetic scenes have no split {split!r}. Choose from "
            f"{', '.join(SIZES)}."
        )
    number = SIZES[split] if number is None else number
    generator = random.Random(f"scenes {split} {seed}")
    records = []
    for place in range(1, number + 1):
        held_out = split == "test" and place % 2 == 0
        scene = _sample(split, held_out, generator)
        sayings = captions(scene, generator, NUM_CAPTIONS)
        records.append(_record("scenes", scene, sayings, (split, seed, place), size))
    return records


def synthetic_circles(
    split: str, seed: int = 0, number: int | None = None, size: int = 48
) -> list[SceneImage]:
    """Make images of one plain circle each, with one caption.

    Args:
        split, seed, size: As for `synthetic_scenes`. The same things come in all
            splits, at other places, and nothing is held out.
        number: Defaults to 600, 60 and 200.
    """
    number = CIRCLES[split] if number is None else number
    generator = random.Random(f"circles {split} {seed}")
    records = []
    for place in range(1, number + 1):
        scene = sample_scene(generator)
        lone = dataclasses.replace(
            scene.groups[0], shape="circle", texture="plain", count=1
        )
        if lone.held_out:
            lone = dataclasses.replace(lone, colour="blue")
        scene = Scene((lone,), background=scene.background)
        said = (f"a {lone.size} {lone.colour} circle",)
        records.append(_record("circles", scene, said, (split, seed, place), size))
    return records


def _record(
    corpus: str, scene: Scene, said: tuple[str, ...], place: tuple, size: int
) -> SceneImage:
    split, _, number = place
    image = draw(scene, size, " ".join(map(str, place)))
    return SceneImage(
        image=ImageBytes(png_bytes(image)),
        captions=said,
        name=f"{split}-{number:04}.png",
        where=f"synthetic/{corpus}/{split}:{number}",
        scene=scene,
    )


def _sample(split: str, held_out: bool, generator: random.Random) -> Scene:
    while True:
        scene = sample_scene(generator, held_out)
        # What is held out comes in test alone, all of it.
        if held_out or _hand(scene) in _HANDS[split]:
            return scene


def _hand(scene: Scene) -> int:
    """By the description alone, in whatever order: no matter which comes first."""
    texts = sorted(f"{groups} {relation}" for groups, relation in scene.orders)
    return zlib.crc32(texts[0].encode()) % 10
