"""What is read of an ONNX file without the onnx package, against graphs written with it; and damaged files."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from gpt4roi_runtime.errors import BundleError
from gpt4roi_runtime.planning.graph_file import FLOAT16, Weight, read_graph_file
from tests.runtime.planning.shaped import external_weight, write_graph


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_graph(
        tmp_path / "graph.onnx",
        [
            helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.array([1, -1], np.int64))),
            helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 2, 3, 4], group=2),
            helper.make_node("Reshape", ["y", "c"], ["z"], allowzero=0),
        ],
        {"x": (1, 3, 8, "n")},
        {"z": (1, "m")},
        [
            external_weight("w", (4, 3, 3, 3), TensorProto.FLOAT16),
            numpy_helper.from_array(np.array([7, -8], np.int32), "i32"),
            helper.make_tensor("listed", TensorProto.INT64, [2], [5, -6]),
        ],
    )


def test_operators_shapes_and_weights(path: Path) -> None:
    graph = read_graph_file(path)
    constant, conv, reshape = graph.operators
    assert constant.tensor is not None
    assert (constant.tensor.shape, constant.tensor.numbers) == ((2,), (1, -1))
    assert (conv.kind, conv.inputs, conv.outputs) == ("Conv", ("x", "w"), ("y",))
    assert (conv.numbers["pads"], conv.numbers["group"]) == ((1, 2, 3, 4), (2,))
    assert reshape.numbers == {"allowzero": (0,)}
    assert graph.shapes == {"x": (1, 3, 8, None), "z": (1, None)}
    assert graph.outputs == ("z",)
    assert graph.weights["w"] == Weight("w", FLOAT16, (4, 3, 3, 3), external=True)
    assert graph.weights["w"].size_bytes == 4 * 27 * 2
    assert graph.weights["i32"].numbers == (7, -8)
    assert graph.weights["listed"].numbers == (5, -6)


def test_large_tensors_keep_their_numbers_in_the_file(tmp_path: Path) -> None:
    many = numpy_helper.from_array(np.arange(1000), "many")
    path = write_graph(tmp_path / "g", [helper.make_node("Relu", ["x"], ["y"])], {"x": (1,)}, {"y": (1,)}, [many])
    weight = read_graph_file(path).weights["many"]
    assert (weight.numbers, weight.size_bytes, weight.external) == (None, 8000, False)


@pytest.mark.parametrize("content", [b"", b"\x00", b"not a graph", b"\x3a\x7f\x00", bytes(100)])
def test_what_is_no_graph_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "encode.onnx"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"encode\.onnx is not an ONNX graph"):
        read_graph_file(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere"):
        read_graph_file(tmp_path / "nowhere.onnx")


def test_a_weight_larger_than_any_is_refused(tmp_path: Path) -> None:
    huge = external_weight("huge", (1 << 40, 1 << 40))
    path = write_graph(tmp_path / "g", [helper.make_node("Relu", ["x"], ["y"])], {"x": (1,)}, {"y": (1,)}, [huge])
    with pytest.raises(BundleError, match="huge"):
        read_graph_file(path)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_never_ends_in_anything_else(path: Path, data: st.DataObject) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged = path.with_name("damaged.onnx")
    damaged.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with suppress(BundleError):
        read_graph_file(damaged)
