"""A detector's graph in OpenVINO; knows no photo and no box."""

from pathlib import Path

from gpt4roi_runtime.backends.detector_graph import DetectorGraph
from gpt4roi_runtime.backends.openvino_graph import OpenVinoGraph
from gpt4roi_runtime.backends.openvino_settings import OpenVinoSettings
from gpt4roi_runtime.bundle import manifest as nouns
from gpt4roi_runtime.vision.contract import detector_contract


class OpenVinoDetector(DetectorGraph):
    """Detector (see vision.detector) on one of OpenVINO's devices.

    Args:
        graph: The file; its hash was checked.
        how: The detector's facts, from the manifest.
        settings: Device, precision, threads, and where compiled graphs are kept.

    Raises:
        EngineMissingError: OpenVINO is not installed.
        EngineError: The device is not there.
        BundleError: The graph cannot be loaded, reads another file, or differs from the manifest's contract.
    """

    def __init__(self, graph: Path, how: nouns.Detector, settings: OpenVinoSettings | None = None) -> None:
        settings = settings or OpenVinoSettings("f32")
        super().__init__(OpenVinoGraph(graph, detector_contract(how), settings, identity=(how.graph.sha256,)))
