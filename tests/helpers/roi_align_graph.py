"""A graph of one RoiAlign, and a run of a graph in ONNX Runtime."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper


def one_operator(channels: int, height: int, width: int, **attributes: object) -> onnx.ModelProto:
    """``features [1, c, h, w]``, ``boxes [n, 4]``, ``images [n]`` -> ``rois``; as in GPT4RoI, but for ``attributes``.

    A height of 0 is not known.
    """
    own: dict[str, Any] = {
        "coordinate_transformation_mode": "half_pixel",
        "mode": "avg",
        "output_height": 14,
        "output_width": 14,
        "sampling_ratio": 2,
        **attributes,
    }
    node = helper.make_node("RoiAlign", ["features", "boxes", "images"], ["rois"], **own)
    inputs = [
        helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, channels, height or None, width]),
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["n", 4]),
        helper.make_tensor_value_info("images", TensorProto.INT64, ["n"]),
    ]
    shape = ["n", channels, own["output_height"], own["output_width"]]
    output = helper.make_tensor_value_info("rois", TensorProto.FLOAT, shape)
    graph = helper.make_graph([node], "one", inputs, [output])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def run_graph(model: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """First output of a graph, from those of ``feeds`` that it asks for."""
    import onnxruntime as ort

    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs = session.run(None, {value.name: feeds[value.name] for value in session.get_inputs()})
    return np.asarray(outputs[0], dtype=np.float32)
