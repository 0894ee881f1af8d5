"""Pixels of a photo -> the input of the encode graph, as the bundle's manifest says; knows no engine and no file."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from gpt4roi_runtime.arrays import PixelValues, RgbImage
from gpt4roi_runtime.bundle.manifest import Preprocessing
from gpt4roi_runtime.errors import ImageError

MAX_RESIZED_PIXELS = 1 << 24
"""When the short side is made ``side_px`` long, a thread of a photo would fill the memory."""


def preprocess(image: RgbImage, how: Preprocessing) -> PixelValues:
    """Resize, scale, normalise and, if asked for, stretch.

    The first resize is Pillow's antialiased bicubic on 8-bit pixels, as in CLIP's image processor; the stretch is a
    plain two-tap bilinear on float32, as in the authors' loader (gpt4roi/app.py).

    Args:
        image: UInt8 ``[h w 3]``.
        how: Sizes and numbers, from the manifest.

    Returns:
        Float32 ``[1 3 side side]``.

    Raises:
        ImageError: The photo is too long and thin to be resized by its short side.
    """
    resized = Image.fromarray(image).resize(_first_size_px(image, how), Image.Resampling.BICUBIC)
    mean, std = np.asarray(how.mean, dtype=np.float32), np.asarray(how.std, dtype=np.float32)
    values: npt.NDArray[np.float32] = (np.asarray(resized, dtype=np.float32) * np.float32(how.scale) - mean) / std
    if how.stretch is not None:
        import cv2  # a tenth of a second, and only bundles that stretch need it

        side_px = how.stretch.side_px
        values = cv2.resize(values, (side_px, side_px), interpolation=cv2.INTER_LINEAR).astype(np.float32, copy=False)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None], dtype=np.float32)


def _first_size_px(image: RgbImage, how: Preprocessing) -> tuple[int, int]:
    """Width and height after the first resize."""
    side_px = how.resize.side_px
    if how.resize.to == "stretch":
        return side_px, side_px
    height, width = image.shape[:2]
    short = min(height, width)
    resized = (width * side_px // short, height * side_px // short)
    if resized[0] * resized[1] > MAX_RESIZED_PIXELS:
        raise ImageError(
            f"a photo of {width} x {height} pixels is too long and thin: it would be resized to "
            f"{resized[0]} x {resized[1]}",
            "Cut out the part you mean.",
        )
    return resized
