"""What goes into a scene: which objects, how many, on which ground; or which part of which photo.

Does not know how objects are pasted or where scenes are kept.
"""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from gpt4roi_export.pictures.index import Backdrop, Cutout, Named, Photo, Pictures, Split
from gpt4roi_export.scene import RegionFacts
from gpt4roi_export.scenes.compose import jittered
from gpt4roi_export.scenes.sprites import Rgb, Sprite, relit
from gpt4roi_runtime.errors import ImageError, InputError

SIZES = ((640, 480), (480, 640), (640, 640), (640, 360))
"""Width and height of scenes."""

_N_OBJECTS = (1, 2, 3, 4, 5)
_N_OBJECTS_ODDS = (0.16, 0.26, 0.26, 0.18, 0.14)
_PHOTOGRAPHIC = 0.55  # most of the drawings are renderings of one style, so photos are preferred
_CARD = 0.10
_REPEATING = 0.36  # of scenes with three objects and more
_ALIKE = 0.15  # scenes of one kind: birds only
_PLAIN = 0.15
_BLURRED_GROUND = 0.3


@dataclass(frozen=True)
class Stock:
    """The pictures that may be used, in their folder.

    Attributes:
        folder: The picture folder.
        cutouts: To choose objects from.
        photos: To choose whole photos and cards from; there may be none.
        backdrops: To paste on.
    """

    folder: Path
    cutouts: tuple[Cutout, ...]
    photos: tuple[Photo, ...]
    backdrops: tuple[Backdrop, ...]

    def __post_init__(self) -> None:
        """Refuse an empty stock here, rather than when a picture is drawn from it."""
        if not self.cutouts or not self.backdrops:
            raise InputError(f"{self.folder} has no cut-outs or no backdrops of this split", "Make more pictures.")

    @cached_property
    def by_name(self) -> dict[tuple[bool, str], tuple[Cutout, ...]]:
        """Cut-outs by whether they are photographic, and by name."""
        found: dict[tuple[bool, str], list[Cutout]] = defaultdict(list)
        for cutout in self.cutouts:
            found[cutout.photographic, cutout.named.name].append(cutout)
        return {key: tuple(group) for key, group in found.items()}


def stock_of(folder: Path, pictures: Pictures, split: str) -> Stock:
    """The pictures that scenes of a split are made of.

    Args:
        folder: The picture folder.
        pictures: Its index.
        split: "train", with what is only practised; "held-out": objects and backdrops that are never trained on;
            "trained-objects": objects that are, on backdrops that are not.

    Raises:
        InputError: No such split, or no pictures for it.
    """
    of_objects = {"train": ("train", "practice"), "held-out": ("held-out",), "trained-objects": ("train",)}.get(split)
    if of_objects is None:
        raise InputError(f"there is no split {split!r}", "Expected train, held-out or trained-objects.")
    of_backdrops = "train" if split == "train" else "held-out"
    return Stock(
        folder,
        tuple(one for one in pictures.cutouts if one.split in of_objects),
        # A photo brings its own ground along, which training has seen if it has seen the objects.
        tuple(one for one in pictures.photos if one.split in of_objects and split != "trained-objects"),
        tuple(one for one in pictures.backdrops if one.split == of_backdrops),
    )


def choose_sprites(stock: Stock, rng: np.random.Generator) -> tuple[Sprite, ...]:
    """One to five objects, some of them of one name or of one kind."""
    n_objects = int(rng.choice(_N_OBJECTS, p=_N_OBJECTS_ODDS))
    first = _any(stock, rng)
    chosen = [first]
    if n_objects >= 3 and rng.random() < _REPEATING:  # so that there is something to count
        chosen += _same_name(stock, first, int(rng.integers(1, n_objects)), rng)
    alike = rng.random() < _ALIKE
    while len(chosen) < n_objects:
        chosen.append((alike and _same_kind(stock, first, rng)) or _any(stock, rng))
    return tuple(load_sprite(stock, one) for one in (chosen[number] for number in rng.permutation(len(chosen))))


