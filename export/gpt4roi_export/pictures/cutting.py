"""One object off its ground: transparency from a plain background, and the crop around what is left.

Does not know what the object is or where the picture came from.
"""

import io

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from gpt4roi_runtime.errors import ImageError

MOST_SIDE_PX = 360
_MOST_PIXELS = 40_000_000
_OPAQUE = 24  # of 255: fainter edges are noise of the cutting
_LIKE_GROUND = 22  # of 255 per channel: so far may the ground differ from its plain color
_LEAST_SIDE_PX = 20

Rgba = UInt8[np.ndarray, "_ _ 4"]


def decode_rgba(content: bytes, name: str) -> Rgba:
    """Pixels of a PNG, WebP or JPEG file.

    Raises:
        ImageError: It cannot be decoded, or is too large.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "WEBP", "JPEG")) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise ImageError(
                    f"{name} is {picture.width}x{picture.height}", f"Expected at most {_MOST_PIXELS} pixels."
                )
            return np.asarray(picture.convert("RGBA"))
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as failed:
        raise ImageError(f"{name} cannot be decoded: {failed}", "Expected a PNG, WebP or JPEG file.") from failed


def clear_ground(rgba: Rgba, *, dark: bool) -> Rgba:
    """Make the plain white (or black) ground transparent, as far as it reaches in from the edges.

    Args:
        rgba: An opaque picture.
        dark: Whether the ground is black rather than white.
    """
    ground = 0 if dark else 255
    like = np.abs(rgba[..., :3].astype(np.int16) - ground).max(axis=-1) <= _LIKE_GROUND
    n_patches, patches = cv2.connectedComponents(np.asarray(like, dtype=np.uint8), connectivity=4)
    rim = np.concatenate([patches[0], patches[-1], patches[:, 0], patches[:, -1]])
    outside = np.isin(patches, np.setdiff1d(rim, [0])) if n_patches > 1 else np.zeros_like(like)
    # A pixel more, then softened: the rim of an object carries some of the ground's color.
    grown = cv2.dilate(outside.astype(np.uint8), np.ones((3, 3), np.uint8))
    alpha = np.asarray(cv2.GaussianBlur(255 - 255 * np.asarray(grown), (3, 3), 0))
    return np.dstack([rgba[..., :3], np.minimum(alpha, rgba[..., 3])])


def tight(rgba: Rgba) -> Rgba | None:
    """The crop around everything opaque, at most ``MOST_SIDE_PX`` on its longer side; None if that is next to nothing.

    Fully opaque pictures count as nothing too: they have no ground to be cut from.
    """
    opaque = rgba[..., 3] > _OPAQUE
    if not opaque.any() or opaque.mean() > 0.995:  # stray transparent pixels in the corners
        return None
    rows, columns = np.flatnonzero(opaque.any(axis=1)), np.flatnonzero(opaque.any(axis=0))
    crop = rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if min(crop.shape[:2]) < _LEAST_SIDE_PX // 2 or max(crop.shape[:2]) < _LEAST_SIDE_PX:
        return None
    return shrunk(crop, MOST_SIDE_PX)


def shrunk(rgba: Rgba, most_side_px: int) -> Rgba:
    """The picture with its longer side at most so long."""
    scale = most_side_px / max(rgba.shape[:2])
    if scale >= 1:
        return rgba
    size = max(1, round(rgba.shape[1] * scale)), max(1, round(rgba.shape[0] * scale))
    return np.asarray(Image.fromarray(rgba).resize(size, Image.Resampling.LANCZOS))
