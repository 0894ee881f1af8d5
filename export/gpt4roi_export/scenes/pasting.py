"""Pixels of one object into a picture: where the two overlap, blending, and a soft shadow.

Does not know what the object is, or why it goes there.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from gpt4roi_export.scenes.sprites import Rgb, Rgba

Mask = Bool[np.ndarray, "_ _"]

OPAQUE = 127
"""Pixels more opaque than this, of 255, are the object's."""

_Slices = tuple[slice, slice]


def overlap(own: tuple[int, ...], corner: tuple[int, int], size: tuple[int, int]) -> tuple[_Slices, _Slices]:
    """Slices of the canvas and of the object that are the same pixels.

    Args:
        own: The object's height and width, perhaps with more.
        corner: Row and column of its top left pixel on the canvas; either may be negative.
        size: The canvas' height and width.
    """
    there, here = [], []
    for length, start, whole in zip(own[:2], corner, size, strict=True):
        first, last = max(0, start), min(whole, start + length)
        there.append(slice(first, last))
        here.append(slice(first - start, last - start))
    return (there[0], there[1]), (here[0], here[1])


def mask_on_canvas(rgba: Rgba, corner: tuple[int, int], size: tuple[int, int]) -> Mask:
    """Which pixels of the canvas the object would have."""
    mask = np.zeros(size, dtype=bool)
    there, own = overlap(rgba.shape, corner, size)
    mask[there] = rgba[own][..., 3] > OPAQUE
    return mask


def paste(picture: Rgb, rgba: Rgba, corner: tuple[int, int]) -> None:
    """Blend the object into the picture, in place."""
    there, own = overlap(rgba.shape, corner, picture.shape[:2])
    alpha: Float32[np.ndarray, "_ _ 1"] = rgba[own][..., 3:].astype(np.float32) / 255
    mixed = picture[there] * (1 - alpha) + rgba[own][..., :3] * alpha
    picture[there] = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def cast_shadow(
    picture: Rgb, opacity: UInt8[np.ndarray, "_ _"], corner: tuple[int, int], rng: np.random.Generator
) -> None:
    """Darken the picture softly below the object and a little to one side, in place."""
    reach = max(2, min(opacity.shape) // 12)
    border = 3 * reach
    wide = cv2.copyMakeBorder(opacity, border, border, border, border, cv2.BORDER_CONSTANT)
    soft = np.asarray(cv2.GaussianBlur(wide, (0, 0), reach))
    moved = corner[0] - 2 * reach, corner[1] - border + int(rng.integers(-reach, reach + 1))
    there, own = overlap(soft.shape, moved, picture.shape[:2])
    shade = 1 - rng.uniform(0.25, 0.55) * soft[own][..., None].astype(np.float32) / 255
    picture[there] = (picture[there] * shade).astype(np.uint8)


def blurred(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """A little out of focus."""
    return np.asarray(cv2.GaussianBlur(np.ascontiguousarray(rgb), (0, 0), rng.uniform(0.5, 1.6)), dtype=np.uint8)
