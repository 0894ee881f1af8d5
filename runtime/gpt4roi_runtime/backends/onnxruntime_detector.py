"""A detector's graph in ONNX Runtime on the CPU; knows no photo and no box."""

from pathlib import Path

from gpt4roi_runtime.arrays import PixelValues
from gpt4roi_runtime.backends.onnx_graph import OnnxGraph
from gpt4roi_runtime.bundle import manifest as nouns
from gpt4roi_runtime.errors import EngineError, NumericError
from gpt4roi_runtime.vision.contract import PIXELS, detector_contract
from gpt4roi_runtime.vision.detector import CellOutputs


class OnnxRuntimeDetector:
    """Detector (see vision.detector) on ONNX Runtime's CPU provider.

    Args:
        graph: The file; its hash was checked.
        how: The detector's facts, from the manifest.
        n_threads: 0 takes as many as there are cores.

    Raises:
        EngineMissingError: No onnxruntime distribution is installed.
        BundleError: The graph cannot be loaded, reads another file, or differs from the manifest's contract.
    """

    def __init__(self, graph: Path, how: nouns.Detector, *, n_threads: int = 0) -> None:
        self._graph: OnnxGraph | None = OnnxGraph(graph, detector_contract(how), n_threads=n_threads)
        self._engine = self._graph.engine

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
