"""What the model sees of a photo: its input as a picture, its grid, boxes too small for it. Knows no Qt.

The grid is the coarsest level that the encode graph gives: what is smaller than one of its cells is a guess there.
"""

from dataclasses import dataclass

import numpy as np

from gpt4roi_desktop.session import Photo
from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.bundle.manifest import Manifest, Preprocessing
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.vision.preprocess import preprocess


@dataclass(frozen=True)
class Grid:
    """How finely a model looks.

    Attributes:
        side_px: Of the square that it reads.
        n_cells: Cells of its features along a side.
    """

    side_px: int
    n_cells: int

    def cells_of(self, box: Box, photo: Photo) -> tuple[float, float]:
        """How many cells a box is wide and high, once the photo is stretched to the square."""
        width, height = box.x2 - box.x1, box.y2 - box.y1
        return width * self.n_cells / photo.width_px, height * self.n_cells / photo.height_px

    def is_too_small(self, box: Box, photo: Photo) -> bool:
        """Whether a box is thinner than a cell one way or the other."""
        return min(self.cells_of(box, photo)) < 1.0


@dataclass(frozen=True)
class Sight:
    """A photo through a model's eyes.

    Attributes:
        pixels: The very input of the encode graph, as a picture, uint8 ``[side side 3]``.
        grid: How finely it is looked at.
        photo: What it was made of.
    """

    pixels: RgbImage
    grid: Grid
    photo: Photo


def grid_of(manifest: Manifest) -> Grid:
    """The grid of a bundle."""
    vision = manifest.vision
    return Grid(vision.preprocessing.side_px, min(level.side for level in vision.pyramid))


def look(photo: Photo, pixels: RgbImage, manifest: Manifest) -> Sight:
    """Preprocess a photo as the bundle does, and turn the numbers into colours again.

    Args:
        photo: What is looked at.
        pixels: Its pixels, uint8 ``[h w 3]``.
        manifest: The bundle's.

    Raises:
        ImageError: The photo is too long and thin for this bundle.
    """
    how = manifest.vision.preprocessing
    return Sight(_as_colours(preprocess(pixels, how), how), grid_of(manifest), photo)


def _as_colours(values: np.ndarray, how: Preprocessing) -> RgbImage:
    """The normalisation taken back: float32 ``[1 3 side side]`` to uint8 ``[side side 3]``."""
    mean, std = np.asarray(how.mean, dtype=np.float32), np.asarray(how.std, dtype=np.float32)
    colours = (values[0].transpose(1, 2, 0) * std + mean) / np.float32(how.scale)
    return np.ascontiguousarray(colours.round().clip(0, 255).astype(np.uint8))
