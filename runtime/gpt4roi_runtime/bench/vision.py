"""Tests of the vision half alone; knows no prompt and no language model.

The encode graph holds the image tower and the pyramid's fusion in one, and its nodes have no names, so no test can tell
them apart from outside.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from gpt4roi_runtime.arrays import Boxes, RgbImage
from gpt4roi_runtime.bench.measure import Clock, NotMeasured, Trial
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.geometry import Box, normalise
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.vision.encoder import Encoder, ImageFeatures
from gpt4roi_runtime.vision.preprocess import preprocess


@dataclass(frozen=True)
class BenchPhoto:
    """The photo that tests are made on."""

    path: Path
    image: RgbImage

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.shape[1], self.image.shape[0]


def read_photo(path: Path) -> BenchPhoto:
    """Decode the photo of the tests.

    Raises:
        ImageError: It cannot be read.
    """
    return BenchPhoto(path, load_image(path))


def some_boxes(size: tuple[int, int], n: int) -> tuple[Box, ...]:
    """``n`` boxes side by side on a picture of ``size``, the same ones every time."""
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    width, height = size[0] / columns, size[1] / rows
    places = [(index % columns, index // columns) for index in range(n)]
    return tuple(Box(x * width, y * height, (x + 1) * width, (y + 1) * height) for x, y in places)


def as_trials(bundle: Bundle, encoder: Encoder, photo: BenchPhoto, n_regions: tuple[int, ...]) -> tuple[Trial, ...]:
    """The tests, for one loaded pair of graphs."""
    session = _Session(bundle, encoder, photo)
    return (
        Trial("image decode", "vision", "image", session.decode),
        Trial("preprocess", "vision", "image", session.preprocess),
        Trial("encode", "vision", "image", session.encode),
        *(_regions(session, n) for n in n_regions),
    )


def _regions(session: "_Session", n: int) -> Trial:
    return Trial(f"regions{n}", "vision", "region", lambda clock: session.regions(clock, n), n_regions=n)


class _Session:
    """One pair of graphs and one photo."""

    def __init__(self, bundle: Bundle, encoder: Encoder, photo: BenchPhoto) -> None:
        self._vision = bundle.manifest.vision
        self._encoder = encoder
        self._photo = photo
        self._features: ImageFeatures | None = None

    def decode(self, clock: Clock) -> None:
        """From the file to upright pixels; the file is in the system's cache."""
        with clock.running():
            load_image(self._photo.path)
        clock.count(1)

    def preprocess(self, clock: Clock) -> None:
        """From pixels to the encode graph's input."""
        with clock.running():
            preprocess(self._photo.image, self._vision.preprocessing)
        clock.count(1)

    def encode(self, clock: Clock) -> None:
        """The encode graph."""
        pixels = preprocess(self._photo.image, self._vision.preprocessing)
        with clock.running():
            self._features = self._encoder.encode(pixels)
        clock.count(1)

    def regions(self, clock: Clock, n: int) -> None:
        """The region graph, with ``n`` boxes in one call."""
        if n > self._vision.max_regions:
            raise NotMeasured(f"regions{n}: this bundle takes {self._vision.max_regions} boxes in a call")
        if self._features is None:
            self._features = self._encoder.encode(preprocess(self._photo.image, self._vision.preprocessing))
        boxes = self._boxes(n)
        with clock.running():
            self._encoder.embed_regions(self._features.pyramid, boxes)
        clock.count(n)

    def _boxes(self, n: int) -> Boxes:
        width_px, height_px = self._photo.size
        return normalise(dict(enumerate(some_boxes((width_px, height_px), n), start=1)), width_px, height_px)
