"""A float32 graph to one that stores and computes in float16, with islands where that would not do.

Knows operators, and of GPT4RoI only that ``boxes`` are coordinates.
"""

from collections.abc import Generator, Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gpt4roi_export.onnx_files import check_graph
from gpt4roi_export.vision_graphs.recipe import Recipe
from gpt4roi_runtime.vision.contract import BOXES

ISLANDS = frozenset({"InstanceNormalization", "LayerNormalization", "Resize", "RoiAlign", "Softmax"})
"""Operators that stay in float32: they add up many numbers, or weigh neighbours by small differences."""


def to_float16(recipe: Recipe) -> Recipe:
    """Weights and arithmetic in float16.

    In float32 stay: the graph's inputs and outputs, the islands, and all that is made of the boxes alone; a sixteen-bit
    coordinate would be a tenth of a pixel off.

    Returns:
        A new recipe.
    """
    model = recipe.copy_of_model()
    _Pass(model, recipe.inputs).run()
    check_graph(model)
    return Recipe(model, recipe.inputs, recipe.stored)


class _Pass:
    """One walk over the nodes in their order."""

    def __init__(self, model: onnx.ModelProto, inputs: tuple[str, ...]) -> None:
        self._graph = model.graph
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
        values = (*inferred.input, *inferred.value_info, *inferred.output)
        self._floats = {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT}
        self._constants = {tensor.name: tensor for tensor in self._graph.initializer}
        self._floats |= {name for name, tensor in self._constants.items() if tensor.data_type == TensorProto.FLOAT}
        self._weights = {value.name: value for value in self._graph.input if value.name not in inputs}
        self._is_half = dict.fromkeys(inputs, False)
        self._casts: dict[tuple[str, bool], str] = {}
        self._of_boxes = {BOXES}

    def run(self) -> None:
        """Rewrite the graph in place."""
        nodes = [rewritten for node in list(self._graph.node) for rewritten in self._rewrite(node)]
        nodes += list(self._float32_outputs(nodes))
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        del self._graph.value_info[:]

    def _rewrite(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        half = self._in_half(node)
        for index, value in enumerate(node.input):
            if value in self._floats:
                node.input[index] = yield from self._as(value, half=half)
        for value in node.output:
            self._is_half[value] = half
        yield node

    def _in_half(self, node: onnx.NodeProto) -> bool:
        """Whether the node computes in float16."""
        computed = [name for name in node.input if name in self._floats and name in self._is_half]
        if computed and self._of_boxes.issuperset(computed) and node.op_type != "RoiAlign":
            self._of_boxes.update(node.output)
            return False
        return node.op_type not in ISLANDS

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

    def _float32_outputs(self, nodes: list[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
        outputs = [output.name for output in self._graph.output if self._is_half[output.name]]
        halves = {name: f"{name}_half" for name in outputs}
        for node in nodes:
            for values in (node.input, node.output):
                for index, value in enumerate(values):
                    values[index] = halves.get(value, value)
        for output, half in halves.items():
            yield helper.make_node("Cast", [half], [output], to=TensorProto.FLOAT)
