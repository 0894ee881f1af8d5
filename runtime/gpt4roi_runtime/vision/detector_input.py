"""A photo -> what a detector reads, and its boxes back onto the photo; knows no engine and no score."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from PIL import Image

from gpt4roi_runtime.arrays import PixelValues, RgbImage
from gpt4roi_runtime.bundle.manifest import Detector


@dataclass(frozen=True)
class Fit:
    """Where the photo lies on the square that the detector reads.

    Attributes:
        photo_px: Width and height of the photo.
        fitted_px: Width and height of the photo on the square.
        corner_px: Left and top of the photo on the square.
    """

    photo_px: tuple[int, int]
    fitted_px: tuple[int, int]
    corner_px: tuple[int, int]

    def to_photo(self, boxes: Float64[np.ndarray, "n 4"]) -> Float64[np.ndarray, "n 4"]:
        """Boxes xyxy in pixels of the square -> pixels of the photo, cut off at its edges."""
        on_photo = (boxes - np.tile(self.corner_px, 2)) * np.tile(self._photo_px_a_fitted_px, 2)
        clipped: Float64[np.ndarray, "n 4"] = np.clip(on_photo, 0.0, np.tile(self.photo_px, 2))
        return clipped

    def to_square(self, boxes: Float64[np.ndarray, "n 4"]) -> Float64[np.ndarray, "n 4"]:
        """Boxes xyxy in pixels of the photo -> pixels of the square."""
        on_square: Float64[np.ndarray, "n 4"] = boxes / np.tile(self._photo_px_a_fitted_px, 2) + np.tile(
            self.corner_px, 2
        )
        return on_square

    @property
    def _photo_px_a_fitted_px(self) -> Float64[np.ndarray, " 2"]:
        return np.array(self.photo_px, dtype=np.float64) / np.array(self.fitted_px, dtype=np.float64)


def fit_photo(width_px: int, height_px: int, how: Detector) -> Fit:
    """Where a photo of that size goes: in the middle of the square, as large as it can be."""
    side_px = how.side_px
    if how.fit == "stretch":
        return Fit((width_px, height_px), (side_px, side_px), (0, 0))
    longest = max(width_px, height_px)
    fitted = (max(1, round(width_px * side_px / longest)), max(1, round(height_px * side_px / longest)))
    return Fit((width_px, height_px), fitted, ((side_px - fitted[0]) // 2, (side_px - fitted[1]) // 2))


def detector_pixels(image: RgbImage, fit: Fit, how: Detector) -> PixelValues:
    """Resize, lay on black, order the colours and normalise.

    Args:
        image: UInt8 ``[h w 3]``.
        fit: From ``fit_photo`` for this photo.
        how: The detector's facts, from the manifest.

    Returns:
        Float32 ``[1 3 side side]``.
    """
    square = Image.new("RGB", (how.side_px, how.side_px))
    square.paste(Image.fromarray(image).resize(fit.fitted_px, Image.Resampling.BILINEAR), fit.corner_px)
    values = np.asarray(square, dtype=np.float32)
    if how.channels == "bgr":
        values = values[:, :, ::-1]
    mean, std = np.asarray(how.mean, dtype=np.float32), np.asarray(how.std, dtype=np.float32)
    return np.ascontiguousarray(((values - mean) / std).transpose(2, 0, 1)[None], dtype=np.float32)
