"""Scenes without a picture: names, colors and boxes by dice, for a language model that reads only these.

Does not know what such a scene looks like to a vision encoder.
"""

import math
import random
from dataclasses import dataclass

from gpt4roi_export.dialogues.names import NameIndex
from gpt4roi_export.dialogues.places import AS_BIG
from gpt4roi_export.scene import COLORS, RegionFacts, Scene

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class ImagineSettings:
    """What is usual in imagined scenes.

    Attributes:
        n_regions: Weights of 1, 2, ... regions.
        unsure: Share of regions whose name a model could not know.
        many_colored: Share of regions in which no color leads, unless the name has one.
        same_name: Share of regions that repeat another's name.
        same_kind: Share of regions that are of another's kind.
        shortest_side: Of a box, as a fraction of the picture's side.
        longest_side: The same.
        side_px: Longer side of the picture.
    """

    n_regions: tuple[float, ...] = (1.0, 2.0, 3.0, 2.5, 1.5, 1.0)
    unsure: float = 0.15
    many_colored: float = 0.4
    same_name: float = 0.15
    same_kind: float = 0.2
    shortest_side: float = 0.06
    longest_side: float = 1.0
    side_px: int = 1000


def imagine(index: NameIndex, rng: random.Random, settings: ImagineSettings, scene_id: str) -> Scene:
    """A scene of which nothing exists but its facts.

    Args:
        index: All names; each is equally likely.
        rng: The dice.
        settings: What is usual.
        scene_id: What to call it.
    """
    size = _size(rng, settings.side_px)
    (n_regions,) = rng.choices(range(1, len(settings.n_regions) + 1), settings.n_regions)
    regions: list[RegionFacts] = []
    for _ in range(n_regions):
        name = _name(index, rng, settings, regions)
        x1, y1, x2, y2 = _corners(rng, settings, size, regions)
        box = (round(x1 * size[0], 1), round(y1 * size[1], 1), round(x2 * size[0], 1), round(y2 * size[1], 1))
        sure = rng.random() >= settings.unsure
        color = _color(name, rng, settings)
        regions.append(RegionFacts(box, name, color, index.kind_of[name], sure, many_colored=color is None))
    return Scene(scene_id, size, tuple(regions))


def _size(rng: random.Random, side_px: int) -> tuple[int, int]:
    aspect = math.exp(rng.uniform(-0.6, 0.6))
    return (side_px, round(side_px / aspect)) if aspect > 1 else (round(side_px * aspect), side_px)


def _name(index: NameIndex, rng: random.Random, settings: ImagineSettings, before: list[RegionFacts]) -> str:
    roll = rng.random()
    like = rng.choice(before) if before else None
    if like is None or like.name is None or roll >= settings.same_name + settings.same_kind:
        return rng.choice(index.names)
    if roll < settings.same_name:
        return like.name
    return rng.choice(index.of_kind[index.kind_of[like.name]])


def _color(name: str, rng: random.Random, settings: ImagineSettings) -> str | None:
    """Any color or none, unless the name has one."""
    own = [color for color in COLORS if color in name.lower().replace("grey", "gray").split()]
    if own and rng.random() < 0.8:
        return own[0]
    return None if rng.random() < settings.many_colored else rng.choice(COLORS)


def _corners(
    rng: random.Random, settings: ImagineSettings, size: tuple[int, int], before: list[RegionFacts]
) -> Corners:
    """A box as fractions of the picture's sides: of any size, or as big as another, or in line with another."""
    shortest, longest = settings.shortest_side, settings.longest_side
    base = math.exp(rng.uniform(math.log(shortest), math.log(longest)))
    stretch = math.exp(rng.uniform(-0.5, 0.5))
    width, height = _stretched(base, base, stretch, settings)
    x, y = rng.uniform(width / 2, 1 - width / 2), rng.uniform(height / 2, 1 - height / 2)
    roll = rng.random()
    if before and roll < 0.5:
        x1, y1, x2, y2 = (value / size[axis % 2] for axis, value in enumerate(rng.choice(before).box))
        if roll < 0.25:
            width, height = _as_big(rng, settings, x2 - x1, y2 - y1)
        if roll < 0.37:
            x = (x1 + x2) / 2
        elif roll < 0.5:
            y = (y1 + y2) / 2
        x, y = min(max(x, width / 2), 1 - width / 2), min(max(y, height / 2), 1 - height / 2)
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _as_big(rng: random.Random, settings: ImagineSettings, width: float, height: float) -> tuple[float, float]:
    """Sides of a box that a person would call as big as one of these sides: of another shape, and not to the pixel."""
    scale = math.exp(rng.uniform(-0.5, 0.5) * math.log(AS_BIG))
    stretch = math.exp(rng.uniform(-0.35, 0.35))
    return _stretched(width * scale, height * scale, stretch, settings)


def _stretched(width: float, height: float, stretch: float, settings: ImagineSettings) -> tuple[float, float]:
    """A wider and lower box of the same area, as far as its sides are usual."""
    shortest, longest = settings.shortest_side, settings.longest_side
    return min(longest, max(shortest, width * stretch)), min(longest, max(shortest, height / stretch))
