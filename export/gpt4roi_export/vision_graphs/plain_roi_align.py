"""RoIAlign in a graph as two small matrix products, for engines that have no such operator or a coarse one.

Bilinear weights and the border rule are products of a part down and a part across, so with a fixed number of samples
the mean over them is ``down @ features @ across``: exact, in standard operators only. Knows operators, not GPT4RoI.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxscript import optimizer

from gpt4roi_export.onnx_files import check_graph
from gpt4roi_runtime.errors import BundleError

LEAST_OPSET = 18
"""Since which ReduceMean takes its axes as an input."""


def without_roi_align(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with every RoiAlign written out; its inputs, outputs and their names stay.

    Args:
        model: A graph whose RoiAligns average samples with half-pixel centres over feature maps of one image, of known
            size. Weights outside its file may be missing.

    Returns:
        A new graph.

    Raises:
        BundleError: A RoiAlign computes something else, or its feature map has no known size.
    """
    rewritten = onnx.ModelProto()
    rewritten.CopyFrom(model)
    if _opset(model) < LEAST_OPSET:
        raise BundleError(f"the graph is of opset {_opset(model)}, not {LEAST_OPSET} or newer", "Export it again.")
    shapes = known_shapes(model)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type == "RoiAlign":
            operator = read_roi_align(node, shapes)
            written = _WrittenOut(operator)
            nodes += written.nodes()
            rewritten.graph.initializer.extend(written.constants)
        else:
            nodes.append(node)
    del rewritten.graph.node[:]
    rewritten.graph.node.extend(nodes)
    if not any(tensor.data_location == TensorProto.EXTERNAL for tensor in rewritten.graph.initializer):
        check_graph(rewritten)
    return rewritten


@dataclass(frozen=True)
class RoiAlignNode:
    """One RoiAlign.

    Attributes:
        features: Name of ``[1, c, height, width]``.
        boxes: Name of ``[n, 4]``.
        output: Name of ``[n, c, bins_down, bins_across]``.
        height: Cells of the map.
        width: Cells of the map.
        bins_down: Output cells.
        bins_across: Output cells.
        samples: Of an output cell, along each axis.
        scale: Cells of the map in one unit of the boxes.
    """

    features: str
    boxes: str
    output: str
    height: int
    width: int
    bins_down: int
    bins_across: int
    samples: int
    scale: float


def _opset(model: onnx.ModelProto) -> int:
    return max((opset.version for opset in model.opset_import if opset.domain == ""), default=0)


def known_shapes(model: onnx.ModelProto) -> dict[str, onnx.TensorShapeProto]:
    """Shapes of values, as far as they are known; arithmetic on constants, such as ends of a slice, is done first."""
    folded = onnx_ir.from_proto(model)
    with quiet_optimizer():
        optimizer.fold_constants(folded)
    inferred = onnx.shape_inference.infer_shapes(onnx_ir.to_proto(folded), strict_mode=True).graph
    return {
        value.name: value.type.tensor_type.shape for value in (*inferred.input, *inferred.value_info, *inferred.output)
    }


@contextmanager
def quiet_optimizer() -> Iterator[None]:
    """It warns of every operator with several outputs that it does not fold."""
    logger = logging.getLogger("onnxscript")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def read_roi_align(node: onnx.NodeProto, shapes: dict[str, onnx.TensorShapeProto]) -> RoiAlignNode:
    """What a RoiAlign computes.

    Raises:
        BundleError: Something else than the mean of a fixed number of samples, or over a map of unknown size.
    """
    given: dict[str, Any] = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    wanted = {"mode": (b"avg", b"avg"), "coordinate_transformation_mode": (b"half_pixel", b"half_pixel")}
    for name, (default, value) in wanted.items():
        if given.get(name, default) != value:
            raise BundleError(
                f"RoiAlign {node.output[0]!r} has {name} {given[name].decode()!r}, not {value.decode()!r}",
                "Only the mean of samples with half-pixel centres can be written out.",
            )
    samples = given.get("sampling_ratio", 0)
    if samples < 1:
        raise BundleError(
            f"RoiAlign {node.output[0]!r} chooses its number of samples by the box (sampling_ratio {samples})",
            "Export it with a fixed sampling_ratio.",
        )
    features, boxes = node.input[0], node.input[1]
    sides = [side.dim_value for side in shapes[features].dim] if features in shapes else []
    if len(sides) != 4 or sides[0] != 1 or min(sides) < 1:
        raise BundleError(
            f"RoiAlign {node.output[0]!r} reads {features!r} of shape {sides}, not [1, channels, height, width]",
            "Export the graph for one image of a fixed size.",
        )
    bins_down, bins_across = given.get("output_height", 1), given.get("output_width", 1)
    scale = given.get("spatial_scale", 1.0)
    output = node.output[0]
    return RoiAlignNode(features, boxes, output, sides[2], sides[3], bins_down, bins_across, samples, scale)


