"""The photos that graphs are tried and calibrated with where the user gives none: those that came with the runtime."""

from pathlib import Path

import numpy as np

import gpt4roi_runtime
from gpt4roi_runtime.arrays import Boxes

_FOLDER = Path(gpt4roi_runtime.__file__).with_name("samples")
PHOTO = _FOLDER / "astronaut.jpg"
PHOTOS = (PHOTO, _FOLDER / "coffee.jpg")
BOXES: Boxes = np.array(
    [[0.7, 0.01, 0.9, 0.55], [0.55, 0.67, 1.0, 1.0], [0.34, 0.1, 0.56, 0.4], [0.0, 0.0, 1.0, 1.0]], dtype=np.float32
)
"""On ``PHOTO``: a model of a shuttle, a helmet, a face, everything; x1 y1 x2 y2 in 0..1."""