_Choice = Cutout | tuple[Photo, int]
"""A cut-out, or a photo and the number of the region that is cut out of it as a card."""


def _any(stock: Stock, rng: np.random.Generator) -> _Choice:
    if stock.photos and rng.random() < _CARD:
        photo = stock.photos[rng.integers(len(stock.photos))]
        return photo, int(rng.integers(len(photo.regions)))
    photographic = bool(rng.random() < _PHOTOGRAPHIC)
    names = [name for is_photo, name in stock.by_name if is_photo == photographic]
    if not names:
        return stock.cutouts[rng.integers(len(stock.cutouts))]
    group = stock.by_name[photographic, names[rng.integers(len(names))]]
    return group[rng.integers(len(group))]


def _same_name(stock: Stock, first: _Choice, n_more: int, rng: np.random.Generator) -> list[_Choice]:
    """More pictures of the first one's name: the same picture, or others of that name."""
    if not isinstance(first, Cutout):
        return [first] * n_more
    group = [one for one in stock.cutouts if one.named.name == first.named.name]
    if rng.random() < 0.5:
        return [first] * n_more
    return [group[rng.integers(len(group))] for _ in range(n_more)]


def _same_kind(stock: Stock, first: _Choice, rng: np.random.Generator) -> Cutout | None:
    kind = (first.named if isinstance(first, Cutout) else first[0].regions[first[1]].named).kind
    group = [one for one in stock.cutouts if one.named.kind == kind]
    return group[rng.integers(len(group))] if group else None


def load_sprite(stock: Stock, chosen: _Choice) -> Sprite:
    """The pixels of a choice.

    Raises:
        ImageError: The file is missing or damaged.
    """
    if isinstance(chosen, Cutout):
        rgba = _read(stock.folder / chosen.path, cv2.IMREAD_UNCHANGED)
        return Sprite(_to_rgba(rgba), chosen.named, sure=_can_be_known(chosen.named, chosen.split))
    photo, number = chosen
    named, (x1, y1, x2, y2) = photo.regions[number].named, photo.regions[number].box
    rgb = _read(stock.folder / photo.path, cv2.IMREAD_COLOR)
    height, width = rgb.shape[:2]
    crop = rgb[int(y1 * height) : int(y2 * height), int(x1 * width) : int(x2 * width)]
    return Sprite(_to_rgba(crop), named, is_card=True, sure=_can_be_known(named, photo.split))


def _can_be_known(named: Named, split: Split) -> bool:
    """Whether the encoder was trained on it, or a model may be."""
    return named.known or split != "held-out"


def choose_ground(stock: Stock, rng: np.random.Generator) -> Rgb:
    """A part of a backdrop, or something plain, of one of the sizes."""
    width, height = SIZES[rng.integers(len(SIZES))]
    if rng.random() < _PLAIN:
        return _plain(width, height, rng)
    backdrop = stock.backdrops[rng.integers(len(stock.backdrops))]
    rgb = _read(stock.folder / backdrop.path, cv2.IMREAD_COLOR)[..., ::-1]
    ground = _part(rgb, width, height, rng)
    if rng.random() < 0.5:
        ground = ground[:, ::-1]
    if rng.random() < _BLURRED_GROUND:
        ground = cv2.GaussianBlur(np.ascontiguousarray(ground), (0, 0), rng.uniform(1, 5))
    return np.ascontiguousarray(relit(ground, rng, 0.2))


