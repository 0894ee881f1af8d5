"""A plan's graph in ONNX Runtime, whose own RoiAlign stands for our operator there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper


def with_plain_operator(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with a RoiAlign for each level of a PyramidRoiAlign, in float32 between two casts."""
    half = any(value.type.tensor_type.elem_type == TensorProto.FLOAT16 for value in model.graph.input)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes += _written_out(node, half=half) if node.op_type == "PyramidRoiAlign" else [node]
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    del plain.graph.node[:]
    plain.graph.node.extend(nodes)
    return plain


def _written_out(node: onnx.NodeProto, *, half: bool) -> list[onnx.NodeProto]:
    given: dict[str, Any] = {part.name: helper.get_attribute_value(part) for part in node.attribute}
    *levels, boxes = node.input
    (output,) = node.output
    nodes = [
        helper.make_node("Shape", [boxes], [f"{output}_n"], start=0, end=1),
        helper.make_node("ConstantOfShape", [f"{output}_n"], [f"{output}_images"], value=_zero()),
    ]
    for level, scale in zip(levels, given["spatial_scales"], strict=True):
        nodes += [
            helper.make_node("Cast", [level], [f"{output}_{level}_whole"], to=TensorProto.FLOAT),
            helper.make_node(
                "RoiAlign",
                [f"{output}_{level}_whole", boxes, f"{output}_images"],
                [f"{output}_{level}"],
                output_height=given["output_side"],
                output_width=given["output_side"],
                sampling_ratio=given["sampling_ratio"],
                spatial_scale=float(scale),
                coordinate_transformation_mode="half_pixel",
            ),
        ]
    beside = [f"{output}_{level}" for level in levels]
    to = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    nodes.append(helper.make_node("Concat", beside, [f"{output}_whole"], axis=1))
    nodes.append(helper.make_node("Cast", [f"{output}_whole"], [output], to=to))
    return nodes


def _zero() -> onnx.TensorProto:
    return helper.make_tensor("zero", TensorProto.INT64, [1], [0])


def run_file(path: Path, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Outputs by name of a graph and its weights beside it; inputs are cast to what the graph wants."""
    import onnxruntime as ort

    written = path.with_name(f"plain-{path.name}")
    onnx.save(with_plain_operator(onnx.load(path, load_external_data=False)), written)
    session = ort.InferenceSession(str(written), providers=["CPUExecutionProvider"])
    types = {"tensor(float16)": np.float16, "tensor(float)": np.float32}
    given = {value.name: feeds[value.name].astype(types[value.type]) for value in session.get_inputs()}
    outputs = session.run(None, given)
    return {value.name: np.asarray(one) for value, one in zip(session.get_outputs(), outputs, strict=True)}
