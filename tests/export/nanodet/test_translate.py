"""Every operator as ONNX against an interpreter of TensorFlow's definitions."""

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from gpt4roi_export.nanodet.tfjs_graph import TfjsGraph, read_tfjs_graph
from gpt4roi_export.nanodet.translate import Translation
from gpt4roi_export.onnx_files import check_graph
from gpt4roi_runtime.errors import BundleError
from tests.helpers.tfjs import ModelFiles, interpreted

SHAPE = (1, 3, 7, 10)  # sides and channels differ, so that no mixed up axis goes unseen
RNG = np.random.default_rng(5)
PICTURE = RNG.standard_normal(SHAPE).astype(np.float32)

Build = Callable[[ModelFiles], str]


def half(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float16)


def whole(*numbers: object) -> np.ndarray:
    return np.array(numbers, dtype=np.int32)


def channels_last(files: ModelFiles, source: str = "photo") -> str:
    files.constant(f"{source}/order", whole(0, 2, 3, 1))
    return files.node("Transpose", f"{source}/last", source, f"{source}/order")


def convolved(files: ModelFiles) -> str:
    files.constant("kernel", half(3, 2, 3, 5))
    kinds = {"padding": "VALID", "data_format": "NHWC", "dilations": (1, 1, 1, 1)}
    return files.node("Conv2D", "conv", channels_last(files), "kernel", strides=(1, 2, 1, 1), **kinds)


def biased(files: ModelFiles) -> str:
    files.constant("bias", half(5))
    return files.node("Add", "sum", convolved(files), "bias")


def pooled(files: ModelFiles) -> str:
    kinds = {"padding": "VALID", "data_format": "NHWC"}
    return files.node("MaxPool", "pool", channels_last(files), ksize=(1, 3, 2, 1), strides=(1, 2, 1, 1), **kinds)


def padded(files: ModelFiles) -> str:
    files.constant("widths", whole([0, 0], [1, 2], [3, 0], [0, 1]))
    return files.node("Pad", "pad", channels_last(files), "widths")


def padded_with_minus_infinity(files: ModelFiles) -> str:
    files.constant("widths", whole([0, 0], [0, 0], [1, 0], [0, 2]))
    files.constant("fill", np.array(-np.inf, dtype=np.float16))
    return files.node("PadV2", "pad", "photo", "widths", "fill")


def resized(*sides: int) -> Build:
    def build(files: ModelFiles) -> str:
        files.constant("sides", whole(*sides))
        source = channels_last(files)
        return files.node("ResizeBilinear", "resize", source, "sides", half_pixel_centers=True, align_corners=False)

    return build


def joined(files: ModelFiles) -> str:
    """The second part comes with its axes in another order."""
    files.constant("axis", np.array(3, dtype=np.int32))
    files.node("Sigmoid", "sigmoid", "photo")
    return files.node("ConcatV2", "both", channels_last(files), channels_last(files, "sigmoid"), "axis")


def added_in_another_order(files: ModelFiles) -> str:
    files.constant("back", whole(0, 3, 1, 2))
    files.node("LeakyRelu", "relu", channels_last(files), alpha=0.25)
    files.node("Transpose", "first", "relu", "back")
    return files.node("AddV2", "sum", "photo", "first")


def split_and_reshaped(files: ModelFiles) -> str:
    """The shape is computed from constants, as exporters leave it behind."""
    files.constant("lengths", whole(2, 1))
    files.constant("axis", np.array(3, dtype=np.int32))
    files.constant("where", whole([1]))
    files.constant("n", whole(2))
    files.constant("more", whole(10))
    files.constant("zero", np.array(0, dtype=np.int32))
    files.constant("base", whole(7, 10))
    files.node("SparseToDense", "dense", "where", "n", "more", "zero")
    files.node("AddV2", "shape", "base", "dense")
    files.node("SplitV", "parts", channels_last(files), "lengths", "axis")
    files.node("Reshape", "reshaped", "parts", "shape")
    return files.node("Identity", "out", "reshaped")