class _WrittenOut:
    """The nodes and constants that stand for one operator; their names begin with that of its output."""

    def __init__(self, operator: RoiAlignNode) -> None:
        self._operator = operator
        self.constants: list[onnx.TensorProto] = []

    def nodes(self) -> Iterator[onnx.NodeProto]:
        """In an order that ONNX accepts."""
        operator = self._operator
        boxes = operator.boxes
        if operator.scale != 1.0:
            boxes = self._name("boxes")
            yield helper.make_node("Mul", [operator.boxes, self._number("scale", operator.scale)], [boxes])
        yield from self._weights("down", boxes, (1, 3), operator.bins_down, operator.height)
        yield from self._weights("across", boxes, (0, 2), operator.bins_across, operator.width)
        # Each box's bins and cells, for all channels: (bins, height) by (height, width) by (width, bins).
        one = self._whole("one", [1])
        yield helper.make_node("Unsqueeze", [self._name("down"), one], [self._name("rows")])
        yield helper.make_node("MatMul", [self._name("rows"), operator.features], [self._name("bands")])
        yield helper.make_node("Transpose", [self._name("across")], [self._name("turned")], perm=[0, 2, 1])
        yield helper.make_node("Unsqueeze", [self._name("turned"), one], [self._name("columns")])
        yield helper.make_node("MatMul", [self._name("bands"), self._name("columns")], [operator.output])

    def _weights(
        self, axis: str, boxes: str, corners: tuple[int, int], n_bins: int, n_cells: int
    ) -> Iterator[onnx.NodeProto]:
        """Share of every cell in every bin, ``[n, n_bins, n_cells]``, under the name of the axis."""

        def name(what: str) -> str:
            return self._name(f"{axis}_{what}")

        samples = self._operator.samples
        n_samples = n_bins * samples
        centres = (np.arange(n_samples, dtype=np.float32) + np.float32(0.5)) / np.float32(n_samples)
        half, zero, one = (
            self._number(f"{axis}_{word}", x) for word, x in (("half", 0.5), ("zero", 0.0), ("unit", 1.0))
        )
        first, last = self._number(f"{axis}_first", -1.0), self._number(f"{axis}_last", n_cells)
        cells = self._array(f"{axis}_cells", np.arange(n_cells, dtype=np.float32))
        for word, corner in zip(("low", "high"), corners, strict=True):
            yield helper.make_node("Gather", [boxes, self._whole(f"{axis}_{word}_at", [corner])], [name(word)], axis=1)
        yield helper.make_node("Sub", [name("low"), half], [name("start")])
        yield helper.make_node("Sub", [name("high"), name("low")], [name("length")])
        yield helper.make_node("Mul", [name("length"), self._array(f"{axis}_centres", centres)], [name("offsets")])
        yield helper.make_node("Add", [name("start"), name("offsets")], [name("positions")])
        yield helper.make_node("GreaterOrEqual", [name("positions"), first], [name("not_before")])
        yield helper.make_node("LessOrEqual", [name("positions"), last], [name("not_behind")])
        yield helper.make_node("And", [name("not_before"), name("not_behind")], [name("inside")])
        edge = self._number(f"{axis}_edge", n_cells - 1)
        yield helper.make_node("Clip", [name("positions"), zero, edge], [name("clamped")])
        behind = self._whole(f"{axis}_behind", [2])
        yield helper.make_node("Unsqueeze", [name("clamped"), behind], [name("apart")])
        yield helper.make_node("Sub", [name("apart"), cells], [name("difference")])
        yield helper.make_node("Abs", [name("difference")], [name("distance")])
        yield helper.make_node("Sub", [one, name("distance")], [name("near")])
        yield helper.make_node("Max", [name("near"), zero], [name("shares")])
        yield helper.make_node("Unsqueeze", [name("inside"), behind], [name("counted")])
        yield helper.make_node("Where", [name("counted"), name("shares"), zero], [name("of_samples")])
        parted = self._whole(f"{axis}_parted", [0, n_bins, samples, n_cells])
        yield helper.make_node("Reshape", [name("of_samples"), parted], [name("of_bins")])
        yield helper.make_node("ReduceMean", [name("of_bins"), behind], [self._name(axis)], keepdims=0)

    def _name(self, what: str) -> str:
        return f"{self._operator.output}_{what}"

    def _array(self, what: str, values: NDArray[np.generic]) -> str:
        name = self._name(f"c_{what}")
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def _number(self, what: str, value: float) -> str:
        return self._array(what, np.array(value, dtype=np.float32))

    def _whole(self, what: str, values: list[int]) -> str:
        return self._array(what, np.array(values, dtype=np.int64))
