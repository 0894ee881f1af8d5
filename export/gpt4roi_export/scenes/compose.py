"""One composed scene: objects pasted on a ground, and what is known about each of them.

Does not know where pictures come from, which of them were chosen, or where scenes are kept.
"""

from dataclasses import dataclass

import numpy as np

from gpt4roi_export.scene import RegionFacts
from gpt4roi_export.scenes.color import dominant_color
from gpt4roi_export.scenes.pasting import OPAQUE, Mask, blurred, cast_shadow, mask_on_canvas, paste
from gpt4roi_export.scenes.sprites import Rgb, Rgba, Sprite, recolored, relit, scaled, trimmed, turned

RECOLORABLE = frozenset(
    {
        "accessory", "appliance", "ball", "bathroom fixture", "boat", "clothing", "container", "data medium",
        "electronic device", "flower", "footwear", "furniture", "headgear", "household linen", "kitchenware", "lamp",
        "musical instrument", "sports equipment", "stationery", "tool", "toy", "vehicle",
    }
)  # fmt: skip
"""Kinds of things that come in any color; a blue horse would teach something wrong."""


@dataclass(frozen=True)
class SceneSettings:
    """How scenes vary.

    Attributes:
        least_scale: Smallest object's longer side, as a share of the image's longer side.
        most_scale: Largest object's.
        most_upscaling: No picture is enlarged further, whatever its scale.
        most_turn_degrees: Either way.
        most_hidden: No more of an object is covered, or outside of the image.
        overlapping: Share of objects that may touch others at all.
        box_jitter: By at most this share of its sides a box misses the object's own.
        recoloring: Share of objects of a ``RECOLORABLE`` kind that get another color.
        shadows: Share of scenes whose objects cast shadows.
        blurring: Share of objects, and half that share of scenes, out of focus.
    """

    least_scale: float = 0.12
    most_scale: float = 0.60
    most_upscaling: float = 2.5
    most_turn_degrees: float = 20.0
    most_hidden: float = 0.30
    overlapping: float = 0.35
    box_jitter: float = 0.04
    recoloring: float = 0.25
    shadows: float = 0.4
    blurring: float = 0.15


Box = tuple[float, float, float, float]

_ROOM = {1: 1.0, 2: 0.95, 3: 0.85, 4: 0.75}
_LITTLE_ROOM = 0.65
_NO_ROOM_AT_ALL = 3, 20, 0.7  # sizes to try, places for each, and how the next size is smaller
_UNTOUCHED = 0.02  # of an object: stray pixels of a rim
_OVER_THE_EDGE = 0.15
_LEAST_SIDE_PX = 12


@dataclass
class _Placed:
    """An object in the scene, with a mask of its pixels that are still to be seen."""

    sprite: Sprite
    visible: Mask
    n_pixels: int


@dataclass(frozen=True)
class _Canvas:
    """A scene while it is made: the picture and the list grow."""

    picture: Rgb
    placed: list[_Placed]
    settings: SceneSettings
    rng: np.random.Generator

    @property
    def size(self) -> tuple[int, int]:
        return self.picture.shape[0], self.picture.shape[1]

    def happens(self, share: float) -> bool:
        return bool(self.rng.random() < share)


def compose(
    sprites: tuple[Sprite, ...], ground: Rgb, rng: np.random.Generator, settings: SceneSettings
) -> tuple[Rgb, tuple[RegionFacts, ...]]:
    """Paste objects on a ground.

    Args:
        sprites: What to paste, the hindmost first; one for which there is no room is left out.
        ground: What to paste on; it gives the scene its size.
        rng: Source of chance.
        settings: How scenes vary.

    Returns:
        The picture, and facts about every object that is in it, in a random order.
    """
    canvas = _Canvas(ground.copy(), [], settings, rng)
    shadows = canvas.happens(settings.shadows)
    largest = settings.most_scale * _ROOM.get(len(sprites), _LITTLE_ROOM)
    for sprite in sprites:
        _place(canvas, sprite, _dressed(canvas, sprite), largest, shadow=shadows)
    picture = relit(canvas.picture, rng, 0.15)
    if canvas.happens(settings.blurring / 2):
        picture = blurred(picture, rng)
    if canvas.happens(settings.blurring):
        noise = rng.normal(0, rng.uniform(2, 9), picture.shape)
        picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
    facts = [_facts(canvas, picture, one) for one in canvas.placed]
    return picture, tuple(facts[number] for number in rng.permutation(len(facts)))


def _dressed(canvas: _Canvas, sprite: Sprite) -> Rgba:
    """The object's pixels mirrored, turned, recolored and lit at random, without a margin."""
    rng, settings = canvas.rng, canvas.settings
    rgba = sprite.rgba[:, ::-1] if canvas.happens(0.5) else sprite.rgba
    if sprite.named.kind in RECOLORABLE and not sprite.is_card and canvas.happens(settings.recoloring):
        rgba = recolored(rgba, rng)
    if not sprite.is_card and canvas.happens(0.6):
        rgba = turned(rgba, rng.uniform(-settings.most_turn_degrees, settings.most_turn_degrees))
    return trimmed(np.dstack([relit(rgba[..., :3], rng, 0.15), rgba[..., 3]]))


