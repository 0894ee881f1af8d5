"""The written graphs in ONNX Runtime against the reference; knows neither torch nor the checkpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gpt4roi_export.parity import ParityLimits, ParityReport, Stages, compare
from gpt4roi_export.vision_graphs.write import Precision, WrittenGraphs
from gpt4roi_runtime.arrays import Boxes, PixelValues
from gpt4roi_runtime.backends.onnx_graph import OnnxGraph
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


def check_graphs(
    folder: Path, reference: Stages, pixels: PixelValues, boxes: Boxes, precision: Precision, *, n_threads: int = 0
) -> ParityReport:
    """Run both graphs, the second on what the first one made, and compare; call ``require`` on the result.

    The pyramid is no stage where its numbers were rounded: nobody reads them but the regions graph, which is compared.

    Args:
        folder: As ``write_graphs`` filled it.
        reference: As ``reference_stages`` made it of the same pixels and boxes.
        pixels: Preprocessed.
        boxes: x1 y1 x2 y2 in 0..1.
        precision: Of the graphs; chooses the limits.
        n_threads: Of the engine; 0 takes as many as there are cores.

    Raises:
        EngineMissingError: ONNX Runtime is not installed.
        BundleError: A graph cannot be loaded or has other outputs than the reference.
        EngineError: A graph failed.
        NumericError: NaN or infinity came out.
    """
    limits = LIMITS[precision]
    written = WrittenGraphs.in_folder(folder)
    pyramid = [name for name in reference if name.startswith("pyramid_")]
    outputs = (IMAGE_EMBEDDINGS, *pyramid)
    candidate = _run(
        written.encode, written, {PIXELS: pixels}, {name: reference[name].shape for name in outputs}, n_threads
    )
    feeds = {**{name: candidate[name] for name in pyramid}, BOXES: boxes}
    regions = reference[REGION_EMBEDDINGS].shape
    candidate |= _run(written.regions, written, feeds, {REGION_EMBEDDINGS: regions}, n_threads)
    compared = (*outputs, REGION_EMBEDDINGS) if precision == "fp32" else _ROUNDED_STAGES
    return compare({name: reference[name] for name in compared}, candidate, limits)


def _run(
    path: Path,
    written: WrittenGraphs,
    feeds: dict[str, NDArray[np.float32]],
    outputs: Mapping[str, Sequence[int]],
    n_threads: int,
) -> dict[str, NDArray[np.float32]]:
    """One graph in the runtime's own engine, which is gone again before the next one comes."""
    inputs = tuple(TensorContract(name, _free(name, array.shape)) for name, array in feeds.items())
    contract = GraphContract(inputs, tuple(TensorContract(name, _free(name, shape)) for name, shape in outputs.items()))
    files = (written.encode_weights, written.regions_weights)
    graph = OnnxGraph(path, contract, weight_files=files, n_threads=n_threads, lean=True)
    return dict(zip(outputs, graph.run(feeds), strict=True))


def _free(name: str, shape: Sequence[int]) -> tuple[int | None, ...]:
    """The shape as a contract has it: any number of regions."""
    return (None, *shape[1:]) if name in (BOXES, REGION_EMBEDDINGS) else tuple(shape)
