"""Vision engines that lie about regions, in order to see whether a model looks at them. Knows no question.

Each stands before a real engine and keeps the same promise.
"""

from zlib import crc32

import numpy as np

from gpt4roi_runtime.arrays import Boxes, PixelValues, RegionEmbeddings
from gpt4roi_runtime.vision.encoder import Encoder, ImageFeatures, Pyramid


class PerturbingEncoder:
    """An engine before another; here it changes nothing, and what is derived from it changes regions only."""

    def __init__(self, inner: Encoder) -> None:
        self.inner = inner

    @property
    def engine(self) -> str:
        """Name and version of the engine behind it."""
        return self.inner.engine

    def encode(self, pixels: PixelValues) -> ImageFeatures:
        """Run the real encode graph."""
        return self.inner.encode(pixels)

    def embed_regions(self, pyramid: Pyramid, boxes: Boxes) -> RegionEmbeddings:
        """Run the real region graph."""
        return self.inner.embed_regions(pyramid, boxes)

    def close(self) -> None:
        """Leave the engine open: it belongs to whoever made it."""


class BlankRegions(PerturbingEncoder):
    """Every region's rows are the mean of the rows that regions have elsewhere."""

    def __init__(self, inner: Encoder, elsewhere: RegionEmbeddings) -> None:
        super().__init__(inner)
        self.mean = elsewhere.mean(axis=0, keepdims=True, dtype=np.float32)

    def embed_regions(self, pyramid: Pyramid, boxes: Boxes) -> RegionEmbeddings:
        """The same rows for every box."""
        del pyramid
        return np.repeat(self.mean, len(boxes), axis=0)


class ShuffledRegions(PerturbingEncoder):
    """Every region's rows are those of a region of another picture."""

    def __init__(self, inner: Encoder, elsewhere: RegionEmbeddings) -> None:
        super().__init__(inner)
        self.elsewhere = elsewhere

    def embed_regions(self, pyramid: Pyramid, boxes: Boxes) -> RegionEmbeddings:
        """Rows chosen by the box, so that a box keeps its wrong rows through a dialogue."""
        del pyramid
        chosen = [crc32(box.tobytes()) % len(self.elsewhere) for box in boxes]
        return self.elsewhere[chosen]


class SwappedRegions(PerturbingEncoder):
    """The regions have each other's rows, the first the last one's and so on."""

    def embed_regions(self, pyramid: Pyramid, boxes: Boxes) -> RegionEmbeddings:
        """The real rows in reverse."""
        return np.ascontiguousarray(self.inner.embed_regions(pyramid, boxes)[::-1])
