"""The two graphs of a bundle as an Encoder, whatever engine loaded them; knows no photo and no language model."""

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from gpt4roi_runtime.arrays import Boxes, PixelValues, RegionEmbeddings
from gpt4roi_runtime.errors import EngineError
from gpt4roi_runtime.vision.contract import BOXES, PIXELS, pyramid_name
from gpt4roi_runtime.vision.encoder import ImageFeatures, Pyramid


@runtime_checkable
class LoadedGraph(Protocol):
    """A graph that an engine has loaded and holds to its contract."""

    engine: str

    def run(self, feeds: dict[str, npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float32]]:
        """Outputs in the contract's order."""
        ...


class TwoGraphs:
    """Encoder (see vision.encoder) of two loaded graphs.

    Args:
        encode: The encode graph.
        regions: The regions graph.
    """

    def __init__(self, encode: LoadedGraph, regions: LoadedGraph) -> None:
        self._encode: LoadedGraph | None = encode
        self._regions: LoadedGraph | None = regions
        self._engine = encode.engine

    @property
    def engine(self) -> str:
        """Name and version of the engine."""
        return self._engine

    def encode(self, pixels: PixelValues) -> ImageFeatures:
        """Run the encode graph: once an image."""
        embeddings, *pyramid = _opened(self._encode).run({PIXELS: pixels})
        return ImageFeatures(embeddings, tuple(pyramid))

    def embed_regions(self, pyramid: Pyramid, boxes: Boxes) -> RegionEmbeddings:
        """Run the region graph for 1 to 100 boxes."""
        feeds = {pyramid_name(number): level for number, level in enumerate(pyramid)}
        (embeddings,) = _opened(self._regions).run({**feeds, BOXES: boxes})
        regions: RegionEmbeddings = embeddings
        return regions

    def close(self) -> None:
        """Free the graphs; closing twice is harmless."""
        self._encode = self._regions = None


def _opened(graph: LoadedGraph | None) -> LoadedGraph:
    if graph is None:
        raise EngineError("the vision engine is closed", "Open the pipeline again.")
    return graph
