"""Weights, and where ranges are known activations, in 8 bits: as pairs of Quantize- and DequantizeLinear.

Signed and symmetric throughout, a scale for every output channel of a weight: what TensorRT takes and ONNX Runtime
turns into integer arithmetic. Reads no weights.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from gpt4roi_export.onnx_files import check_graph
from gpt4roi_export.vision_graphs.recipe import Recipe, Stored, nodes_with_places

LARGEST = 127
FLATTEN = "region_head.flatten.weight"
FIRST_FUSION = "pyramid.fusions.0."


@dataclass(frozen=True)
class Range:
    """Largest absolute values that one use of a weight met.

    Attributes:
        read: Of what goes in.
        written: Of what comes out, the bias left aside.
    """

    read: float
    written: float


Ranges = Mapping[str, Range]
"""By place, as ``recipe.place`` names it."""


def is_large(parameter: str) -> bool:
    """Whether 8 bits are worth it: a weight of a layer, and not of the pixels' or the boxes' own first ones.

    Nor that of the pyramid's first convolution, which the graph cuts into slices (see ``modules.first_fusion``).
    """
    small = ("embeddings.", "box_embedding.", "_embedding.", FIRST_FUSION)
    return parameter.endswith(".weight") and not any(part in parameter for part in small)


def weights_in_8_bits(recipe: Recipe, chosen: Callable[[str], bool] = is_large) -> Recipe:
    """Store the weights of convolutions and products as int8, with a scale for every output channel.

    Args:
        recipe: In float32 or float16.
        chosen: Which parameters.

    Returns:
        A new recipe.
    """
    model = recipe.copy_of_model()
    axes = {node.input[1]: _channel_axis(node) for _, node in nodes_with_places(model) if chosen(node.input[1])}
    inputs = {value.name: value for value in model.graph.input}
    stored: list[Stored] = []
    nodes: list[onnx.NodeProto] = []
    for entry in recipe.stored:
        if entry.name not in axes:
            stored.append(entry)
            continue
        rounded = replace(entry, name=f"{entry.name}_int8", part="int8")
        scales = replace(entry, name=f"{entry.name}_scales", part="scales", turned=False)
        stored += [rounded, scales]
        nodes += _dequantised(model, inputs[entry.name], rounded.name, scales.name, axes[entry.name])
    nodes += list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    check_graph(model)
    return Recipe(model, recipe.inputs, tuple(stored))


def activations_in_8_bits(recipe: Recipe, ranges: Ranges) -> Recipe:
    """Round what goes into, and comes out of, the uses of weights whose ranges are known.

    To be done before the weights: they are found by their names. A bias is added after the rounding, in float32.

    Args:
        recipe: In float32.
        ranges: Of the uses to round; others stay as they are.

    Returns:
        A new recipe.
    """
    model = recipe.copy_of_model()
    known = {node.output[0]: ranges[name] for name, node in nodes_with_places(model) if name in ranges}
    nodes = [
        made
        for node in model.graph.node
        for made in (_rounded(model, node, known[node.output[0]]) if node.output[0] in known else (node,))
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    check_graph(model)
    return Recipe(model, recipe.inputs, recipe.stored)


def int8_and_scales(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round a weight to 8 bits, each output channel by its own scale.

    Args:
        weight: ``[channels ...]``.

    Returns:
        Int8 of the same shape, and the scales float32 ``[channels]`` that they are multiplied by.
    """
    rounded = np.empty(weight.shape, dtype=np.int8)
    scales = np.empty(len(weight), dtype=np.float32)
    for channel, values in enumerate(weight):  # one at a time: the largest weight is 0.8 GB
        largest = max(float(values.max()), -float(values.min()))
        scales[channel] = largest / LARGEST if largest > 0 else 1.0
        rounded[channel] = np.clip(np.rint(values / scales[channel]), -LARGEST, LARGEST)
    return rounded, scales


def _channel_axis(node: onnx.NodeProto) -> int:
    """Axis of the output channels in a weight as the graph stores it."""
    return 0 if node.op_type == "Conv" else 1


def _dequantised(
    model: onnx.ModelProto, weight: onnx.ValueInfoProto, rounded: str, scales: str, axis: int
) -> Iterator[onnx.NodeProto]:
    """The weight, no longer an input but made from two new ones."""
    shape = [dim.dim_value for dim in weight.type.tensor_type.shape.dim]
    dtype = weight.type.tensor_type.elem_type
    name = weight.name
    model.graph.input.remove(weight)
    model.graph.input.append(helper.make_tensor_value_info(rounded, TensorProto.INT8, shape))
    model.graph.input.append(helper.make_tensor_value_info(scales, TensorProto.FLOAT, [shape[axis]]))
    zeros = f"{name}_zeros"
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(shape[axis], dtype=np.int8), zeros))
    # Before opset 19 the result is float32 whatever the rest of the graph is.
    result = name if dtype == TensorProto.FLOAT else f"{name}_float32"
    yield helper.make_node("DequantizeLinear", [rounded, scales, zeros], [result], axis=axis)
    if result != name:
        yield helper.make_node("Cast", [result], [name], to=dtype)


def _rounded(model: onnx.ModelProto, node: onnx.NodeProto, seen: Range) -> Iterator[onnx.NodeProto]:
    """The node between two pairs of Quantize- and DequantizeLinear, its bias behind them."""
    output = node.output[0]
    product, rounded = f"{output}_product", f"{output}_rounded"
    yield from _pair(model, node.input[0], f"{output}_read", seen.read)
    bare = onnx.NodeProto()
    bare.CopyFrom(node)
    bias = node.input[2] if len(node.input) > 2 else ""
    del bare.input[2:]
    bare.input[0], bare.output[0] = f"{output}_read", product
    yield bare
    yield from _pair(model, product, rounded if bias else output, seen.written)
    if bias:
        yield from _biased(model, node.op_type, rounded, bias, output)


def _biased(model: onnx.ModelProto, op_type: str, value: str, bias: str, output: str) -> Iterator[onnx.NodeProto]:
    addend = bias
    if op_type == "Conv":  # channels are the second axis
        addend, axes = f"{output}_bias", f"{output}_bias_axes"
        model.graph.initializer.append(numpy_helper.from_array(np.array([1, 2], dtype=np.int64), axes))
        yield helper.make_node("Unsqueeze", [bias, axes], [addend])
    yield helper.make_node("Add", [value, addend], [output])


def _pair(model: onnx.ModelProto, value: str, output: str, largest: float) -> Iterator[onnx.NodeProto]:
    scale, zero, rounded = f"{output}_scale", f"{output}_zero", f"{output}_int8"
    step = np.float32(largest / LARGEST if largest > 0 else 1.0)
    model.graph.initializer.append(numpy_helper.from_array(np.array(step, dtype=np.float32), scale))
    model.graph.initializer.append(numpy_helper.from_array(np.array(0, dtype=np.int8), zero))
    yield helper.make_node("QuantizeLinear", [value, scale, zero], [rounded])
    yield helper.make_node("DequantizeLinear", [rounded, scale, zero], [output])
