"""Two tiny graphs of one bundle that can be computed by hand, and the ways in which they can be wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gpt4roi_runtime.bundle.folder import Bundle, open_bundle
from tests.helpers.bundles import write_fake_bundle

Model = onnx.ModelProto
Change = Callable[[Model], None]

WEIGHTS = np.arange(20, dtype=np.float32).reshape(4, 5)


def value_info(name: str, *shape: int | str, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: dict[str, np.ndarray],
) -> Model:
    initializers = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def encode_model() -> Model:
    """Two poolings as levels, and the mean colour times two rows of weights as image rows."""
    return _model(
        [
            helper.make_node("AveragePool", ["pixels"], ["pyramid_0"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("AveragePool", ["pixels"], ["pyramid_1"], kernel_shape=[4, 4], strides=[4, 4]),
            helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[0, 1, 2, 3], keepdims=0),
            helper.make_node("Mul", ["mean", "weights"], ["image_embeddings"]),
        ],
        [value_info("pixels", 1, 3, 8, 8)],
        [
            value_info("image_embeddings", 2, 5),
            value_info("pyramid_0", 1, 3, 4, 4),
            value_info("pyramid_1", 1, 3, 2, 2),
        ],
        {"weights": WEIGHTS[:2]},
    )


def regions_model() -> Model:
    """Boxes times weights, plus the levels' means."""
    return _model(
        [
            helper.make_node("ReduceMean", ["pyramid_0"], ["mean_0"], keepdims=0),
            helper.make_node("ReduceMean", ["pyramid_1"], ["mean_1"], keepdims=0),
            helper.make_node("MatMul", ["boxes", "weights"], ["products"]),
            helper.make_node("Unsqueeze", ["products", "axis"], ["rows"]),
            helper.make_node("Add", ["rows", "mean_0"], ["sum"]),
            helper.make_node("Add", ["sum", "mean_1"], ["region_embeddings"]),
        ],
        [value_info("pyramid_0", 1, 3, 4, 4), value_info("pyramid_1", 1, 3, 2, 2), value_info("boxes", "n", 4)],
        [value_info("region_embeddings", "n", 1, 5)],
        {"weights": WEIGHTS, "axis": np.array([1])},
    )


def tiny_bundle(
    folder: Path, encode: Model | bytes | None = None, regions: Model | bytes | None = None, **changes: Any
) -> Bundle:
    files = {
        name: model if isinstance(model, bytes) else model.SerializeToString()
        for name, model in (("encode.onnx", encode or encode_model()), ("regions.onnx", regions or regions_model()))
    }
    return open_bundle(write_fake_bundle(folder, files=files, **changes))


PIXELS = np.random.default_rng(0).standard_normal((1, 3, 8, 8), dtype=np.float32)
LEVELS = (np.full((1, 3, 4, 4), 2, dtype=np.float32), np.full((1, 3, 2, 2), 3, dtype=np.float32))


def n_boxes(n: int) -> np.ndarray:
    return np.tile(np.array([0.1, 0.2, 0.6, 0.8], dtype=np.float32), (n, 1))


def rename(old: str, new: str) -> Change:
    def change(model: Model) -> None:
        for node in model.graph.node:
            node.input[:] = [new if name == old else name for name in node.input]
            node.output[:] = [new if name == old else name for name in node.output]
        for value in (*model.graph.input, *model.graph.output):
            value.name = new if value.name == old else value.name

    return change


def swap_levels(model: Model) -> None:
    first, second = model.graph.output[1], model.graph.output[2]
    kept = onnx.ValueInfoProto()
    kept.CopyFrom(first)
    first.CopyFrom(second)
    second.CopyFrom(kept)


def drop_last_output(model: Model) -> None:
    del model.graph.output[-1]


def add_input(model: Model) -> None:
    model.graph.input.append(value_info("secret", 1))


def as_double(model: Model) -> None:
    rename("image_embeddings", "before")(model)
    model.graph.node.append(helper.make_node("Cast", ["before"], ["image_embeddings"], to=TensorProto.DOUBLE))
    model.graph.output[0].CopyFrom(value_info("image_embeddings", 2, 5, kind=TensorProto.DOUBLE))


def free_side(model: Model) -> None:
    model.graph.input[0].CopyFrom(value_info("pixels", 1, 3, "height", "width"))
    for number in (1, 2):
        model.graph.output[number].CopyFrom(value_info(f"pyramid_{number - 1}", 1, 3, "height", "width"))


def with_weights_at(location: str, model: Model | None = None) -> Model:
    """The encode graph whose weights lie in another file."""
    model = model or encode_model()
    tensor = model.graph.initializer[0]
    raw = numpy_helper.to_array(tensor).tobytes()
    for field in ("raw_data", "float_data"):
        tensor.ClearField(field)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(len(raw)))):
        tensor.external_data.add(key=key, value=value)
    return model


def hidden_in_a_node(location: str) -> Model:
    """The same, with the tensor inside a Constant node instead of the list of weights."""
    model = with_weights_at(location)
    tensor = model.graph.initializer.pop()
    model.graph.node.insert(0, helper.make_node("Constant", [], ["weights"], value=tensor))
    return model


OWN = WEIGHTS[:2].tobytes()


def three_rows_if_told(model: Model) -> None:
    """Declared as two rows; how many there really are depends on the pixels."""
    del model.graph.node[2:]
    model.graph.node.extend(
        [
            helper.make_node("ReduceMax", ["pixels"], ["most"], axes=[0, 1, 2, 3], keepdims=0),
            helper.make_node("Cast", ["most"], ["whole"], to=TensorProto.INT64),
            helper.make_node("Unsqueeze", ["whole", "axis"], ["end"]),
            helper.make_node("Slice", ["all", "axis", "end"], ["image_embeddings"]),
        ]
    )
    model.graph.initializer.append(numpy_helper.from_array(WEIGHTS, "all"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([0]), "axis"))
