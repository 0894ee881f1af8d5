"""A detector's graph in ONNX Runtime on the CPU; knows no photo and no box."""

from pathlib import Path

from gpt4roi_runtime.backends.detector_graph import DetectorGraph
from gpt4roi_runtime.backends.onnx_graph import OnnxGraph
from gpt4roi_runtime.bundle import manifest as nouns
from gpt4roi_runtime.vision.contract import detector_contract


class OnnxRuntimeDetector(DetectorGraph):
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
        super().__init__(OnnxGraph(graph, detector_contract(how), n_threads=n_threads))
