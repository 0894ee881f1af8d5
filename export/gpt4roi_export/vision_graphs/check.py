"""The written graphs in the runtime's engines against the reference; knows neither torch nor the checkpoint."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from gpt4roi_export.parity import ParityLimits, ParityReport, Stages, compare
from gpt4roi_export.vision_graphs.winograd import needs_full_precision
from gpt4roi_export.vision_graphs.write import Precision, WrittenGraphs
from gpt4roi_runtime.arrays import Boxes, PixelValues
from gpt4roi_runtime.backends.onnx_graph import OnnxGraph
from gpt4roi_runtime.backends.openvino_graph import OpenVinoGraph
from gpt4roi_runtime.backends.openvino_library import computes_bf16, import_openvino
from gpt4roi_runtime.backends.openvino_settings import OpenVinoSettings
from gpt4roi_runtime.backends.two_graphs import LoadedGraph
from gpt4roi_runtime.backends.vision_settings import VisionEngine, VisionPrecision
from gpt4roi_runtime.errors import EngineMissingError
from gpt4roi_runtime.vision.contract import (
    BOXES,
    IMAGE_EMBEDDINGS,
    PIXELS,
    REGION_EMBEDDINGS,
    GraphContract,
    TensorContract,
)

_ROUNDED_STAGES = (IMAGE_EMBEDDINGS, REGION_EMBEDDINGS)

LIMITS: Mapping[Precision, ParityLimits] = {
    "fp32": ParityLimits(relative_error=1e-4, cosine=0.9999),
    "fp16": ParityLimits(relative_error=0.045, cosine=0.999),
    "int8": ParityLimits(relative_error=0.142, cosine=0.99),
}
"""What the language model is given must be this close; of two arrays of one length, the error is that of the cosine."""

BF16_LIMITS = ParityLimits(relative_error=0.032, cosine=0.9995)
"""Of an engine that multiplies in bfloat16 what is stored in float32."""

ONNXRUNTIME = VisionEngine("onnxruntime")


def engines_here(folder: Path) -> tuple[VisionEngine, ...]:
    """ONNX Runtime, and OpenVINO, where it is installed, in what its CPU device computes in and the graphs bear.

    Args:
        folder: As ``write_graphs`` filled it.
    """
    try:
        core = import_openvino().Core()
    except EngineMissingError:
        return (ONNXRUNTIME,)
    encode = onnx.load_model(WrittenGraphs.in_folder(folder).encode, load_external_data=False)
    rounds = computes_bf16(core) and not needs_full_precision(encode)
    precisions: tuple[VisionPrecision, ...] = ("f32", "bf16") if rounds else ("f32",)
    return (ONNXRUNTIME, *(VisionEngine("openvino", precision) for precision in precisions))


def limits_of(stored: Precision, engine: VisionEngine) -> ParityLimits:
    """The wider of what the stored numbers and the engine's products may be off."""
    if engine.precision != "bf16":
        return LIMITS[stored]
    return ParityLimits(
        relative_error=max(LIMITS[stored].relative_error, BF16_LIMITS.relative_error),
        cosine=min(LIMITS[stored].cosine, BF16_LIMITS.cosine),
    )


@dataclass(frozen=True)
class EngineCheck:
    """What one engine made of the graphs.

    Attributes:
        engine: Name and version.
        report: Stage by stage.
    """

    engine: str
    report: ParityReport


def check_graphs(
    folder: Path,
    reference: Stages,
    pixels: PixelValues,
    boxes: Boxes,
    precision: Precision,
    *,
    n_threads: int = 0,
    engine: VisionEngine = ONNXRUNTIME,
) -> EngineCheck:
    """Run both graphs, the second on what the first one made, and compare; call ``require`` on the report.

    The pyramid is no stage where its numbers were rounded: nobody reads them but the regions graph, which is compared.

    Args:
        folder: As ``write_graphs`` filled it.
        reference: As ``reference_stages`` made it of the same pixels and boxes.
        pixels: Preprocessed.
        boxes: x1 y1 x2 y2 in 0..1.
        precision: Of the graphs; chooses the limits.
        n_threads: Of the engine; 0 takes as many as there are cores.
        engine: What runs them; loosens the limits where it rounds.

    Raises:
        EngineMissingError: The engine is not installed.
        BundleError: A graph cannot be loaded or has other outputs than the reference.
        EngineError: A graph failed.
        NumericError: NaN or infinity came out.
    """
    written = WrittenGraphs.in_folder(folder)
    weights = (written.encode_weights, written.regions_weights)
    pyramid = [name for name in reference if name.startswith("pyramid_")]
    outputs = (IMAGE_EMBEDDINGS, *pyramid)
    shapes = {name: reference[name].shape for name in (*outputs, REGION_EMBEDDINGS)}
    load = partial(_loaded, engine=engine, n_threads=n_threads, weights=weights)
    name, candidate = _run(load, written.encode, {PIXELS: pixels}, {name: shapes[name] for name in outputs})
    feeds = {**{name: candidate[name] for name in pyramid}, BOXES: boxes}
    candidate |= _run(load, written.regions, feeds, {REGION_EMBEDDINGS: shapes[REGION_EMBEDDINGS]})[1]
    rounds = precision != "fp32" or engine.precision == "bf16"
    compared = _ROUNDED_STAGES if rounds else (*outputs, REGION_EMBEDDINGS)
    limits = limits_of(precision, engine)
    return EngineCheck(name, compare({name: reference[name] for name in compared}, candidate, limits))


Load = Callable[[Path, GraphContract], LoadedGraph]


def _loaded(
    path: Path, contract: GraphContract, *, engine: VisionEngine, n_threads: int, weights: tuple[Path, ...]
) -> LoadedGraph:
    if engine.backend == "openvino":
        settings = OpenVinoSettings(engine.precision, n_threads, engine.device)
        if any(tensor.name == BOXES for tensor in contract.inputs):
            settings = settings.for_coordinates()
        return OpenVinoGraph(path, contract, settings, weight_files=weights)
    return OnnxGraph(path, contract, weight_files=weights, n_threads=n_threads, lean=True)


def _run(
    load: Load, path: Path, feeds: dict[str, NDArray[np.float32]], outputs: Mapping[str, Sequence[int]]
) -> tuple[str, dict[str, NDArray[np.float32]]]:
    """One graph in the runtime's own engine, which is gone again before the next one comes: its name, the outputs."""
    inputs = tuple(TensorContract(name, _free(name, array.shape)) for name, array in feeds.items())
    contract = GraphContract(inputs, tuple(TensorContract(name, _free(name, shape)) for name, shape in outputs.items()))
    graph = load(path, contract)
    return graph.engine, dict(zip(outputs, graph.run(feeds), strict=True))


def _free(name: str, shape: Sequence[int]) -> tuple[int | None, ...]:
    """The shape as a contract has it: any number of regions."""
    return (None, *shape[1:]) if name in (BOXES, REGION_EMBEDDINGS) else tuple(shape)
