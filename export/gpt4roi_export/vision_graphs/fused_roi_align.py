"""The RoIAligns of a graph as one operator of our own, ``PyramidRoiAlign``, for TensorRT with our plugin.

Knows operators, and of GPT4RoI only that ``boxes`` are what a box is given by; docs/nvidia.md describes the operator.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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

    Where the levels' boxes are shifted by different parts of an image, it is one operator for each shift instead. What
    an operator gives for all its levels is split again, unless a Concat joins just these in their order: then the
    operator stands for the Concat too.

    Args:
        model: A graph whose RoiAligns all read one level each, made of inputs of the graph and not of the boxes, at
            boxes that are multiples of the input ``boxes``, perhaps shifted. Weights outside its file may be missing.

    Returns:
        A new graph. Only an engine with our plugin can load it.

    Raises:
        BundleError: The RoiAligns cannot be such operators.
    """
    shapes = known_shapes(model)
    nodes = [node for node in model.graph.node if node.op_type == "RoiAlign"]
    levels = [read_roi_align(node, shapes) for node in nodes]
    channels = _check(model, levels, shapes)
    groups: dict[float, list[_Placed]] = {}
    for level in levels:
        placed = _placed(model, level)
        groups.setdefault(round(placed.shift, 6), []).append(placed)
    rewritten = onnx.ModelProto()
    rewritten.CopyFrom(model)
    fused: list[onnx.NodeProto] = []
    joins: list[onnx.NodeProto] = []
    for group in groups.values():
        join = _joined_again(model, [one.level.output for one in group])
        joins += [join] if join else []
        fused += _operator(rewritten, group, channels, join.output[0] if join else None)
    others = [node for node in rewritten.graph.node if node.op_type != "RoiAlign" and node not in joins]
    early = {node.output[0] for level in levels for node in _ancestors(model, level.features)}
    del rewritten.graph.node[:]
    rewritten.graph.node.extend(node for node in others if node.output[0] in early)
    rewritten.graph.node.extend(fused)
    rewritten.graph.node.extend(node for node in others if node.output[0] not in early)
    rewritten.opset_import.append(helper.make_opsetid(DOMAIN, OPERATOR_VERSION))
    return rewritten


@dataclass(frozen=True)
class _Placed:
    """A RoIAlign whose boxes are ``(boxes + shift) * scale``, in cells."""

    level: RoiAlignNode
    scale: float
    shift: float


def _operator(
    model: onnx.ModelProto, group: Sequence[_Placed], channels: int, joined: str | None
) -> Iterator[onnx.NodeProto]:
    """The nodes for levels whose boxes are shifted alike; their constants go into the graph."""
    first, shift = group[0].level, group[0].shift
    rois = joined or (f"{first.output}_of_all_levels" if len(group) > 1 else first.output)
    boxes = BOXES
    if shift:
        boxes = f"{first.output}_boxes"
        model.graph.initializer.append(numpy_helper.from_array(np.array(shift, np.float32), f"{boxes}_shift"))
        yield helper.make_node("Add", [BOXES, f"{boxes}_shift"], [boxes])
    yield helper.make_node(
        OPERATOR,
        [*(one.level.features for one in group), boxes],
        [rois],
        domain=DOMAIN,
        output_side=first.bins_down,
        sampling_ratio=SAMPLES,
        spatial_scales=[one.scale for one in group],
        plugin_namespace=DOMAIN,
        plugin_version=str(OPERATOR_VERSION),
    )
    if len(group) > 1 and not joined:
        sizes = numpy_helper.from_array(np.full(len(group), channels, dtype=np.int64), f"{rois}_sizes")
        model.graph.initializer.append(sizes)
        yield helper.make_node("Split", [rois, sizes.name], [one.level.output for one in group], axis=1)


def _joined_again(model: onnx.ModelProto, levels: Sequence[str]) -> onnx.NodeProto | None:
    """The Concat that puts the channels of just these levels side by side, where nobody else reads one of them."""
    readers = [node for node in model.graph.node if set(levels).intersection(node.input)]
    if len(readers) != 1 or {value.name for value in model.graph.output}.intersection(levels):
        return None
    (join,) = readers
    by_channels = join.op_type == "Concat" and helper.get_node_attr_value(join, "axis") == 1
    return join if by_channels and list(join.input) == list(levels) else None


def _check(model: onnx.ModelProto, levels: Sequence[RoiAlignNode], shapes: dict[str, onnx.TensorShapeProto]) -> int:
    """Channels of every level."""
    if not 1 <= len(levels) <= MAX_LEVELS:
        raise BundleError(f"the graph has {len(levels)} RoiAligns, not 1 to {MAX_LEVELS}", _ADVICE)
    if BOXES not in {value.name for value in model.graph.input}:
        raise BundleError(f"the graph has RoiAligns and no input {BOXES!r}", _ADVICE)
    first = levels[0]
    for level in levels:
        if _read_by(_ancestors(model, level.features), level.features) & {BOXES}:
            raise BundleError(f"RoiAlign {level.output!r} reads {level.features!r}, made of the boxes", _ADVICE)
        grid = (level.bins_down, level.bins_across, level.samples)
        if grid != (first.bins_down, first.bins_down, SAMPLES):
            wanted = f"{first.bins_down} x {first.bins_down} cells of {SAMPLES} samples a side"
            raise BundleError(f"RoiAlign {level.output!r} has a grid of {grid}, not {wanted}", _ADVICE)
    channels = {shapes[level.features].dim[1].dim_value for level in levels}
    if len(channels) != 1:
        raise BundleError(f"the levels have {sorted(channels)} channels, not all the same", _ADVICE)
    return int(channels.pop())


def _placed(model: onnx.ModelProto, level: RoiAlignNode) -> _Placed:
    """By what the nodes between the graph's boxes and the level's make of a few boxes."""
    boxes = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [0.25, 0.5, 0.75, 0.875]], dtype=np.float32)
    between = _ancestors(model, level.boxes)
    given = {value.name for value in model.graph.input} - {tensor.name for tensor in model.graph.initializer}
    foreign = (_read_by(between, level.boxes) & given) - {BOXES}
    if foreign:
        raise BundleError(f"the boxes {level.boxes!r} depend on {min(foreign)!r}", _ADVICE)
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
    scale = float(cells[1, 0] - cells[0, 0])
    offset = float(cells[0, 0])
    if scale <= 0 or not np.allclose(cells, boxes * scale + offset, rtol=1e-5, atol=1e-6):
        raise BundleError(f"RoiAlign {level.output!r} reads boxes that are no multiple of {BOXES!r}", _ADVICE)
    return _Placed(level, scale, offset / scale)


def _ancestors(model: onnx.ModelProto, value: str) -> list[onnx.NodeProto]:
    """The nodes that a value is made by, in their order."""
    wanted = {value}
    found = []
    for node in reversed(model.graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            found.append(node)
    return found[::-1]


def _read_by(nodes: Sequence[onnx.NodeProto], value: str) -> set[str]:
    """All values that are read on the way to one, itself too."""
    return {value, *(name for node in nodes for name in node.input)}
