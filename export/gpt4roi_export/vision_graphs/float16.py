"""A float32 graph to one that stores and computes in float16, with islands where that would not do.

Knows operators, and of GPT4RoI only that ``boxes`` are coordinates.
"""

from collections.abc import Collection, Generator, Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gpt4roi_export.onnx_files import check_graph
from gpt4roi_export.vision_graphs.fused_roi_align import OPERATOR as PYRAMID_ROI_ALIGN
from gpt4roi_export.vision_graphs.recipe import Recipe
from gpt4roi_runtime.vision.contract import BOXES

ISLANDS = frozenset({"InstanceNormalization", "LayerNormalization", "Resize", "RoiAlign", "Softmax"})
"""Operators that stay in float32: they add up many numbers, or weigh neighbours by small differences."""

_PRODUCTS = frozenset({"Einsum", "Gemm", "MatMul"})
_LARGEST = float(np.finfo(np.float16).max)


def to_float16(
    recipe: Recipe,
    *,
    islands: Collection[str] = ISLANDS,
    half_values: Collection[str] = frozenset(),
    float32_products: bool = True,
) -> Recipe:
    """Weights and arithmetic in float16.

    In float32 stay: the graph's inputs and outputs, the islands, what reads a constant too large for float16, what was
    made of whole numbers, and all that is made of the boxes alone; a sixteen-bit coordinate would be a tenth of a pixel
    off.

    Args:
        recipe: A float32 graph.
        islands: Operators that stay in float32.
        half_values: Inputs and outputs of the graph that shall be float16 themselves.
        float32_products: Whether matrix products of what is made of the boxes alone stay in float32 too.

    Returns:
        A new recipe.
    """
    model = recipe.copy_of_model()
    halved = frozenset() if float32_products else _PRODUCTS
    _Pass(model, recipe.inputs, islands, half_values, halved).run()
    check_graph(model)
    return Recipe(model, recipe.inputs, recipe.stored)


class _Pass:
    """One walk over the nodes in their order."""

    def __init__(
        self,
        model: onnx.ModelProto,
        inputs: tuple[str, ...],
        islands: Collection[str],
        half_values: Collection[str],
        halved: Collection[str],
    ) -> None:
        self._graph = model.graph
        self._islands, self._half_values, self._halved = islands, half_values, halved
        for node in self._graph.node:
            if node.op_type == PYRAMID_ROI_ALIGN:  # ONNX does not know what it returns
                self._graph.value_info.append(helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None))
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
        values = (*inferred.input, *inferred.value_info, *inferred.output)
        self._floats = {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT}
        self._constants = {tensor.name: tensor for tensor in self._graph.initializer}
        self._floats |= {name for name, tensor in self._constants.items() if tensor.data_type == TensorProto.FLOAT}
        self._weights = {value.name: value for value in self._graph.input if value.name not in inputs}
        self._is_half = {name: name in half_values for name in inputs}
        self._casts: dict[tuple[str, bool], str] = {}
        self._of_boxes = {BOXES}

    def run(self) -> None:
        """Rewrite the graph in place."""
        nodes = [rewritten for node in list(self._graph.node) for rewritten in self._rewrite(node)]
        nodes += list(self._outputs(nodes))
        for value in (*self._graph.input, *self._graph.output):
            if value.name in self._half_values:
                value.type.tensor_type.elem_type = TensorProto.FLOAT16
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        del self._graph.value_info[:]

    def _rewrite(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        half = self._in_half(node)
        for index, value in enumerate(node.input):
            if value in self._floats:
                in_half = half and not (node.op_type == PYRAMID_ROI_ALIGN and value == node.input[-1])
                node.input[index] = yield from self._as(value, half=in_half)
        for value in node.output:
            self._is_half[value] = half
        if node.op_type == "Cast" and half and node.output[0] in self._floats:
            node.attribute[0].i = TensorProto.FLOAT16
        yield node

    def _in_half(self, node: onnx.NodeProto) -> bool:
        """Whether the node computes in float16."""
        floats = [name for name in node.input if name in self._floats]
        computed = [name for name in floats if name in self._is_half]
        if not floats:
            return False  # made of whole numbers, or of truths
        if node.op_type == "Cast":
            return self._is_half.get(floats[0], False)
        if computed and self._of_boxes.issuperset(computed) and node.op_type != "RoiAlign":
            self._of_boxes.update(node.output)
            return node.op_type in self._halved
        return node.op_type not in self._islands and not any(map(self._is_too_large, floats))

    def _is_too_large(self, name: str) -> bool:
        """Whether a constant does not fit float16."""
        if name not in self._constants:
            return False
        values = numpy_helper.to_array(self._constants[name])
        return values.size > 0 and float(np.abs(values).max()) > _LARGEST

    def _as(self, value: str, *, half: bool) -> Generator[onnx.NodeProto, None, str]:
        """Name of the value in that dtype: its own, or that of a cast which all who want it share."""
        if value not in self._is_half:  # a weight or a constant, met for the first time
            self._is_half[value] = half
            if half:
                self._store_in_half(value)
        if self._is_half[value] == half:
            return value
        if (value, half) not in self._casts:
            self._casts[value, half] = f"{value}_{'float16' if half else 'float32'}"
            to = TensorProto.FLOAT16 if half else TensorProto.FLOAT
            yield helper.make_node("Cast", [value], [self._casts[value, half]], to=to)
        return self._casts[value, half]

    def _store_in_half(self, value: str) -> None:
        if value in self._weights:
            self._weights[value].type.tensor_type.elem_type = TensorProto.FLOAT16
        else:
            constant = self._constants[value]
            constant.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(constant).astype(np.float16), value))

    def _outputs(self, nodes: list[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
        """Casts where an output of the graph is not what it shall be."""
        wanted = {output.name: output.name in self._half_values for output in self._graph.output}
        cast = [name for name, half in wanted.items() if self._is_half[name] != half]
        names = {name: f"{name}_{'float32' if wanted[name] else 'half'}" for name in cast}
        for node in nodes:
            for values in (node.input, node.output):
                for index, value in enumerate(values):
                    values[index] = names.get(value, value)
        for output, source in names.items():
            to = TensorProto.FLOAT16 if wanted[output] else TensorProto.FLOAT
            yield helper.make_node("Cast", [source], [output], to=to)