def second_part(files: ModelFiles) -> str:
    files.constant("lengths", whole(2, 1))
    files.constant("axis", np.array(1, dtype=np.int32))
    files.node("SplitV", "parts", "photo", "lengths", "axis")
    return files.node("Sigmoid", "out", "parts:1")


def read(files: ModelFiles) -> TfjsGraph:
    return read_tfjs_graph(files.json_bytes, files.weight_bytes)


def executed(graph: TfjsGraph, output: str, shape: tuple[int, ...]) -> tuple[np.ndarray, onnx.ModelProto]:
    translation = Translation(graph, "pixels")
    translation.node("Identity", [translation.tensor(output)], "result")
    inputs = [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, SHAPE)]
    outputs = [helper.make_tensor_value_info("result", TensorProto.FLOAT, shape)]
    onnx_graph = helper.make_graph(translation.nodes, "test", inputs, outputs, translation.weights)
    model = helper.make_model(onnx_graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    check_graph(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {"pixels": PICTURE})[0], model


@pytest.mark.parametrize(
    "build",
    [
        channels_last,
        convolved,
        biased,
        pooled,
        padded,
        padded_with_minus_infinity,
        resized(14, 20),
        resized(3, 4),
        resized(9, 5),
        joined,
        added_in_another_order,
        split_and_reshaped,
        second_part,
    ],
)
def test_an_operator_computes_what_tensorflow_says(build: Build) -> None:
    files = ModelFiles(SHAPE)
    output = build(files)
    graph = read(files)
    (expected,) = interpreted(graph, PICTURE, [output])
    found, _ = executed(graph, output, expected.shape)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_transposes_cost_nothing_and_half_precision_stays() -> None:
    files = ModelFiles(SHAPE)
    output = biased(files)
    files.constant("back", whole(0, 3, 1, 2))
    files.node("Transpose", "first", output, "back")
    _, model = executed(read(files), "first", (1, 5, 3, 9))
    assert "Transpose" not in {node.op_type for node in model.graph.node}
    assert {tensor.data_type for tensor in model.graph.initializer} == {TensorProto.FLOAT16}


def test_a_file_may_list_operators_in_any_order() -> None:
    files = ModelFiles(SHAPE)
    output = biased(files)
    graph = read(files)
    backwards = TfjsGraph(graph.operators[::-1], graph.constants, graph.input_name, graph.input_shape)
    shape = (1, 3, 9, 5)
    np.testing.assert_array_equal(executed(backwards, output, shape)[0], executed(graph, output, shape)[0])


def unknown(files: ModelFiles) -> str:
    return files.node("Exp", "exp", "photo")


def circular(files: ModelFiles) -> str:
    files.node("Identity", "one", "other")
    return files.node("Identity", "other", "one")


def padded_same(files: ModelFiles) -> str:
    files.constant("kernel", half(3, 2, 3, 5))
    return files.node("Conv2D", "conv", "photo", "kernel", padding="SAME", data_format="NHWC", strides=(1, 1, 1, 1))


def corners_aligned(files: ModelFiles) -> str:
    files.constant("sides", whole(3, 4))
    return files.node("ResizeBilinear", "resize", "photo", "sides", half_pixel_centers=False, align_corners=True)


def shape_that_is_computed(files: ModelFiles) -> str:
    return files.node("Reshape", "reshaped", "photo", "photo")


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (unknown, "Exp"),
        (circular, "no operator gives"),
        (padded_same, "padding 'SAME'"),
        (corners_aligned, "half_pixel_centers"),
        (shape_that_is_computed, "not a constant"),
    ],
)
def test_what_it_was_not_written_for_is_refused(build: Build, words: str) -> None:
    files = ModelFiles(SHAPE)
    build(files)
    with pytest.raises(BundleError, match=words):
        Translation(read(files), "pixels")
