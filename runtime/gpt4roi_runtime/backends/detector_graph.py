"""A detector's loaded graph as a Detector, whatever engine loaded it; knows no photo and no box."""

from gpt4roi_runtime.arrays import PixelValues
from gpt4roi_runtime.backends.two_graphs import LoadedGraph
from gpt4roi_runtime.errors import EngineError, NumericError
from gpt4roi_runtime.vision.contract import PIXELS
from gpt4roi_runtime.vision.detector import CellOutputs


class DetectorGraph:
    """Detector (see vision.detector) of one loaded graph.

    Args:
        graph: The graph.
    """

    def __init__(self, graph: LoadedGraph) -> None:
        self._graph: LoadedGraph | None = graph
        self._engine = graph.engine

    @property
    def engine(self) -> str:
        """Name and version of the engine."""
        return self._engine

    def detect(self, pixels: PixelValues) -> CellOutputs:
        """Run the graph on one picture."""
        if self._graph is None:
            raise EngineError("the detector is closed", "Open it again.")
        scores, distances = self._graph.run({PIXELS: pixels})
        if scores.min() < 0.0 or scores.max() > 1.0:
            raise NumericError(
                f"the detector returned scores from {scores.min():g} to {scores.max():g}, not 0 to 1",
                "The graph or its engine is broken: run `gpt4roi verify`, or assemble the bundle again.",
            )
        return CellOutputs(scores[0], distances[0])

    def close(self) -> None:
        """Free the graph; closing twice is harmless."""
        self._graph = None