def _place(canvas: _Canvas, sprite: Sprite, rgba: Rgba, largest: float, *, shadow: bool) -> None:
    """Find a place where no object gets hidden too much, and paste there; nothing happens if there is none."""
    rng, settings = canvas.rng, canvas.settings
    scale = float(rng.uniform(settings.least_scale, max(settings.least_scale, largest)))
    touching = canvas.happens(settings.overlapping)
    n_sizes, n_places, smaller = _NO_ROOM_AT_ALL
    for _ in range(n_sizes):
        sized = scaled(rgba, _longer_side(canvas, rgba, scale))
        for _ in range(n_places):
            corner = _corner(canvas, sized)
            mask = mask_on_canvas(sized, corner, canvas.size)
            if _hides_too_much(canvas, mask, sized, touching=touching):
                continue
            _add(canvas, sprite, sized, corner, mask, shadow=shadow)
            return
        scale = max(settings.least_scale, scale * smaller)


def _longer_side(canvas: _Canvas, rgba: Rgba, scale: float) -> int:
    """In pixels, so that the object fits into the scene and is not enlarged too much."""
    longer = max(rgba.shape[:2])
    wanted = min(round(scale * max(canvas.size)), round(canvas.settings.most_upscaling * longer))
    fitting = (round(0.96 * whole * longer / own) for whole, own in zip(canvas.size, rgba.shape[:2], strict=True))
    return int(max(_LEAST_SIDE_PX, min(wanted, *fitting)))


def _corner(canvas: _Canvas, sized: Rgba) -> tuple[int, int]:
    """Where the object's top left pixel goes; now and then it reaches a little over the edge."""
    over = _OVER_THE_EDGE if canvas.happens(_OVER_THE_EDGE) else 0.0
    top, left = (
        int(canvas.rng.integers(-int(over * own), max(1, whole - own + int(over * own) + 1)))
        for own, whole in zip(sized.shape[:2], canvas.size, strict=True)
    )
    return top, left


def _hides_too_much(canvas: _Canvas, mask: Mask, sized: Rgba, *, touching: bool) -> bool:
    """Whether the object, or one that it comes to lie on, would be hidden too much."""
    least_seen = 1 - canvas.settings.most_hidden
    if mask.sum() < max(1.0, least_seen * _n_opaque(sized)):
        return True
    hidden = canvas.settings.most_hidden if touching else _UNTOUCHED
    for other in canvas.placed:
        n_covered = int((other.visible & mask).sum())
        n_left = int(other.visible.sum()) - n_covered
        if n_covered > hidden * other.n_pixels or n_left < least_seen * other.n_pixels:
            return True
    return False


def _add(canvas: _Canvas, sprite: Sprite, sized: Rgba, corner: tuple[int, int], mask: Mask, *, shadow: bool) -> None:
    if canvas.happens(canvas.settings.blurring):
        sized = np.dstack([blurred(sized[..., :3], canvas.rng), sized[..., 3]])
    if shadow:
        cast_shadow(canvas.picture, sized[..., 3], corner, canvas.rng)
    paste(canvas.picture, sized, corner)
    for other in canvas.placed:
        other.visible &= ~mask
    canvas.placed.append(_Placed(sprite, mask, _n_opaque(sized)))


def _n_opaque(rgba: Rgba) -> int:
    return int((rgba[..., 3] > OPAQUE).sum())


def _facts(canvas: _Canvas, picture: Rgb, one: _Placed) -> RegionFacts:
    named = one.sprite.named
    # A card is not cut out: its color may be its ground's.
    color = None if one.sprite.is_card else dominant_color(picture[one.visible])
    box = jittered(_tight_box(one.visible), canvas.size, canvas.rng, canvas.settings.box_jitter)
    return RegionFacts(
        box=box,
        name=named.name,
        color=color,
        kind=named.kind,
        sure=one.sprite.sure,
        many_colored=color is None and not one.sprite.is_card,
    )


def _tight_box(mask: Mask) -> Box:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def jittered(box: Box, size: tuple[int, ...], rng: np.random.Generator, most: float) -> Box:
    """A box with every side moved by up to ``most`` of its length, inside of the image, on whole pixels.

    Args:
        box: xyxy in pixels.
        size: Height and width of the image.
        rng: Source of chance.
        most: Share of the box's sides.
    """
    x1, y1, x2, y2 = box
    dx1, dy1, dx2, dy2 = rng.uniform(-most, most, 4)
    width, height = x2 - x1, y2 - y1
    x1, x2 = max(0.0, round(x1 + dx1 * width)), min(float(size[1]), round(x2 + dx2 * width))
    y1, y2 = max(0.0, round(y1 + dy1 * height)), min(float(size[0]), round(y2 + dy2 * height))
    return float(x1), float(y1), float(x2), float(y2)
