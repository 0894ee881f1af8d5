"""Objects as they are pasted: turned, scaled, recolored; pixels with transparency in, the same out.

Does not know the scene they go into, or what they are.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from gpt4roi_export.pictures.index import Named

Rgb = UInt8[np.ndarray, "_ _ 3"]
Rgba = UInt8[np.ndarray, "_ _ 4"]


@dataclass(frozen=True)
class Sprite:
    """One object to paste.

    Attributes:
        rgba: Its pixels.
        named: What it is.
        is_card: A rectangle out of a photo: never turned, and its pixels are not only the object's.
        sure: Whether a model can be expected to know it.
    """

    rgba: Rgba
    named: Named
    is_card: bool = False
    sure: bool = True


def turned(rgba: Rgba, degrees: float) -> Rgba:
    """Rotated about its middle, on a canvas that holds all of it."""
    height, width = rgba.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    cosine, sine = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = int(height * sine + width * cosine) + 2, int(height * cosine + width * sine) + 2
    matrix[:, 2] += size[0] / 2 - width / 2, size[1] / 2 - height / 2
    return _opaque_weighted(rgba, lambda picture: cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR))


def scaled(rgba: Rgba, longer_side_px: int) -> Rgba:
    """With its longer side so long."""
    scale = longer_side_px / max(rgba.shape[:2])
    size = max(1, round(rgba.shape[1] * scale)), max(1, round(rgba.shape[0] * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return _opaque_weighted(rgba, lambda picture: cv2.resize(picture, size, interpolation=method))


def trimmed(rgba: Rgba) -> Rgba:
    """Without the fully transparent margin."""
    opaque = rgba[..., 3] > 0
    rows, columns = np.flatnonzero(opaque.any(axis=1)), np.flatnonzero(opaque.any(axis=0))
    if not len(rows):
        return rgba
    return rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def recolored(rgba: Rgba, rng: np.random.Generator) -> Rgba:
    """With its hues turned by a random angle; colorless objects get a random tint instead."""
    hsv = cv2.cvtColor(np.ascontiguousarray(rgba[..., :3]), cv2.COLOR_RGB2HSV).astype(np.int16)
    opaque = rgba[..., 3] > 128
    if opaque.any() and hsv[..., 1][opaque].mean() < 50:
        hsv[..., 0] = rng.integers(180)
        hsv[..., 1] = np.maximum(hsv[..., 1], rng.integers(110, 200))
        hsv[..., 2] = np.minimum(hsv[..., 2], 235)
    else:
        hsv[..., 0] = (hsv[..., 0] + rng.integers(20, 160)) % 180  # OpenCV counts hues in steps of two degrees
    return np.dstack([cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB), rgba[..., 3]])


def relit(rgb: np.ndarray, rng: np.random.Generator, strength: float) -> Rgb:
    """With other brightness, contrast and color temperature.

    Args:
        rgb: uint8 [h w 3].
        rng: Source of chance.
        strength: 0.2 is up to 20 % each way.
    """
    gain, contrast, warmth = 1 + rng.uniform(-strength, strength, 3) * (1, 1, 0.5)  # warmth shows the most
    channels = np.array([warmth**0.5, 1.0, warmth**-0.5]) * gain
    table = np.clip((np.arange(256)[:, None] * channels - 128) * contrast + 128, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(np.ascontiguousarray(rgb), table[None]))


def _opaque_weighted(rgba: Rgba, change: Callable[[np.ndarray], np.ndarray]) -> Rgba:
    """Resample colors weighted by opacity, or the colors of transparent pixels would bleed into the rim."""
    floats = rgba.astype(np.float32)
    alpha = floats[..., 3:] / 255
    changed = change(np.dstack([floats[..., :3] * alpha, floats[..., 3]]))
    weight = np.maximum(changed[..., 3:] / 255, 1e-3)
    return np.clip(np.dstack([changed[..., :3] / weight, changed[..., 3]]) + 0.5, 0, 255).astype(np.uint8)
