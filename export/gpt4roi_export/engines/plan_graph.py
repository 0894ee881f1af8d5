"""A bundle's graph as an engine shall build it: strongly typed, our RoIAlign, the pyramid as the plugin reads it.

Writes ONNX files; knows no engine, only what all of them ask of a graph.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx

from gpt4roi_export.vision_graphs.bundled import BundledGraph, read_bundled
from gpt4roi_export.vision_graphs.external import stored_bytes, write_graph
from gpt4roi_export.vision_graphs.float16 import ISLANDS, to_float16
from gpt4roi_export.vision_graphs.fused_roi_align import with_pyramid_roi_align
from gpt4roi_export.vision_graphs.plain_roi_align import without_roi_align
from gpt4roi_export.vision_graphs.winograd import needs_full_precision
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.bundle.plans import Layout, PlanGraph, PlanPrecision, PlanTensor
from gpt4roi_runtime.errors import BundleError
from gpt4roi_runtime.vision.contract import TensorContract, encode_contract, pyramid_name, regions_contract

PLAN_ISLANDS = ISLANDS | {"Exp", "Log", "LogSoftmax", "ReduceMax", "ReduceMean", "ReduceSum"}
"""Operators that a plan computes in float32: sums over many numbers, and where float16 has no room for a result."""


@dataclass(frozen=True)
class PlanGraphFiles:
    """What an engine's parser reads.

    Attributes:
        graph: The ONNX file; its weights lie beside it.
        inputs: Of the plan.
        outputs: Of the plan.
        has_plugin: Whether our operator is in it.
    """

    graph: Path
    inputs: tuple[PlanTensor, ...]
    outputs: tuple[PlanTensor, ...]
    has_plugin: bool


def converted(bundle: Bundle, graph: PlanGraph, precision: PlanPrecision) -> BundledGraph:
    """The graph as a recipe; no weight is read yet.

    Args:
        bundle: Its files were checked.
        graph: Which half.
        precision: ``fp16`` keeps islands of float32 in the graph itself: engines keep to the types that a graph says.

    Raises:
        BundleError: The bundle's graph is not float32, its RoiAligns cannot be our operator, or fewer bits spoil it.
    """
    vision = bundle.manifest.vision
    files = {entry.path: bundle.path_of(entry) for entry in vision.external_data}
    if graph == "encode":
        read = read_bundled(bundle.path_of(vision.encode), files, _without_few_regions)
    else:
        read = read_bundled(bundle.path_of(vision.regions), files, with_pyramid_roi_align)
    if precision == "fp32":
        return read
    if needs_full_precision(read.recipe.model):
        raise BundleError(
            f"the {graph} graph is to be computed in float32: its numbers would lose too much in float16",
            "Import the checkpoint without --winograd, which is for CPUs; or build with --precision fp32.",
        )
    levels = frozenset(pyramid_name(level) for level in range(len(vision.pyramid)))
    # GPUs of Turing, sm_75, have no matrix product in float32.
    recipe = to_float16(read.recipe, islands=PLAN_ISLANDS, half_values=levels, float32_products=False)
    return BundledGraph(recipe, read.read)


def write_plan_graph(
    bundle: Bundle, graph: PlanGraph, precision: PlanPrecision, folder: Path, progress: Callable[[str, float], None]
) -> PlanGraphFiles:
    """Convert and write a graph, one weight in memory at a time.

    Args:
        bundle: Its files were checked.
        graph: Which half.
        precision: Of the plan.
        folder: Is there.
        progress: Told how far it is.

    Raises:
        BundleError: As ``converted``; or a weight does not fit float16.
        OutputError: A file cannot be written.
    """
    progress(f"converting the {graph} graph", 0.0)
    made = converted(bundle, graph, precision)
    total = max(stored_bytes(made.recipe), 1)
    done = 0

    def on_bytes(n_new: int) -> None:
        nonlocal done
        done += n_new
        progress(f"writing the {graph} graph", done / total)

    path = folder / f"{graph}.onnx"
    write_graph(_named(made).recipe, made.read, path, folder / f"{graph}.weights", on_bytes)
    inputs, outputs = plan_tensors(bundle, graph, precision)
    return PlanGraphFiles(path, inputs, outputs, graph == "regions")


def plan_tensors(
    bundle: Bundle, graph: PlanGraph, precision: PlanPrecision
) -> tuple[tuple[PlanTensor, ...], tuple[PlanTensor, ...]]:
    """What a plan reads and returns: the pyramid as the plugin reads it best, all else float32 as in the contract."""
    contract = encode_contract(bundle.manifest) if graph == "encode" else regions_contract(bundle.manifest)
    inputs, outputs = (
        tuple(_tensor(bundle, tensor, precision) for tensor in tensors)
        for tensors in (contract.inputs, contract.outputs)
    )
    return inputs, outputs


def _tensor(bundle: Bundle, tensor: TensorContract, precision: PlanPrecision) -> PlanTensor:
    levels = {pyramid_name(level) for level in range(len(bundle.manifest.vision.pyramid))}
    half = precision == "fp16" and tensor.name in levels
    layout: Layout = "channels_last" if half else "linear"
    return PlanTensor(tensor.name, tensor.shape, "float16" if half else "float32", layout)


def weight_bytes(graph: BundledGraph) -> int:
    """Of a converted graph, and so about the size of its plan."""
    return stored_bytes(graph.recipe)


def _without_few_regions(model: onnx.ModelProto) -> onnx.ModelProto:
    """The encode graph may align a few fixed boxes of its own: in standard operators, they cost next to nothing."""
    return without_roi_align(model) if any(node.op_type == "RoiAlign" for node in model.graph.node) else model


def _named(graph: BundledGraph) -> BundledGraph:
    """With a name for every node, because a parser's complaint has no other word for it."""
    for node in graph.recipe.model.graph.node:
        node.name = node.name or node.output[0]
    return graph
