"""Casts of constants, done before a graph is written; knows nothing of what the graph computes.

The exporter casts a number to the type of the array it meets, with an operator that ONNX Runtime cannot fold: so a clip
whose bounds are such numbers is not merged with the convolution before it.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper, shape_inference

from gpt4roi_export.onnx_files import rename_values


def fold_casts(model: onnx.ModelProto) -> None:
    """Replace every CastLike of a constant by the constant it makes, and drop those that change no type.

    Args:
        model: Changed in place.
    """
    types = _types(model)
    constants = {node.output[0]: node for node in model.graph.node if node.op_type == "Constant"}
    renamed: dict[str, str] = {}
    for position, node in enumerate(list(model.graph.node)):
        if node.op_type != "CastLike":
            continue
        (source, like), (output,) = node.input, node.output
        wanted = types.get(like)
        if wanted is None:
            continue
        if types.get(source) == wanted:
            renamed[output] = source
        elif source in constants:
            cast = _number(constants[source]).astype(helper.tensor_dtype_to_np_dtype(wanted))
            made = helper.make_node("Constant", [], [output], value=numpy_helper.from_array(cast))
            model.graph.node[position].CopyFrom(made)
    kept = [node for node in model.graph.node if node.op_type != "CastLike" or node.output[0] not in renamed]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    rename_values(model, {output: _end(renamed, source) for output, source in renamed.items()})


def _number(constant: onnx.NodeProto) -> NDArray[np.generic]:
    """The value of a Constant, which may be written as a tensor or as a number."""
    value = helper.get_attribute_value(constant.attribute[0])
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def _types(model: onnx.ModelProto) -> dict[str, int]:
    graph = shape_inference.infer_shapes(model).graph
    known = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    return known | {tensor.name: tensor.data_type for tensor in graph.initializer}


def _end(renamed: dict[str, str], name: str) -> str:
    while name in renamed:
        name = renamed[name]
    return name