def choose_photo(stock: Stock, rng: np.random.Generator) -> tuple[Rgb, tuple[RegionFacts, ...], tuple[int, ...]]:
    """A part of a photo with all of its regions, and their numbers in the photo's list."""
    photo = stock.photos[rng.integers(len(stock.photos))]
    rgb = _read(stock.folder / photo.path, cv2.IMREAD_COLOR)[..., ::-1]
    boxes = np.array([region.box for region in photo.regions])
    # How much may be cut off on each side without touching a region.
    first, last = boxes[:, :2].min(axis=0), 1 - boxes[:, 2:].max(axis=0)
    left, top = first * rng.uniform(0, 0.8, 2)
    right, bottom = 1 - last * rng.uniform(0, 0.8, 2)
    height, width = rgb.shape[:2]
    x1, y1, x2, y2 = int(left * width), int(top * height), round(right * width), round(bottom * height)
    part = rgb[y1:y2, x1:x2]
    scale = max(SIZES[0]) / max(part.shape[:2])
    part = cv2.resize(np.ascontiguousarray(part), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    pixels = (boxes * (width, height, width, height) - (x1, y1, x1, y1)) * scale
    if rng.random() < 0.5:
        part = part[:, ::-1]
        pixels = np.stack(
            [part.shape[1] - pixels[:, 2], pixels[:, 1], part.shape[1] - pixels[:, 0], pixels[:, 3]], axis=1
        )
    order = tuple(int(number) for number in rng.permutation(len(boxes)))
    facts = tuple(_photo_facts(photo, number, pixels[number], part.shape[:2], rng) for number in order)
    return np.ascontiguousarray(relit(part, rng, 0.2)), facts, order


def _photo_facts(
    photo: Photo, number: int, box: np.ndarray, size: tuple[int, ...], rng: np.random.Generator
) -> RegionFacts:
    region = photo.regions[number]
    x1, y1, x2, y2 = (float(side) for side in box)
    return RegionFacts(
        box=jittered((x1, y1, x2, y2), size, rng, 0.03),
        name=region.named.name,
        color=region.color,
        kind=region.named.kind,
        sure=_can_be_known(region.named, photo.split),
        many_colored=region.many_colored,
    )


def _part(rgb: np.ndarray, width: int, height: int, rng: np.random.Generator) -> Rgb:
    """A random part of the picture with the wanted aspect."""
    largest = min(rgb.shape[1] / width, rgb.shape[0] / height)
    scale = largest * rng.uniform(0.55, 1.0)
    own_width, own_height = int(width * scale), int(height * scale)
    top = int(rng.integers(rgb.shape[0] - own_height + 1))
    left = int(rng.integers(rgb.shape[1] - own_width + 1))
    part = np.ascontiguousarray(rgb[top : top + own_height, left : left + own_width])
    method = cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(part, (width, height), interpolation=method))


def _plain(width: int, height: int, rng: np.random.Generator) -> Rgb:
    """One color, a blend from one to another, or soft noise."""
    one, other = rng.uniform(0, 255, (2, 3))
    blend = _blend(width, height, rng)
    return np.asarray(np.clip(one * (1 - blend) + other * blend, 0, 255), dtype=np.uint8)


def _blend(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """How much of the other color every pixel has: none, more and more towards one side, or here and there."""
    manner = rng.integers(3)
    if manner == 0:
        return np.zeros((height, width, 1))
    if manner == 1:
        tilt = rng.random()
        across, down = np.linspace(0, 1, width)[None, :, None], np.linspace(0, 1, height)[:, None, None]
        return np.asarray(across * tilt + down * (1 - tilt))
    coarse = rng.random((int(rng.integers(3, 24)), int(rng.integers(3, 24)))).astype(np.float32)
    fine = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))
    return np.clip(fine, 0, 1)[..., None]


def _read(path: Path, flags: int) -> np.ndarray:
    pixels = cv2.imread(str(path), flags)
    if pixels is None:
        raise ImageError(f"cannot read {path}", "Make the picture folder anew with gpt4roi-export pictures.")
    return np.asarray(pixels)


def _to_rgba(bgr: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGRA2RGBA if bgr.shape[-1] == 4 else cv2.COLOR_BGR2RGBA))
