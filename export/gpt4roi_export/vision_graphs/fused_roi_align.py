"""The RoIAligns of a graph as one operator of our own, ``PyramidRoiAlign``, for TensorRT with our plugin.

Knows operators, and of GPT4RoI only that ``boxes`` are what a box is given by; docs/nvidia.md describes the operator.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from gpt4roi_export.vision_graphs.plain_roi_align import RoiAlignNode, known_shapes, read_roi_align
from gpt4roi_runtime.errors import BundleError
from gpt4roi_runtime.vision.contract import BOXES

DOMAIN, OPERATOR, OPERATOR_VERSION = "gpt4roi", "PyramidRoiAlign", 1
MAX_LEVELS, SAMPLES = 4, 2
_ADVICE = "Use without_roi_align, which writes every RoiAlign out on its own."


def with_pyramid_roi_align(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with one PyramidRoiAlign in the place of its RoiAligns; inputs, outputs and their names stay.

    Args:
        model: A graph whose RoiAligns all read inputs of the graph, one level each, at boxes that are multiples of the
            input ``boxes``. Weights outside its file may be missing.

    Returns:
        A new graph. Only an engine with our plugin can load it.

    Raises:
        BundleError: The RoiAligns cannot be one operator.
    """
    shapes = known_shapes(model)
    nodes = [node for node in model.graph.node if node.op_type == "RoiAlign"]
    levels = [read_roi_align(node, shapes) for node in nodes]
    channels = _check(model, levels, shapes)
    rois = f"{levels[0].output}_of_all_levels"
    sizes = numpy_helper.from_array(np.full(len(levels), channels, dtype=np.int64), f"{rois}_sizes")
    fused = [
        helper.make_node(
            OPERATOR,
            [*(level.features for level in levels), BOXES],
            [rois],
            domain=DOMAIN,
            output_side=levels[0].bins_down,
            sampling_ratio=SAMPLES,
            spatial_scales=[_scale(model, level) for level in levels],
            plugin_namespace=DOMAIN,
            plugin_version=str(OPERATOR_VERSION),
        ),
        helper.make_node("Split", [rois, sizes.name], [level.output for level in levels], axis=1),
    ]
    rewritten = onnx.ModelProto()
    rewritten.CopyFrom(model)
    others = [node for node in rewritten.graph.node if node.op_type != "RoiAlign"]
    del rewritten.graph.node[:]
    rewritten.graph.node.extend([*fused, *others])  # it reads inputs only, so it may come first
    rewritten.graph.initializer.append(sizes)
    rewritten.opset_import.append(helper.make_opsetid(DOMAIN, OPERATOR_VERSION))
    return rewritten


def _check(model: onnx.ModelProto, levels: Sequence[RoiAlignNode], shapes: dict[str, onnx.TensorShapeProto]) -> int:
    """Channels of every level."""
    if not 1 <= len(levels) <= MAX_LEVELS:
        raise BundleError(f"the graph has {len(levels)} RoiAligns, not 1 to {MAX_LEVELS}", _ADVICE)
    inputs = {value.name for value in model.graph.input}
    first = levels[0]
    for level in levels:
        if level.features not in inputs:
            raise BundleError(
                f"RoiAlign {level.output!r} reads {level.features!r}, which is no input of the graph", _ADVICE
            )
        grid = (level.bins_down, level.bins_across, level.samples)
        if grid != (first.bins_down, first.bins_down, SAMPLES):
            wanted = f"{first.bins_down} x {first.bins_down} cells of {SAMPLES} samples a side"
            raise BundleError(f"RoiAlign {level.output!r} has a grid of {grid}, not {wanted}", _ADVICE)
    channels = {shapes[level.features].dim[1].dim_value for level in levels}
    if len(channels) != 1:
        raise BundleError(f"the levels have {sorted(channels)} channels, not all the same", _ADVICE)
    return int(channels.pop())


def _scale(model: onnx.ModelProto, level: RoiAlignNode) -> float:
    """Cells of a level in one unit of the graph's boxes: what the nodes between them make of a few boxes."""
    boxes = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [0.25, 0.5, 0.75, 0.875]], dtype=np.float32)
    between = _ancestors(model, level.boxes)
    graph = helper.make_graph(
        between,
        "boxes",
        [helper.make_tensor_value_info(BOXES, TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info(level.boxes, TensorProto.FLOAT, None)],
        [tensor for tensor in model.graph.initializer if any(tensor.name in node.input for node in between)],
    )
    evaluated = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    (scaled,) = ReferenceEvaluator(evaluated).run(None, {BOXES: boxes})
    cells = scaled * np.float32(level.scale)
    scale = float(cells[1, 0])
    if scale <= 0 or not np.allclose(cells, boxes * scale, rtol=1e-5, atol=1e-6):
        raise BundleError(f"RoiAlign {level.output!r} reads boxes that are no multiple of {BOXES!r}", _ADVICE)
    return scale


def _ancestors(model: onnx.ModelProto, value: str) -> list[onnx.NodeProto]:
    """The nodes that a value is made by, in their order."""
    wanted = {value}
    found = []
    for node in reversed(model.graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            found.append(node)
    weights = {tensor.name for tensor in model.graph.initializer}
    foreign = wanted.intersection(given.name for given in model.graph.input) - {BOXES} - weights
    if foreign:
        raise BundleError(f"the boxes {value!r} depend on {min(foreign)!r}", _ADVICE)
    return found[::-1]
