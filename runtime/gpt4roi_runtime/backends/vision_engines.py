"""Loads the vision half by the engine that was chosen; knows no measurement."""

from pathlib import Path

from gpt4roi_runtime.backends.onnxruntime import OnnxRuntimeEncoder
from gpt4roi_runtime.backends.onnxruntime_detector import OnnxRuntimeDetector
from gpt4roi_runtime.backends.openvino import OpenVinoEncoder
from gpt4roi_runtime.backends.openvino_detector import OpenVinoDetector
from gpt4roi_runtime.backends.openvino_settings import OpenVinoSettings
from gpt4roi_runtime.backends.vision_settings import VisionEngine, VisionSettings
from gpt4roi_runtime.bundle import manifest as nouns
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.vision.detector import Detector
from gpt4roi_runtime.vision.encoder import Encoder


def open_encoder(bundle: Bundle, engine: VisionEngine, n_threads: int) -> Encoder:
    """Load the two graphs of a bundle whose files were checked.

    Raises:
        BundleError: A graph is not what the manifest says.
        EngineError: The engine is missing or fails.
    """
    if engine.backend == "openvino":
        return OpenVinoEncoder(bundle, OpenVinoSettings(engine.precision, n_threads, engine.device))
    if engine.backend == "onnxruntime-cuda":
        return _onnxruntime_cuda(bundle, n_threads)
    if engine.backend in ("tensorrt", "tensorrt-rtx"):
        from gpt4roi_runtime.backends.tensorrt_open import open_tensorrt  # most machines have no GPU

        return open_tensorrt(bundle, "tensorrt" if engine.backend == "tensorrt" else "tensorrt_rtx")
    return OnnxRuntimeEncoder(bundle, n_threads=n_threads)


def _onnxruntime_cuda(bundle: Bundle, n_threads: int) -> Encoder:
    from gpt4roi_runtime.backends.onnxruntime_cuda import OnnxRuntimeCudaEncoder

    encoder = OnnxRuntimeCudaEncoder(bundle, n_threads=n_threads)
    try:
        encoder.warm_up()
    except BaseException:
        encoder.close()
        raise
    return encoder


def open_detector(graph: Path, how: nouns.Detector, settings: VisionSettings, n_threads: int) -> Detector:
    """Load the graph that proposes boxes; by ONNX Runtime unless another engine was asked for by name.

    Raises:
        BundleError: The graph is not what the manifest says.
        EngineError: The engine is missing or fails.
    """
    if settings.backend == "openvino":
        return OpenVinoDetector(graph, how, OpenVinoSettings("f32", n_threads, settings.device))
    return OnnxRuntimeDetector(graph, how, n_threads=n_threads)
