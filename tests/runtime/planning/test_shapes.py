"""Shapes carried through operators, against those of ONNX Runtime's results; and the fullest moment of them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from gpt4roi_runtime.bundle.folder import open_bundle
from gpt4roi_runtime.planning.activations import Fullest, fullest_moment
from gpt4roi_runtime.planning.graph_file import GraphFile, read_graph_file
from gpt4roi_runtime.planning.shapes import carried_shapes
from tests.runtime.planning.shaped import write_graph

FLOATS = 4


def ints(*numbers: int, scalar: bool = False) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(numbers[0] if scalar else numbers, np.int64))


def graph_of(path: Path, kind: str, *arguments: onnx.TensorProto | None, **attributes: Any) -> tuple[GraphFile, Path]:
    """x [2 3 8 10] -> one operator -> y; arguments are weights, and None is left out."""
    named = [(f"a{index}" if tensor is not None else "", tensor) for index, tensor in enumerate(arguments)]
    weights = []
    for name, tensor in named:
        if tensor is not None:
            tensor.name = name
            weights.append(tensor)
    node = helper.make_node(kind, ["x", *(name for name, _ in named)], ["y"], **attributes)
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (2, 3, 8, 10))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        weights,
    )
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()
    )
    return read_graph_file(path), path


def floats(*axes: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.ones(axes, np.float32))


CASES: list[tuple[str, tuple[onnx.TensorProto | None, ...], dict[str, Any]]] = [
    ("Relu", (), {}),
    ("Add", (floats(3, 1, 1),), {}),
    ("Mul", (floats(5, 1, 1, 1, 1),), {}),
    ("Conv", (floats(6, 3, 3, 3),), {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ("Conv", (floats(6, 3, 3, 2),), {"dilations": [2, 1]}),
    ("Conv", (floats(3, 1, 1, 1),), {"group": 3}),
    ("MaxPool", (), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 1, 0]}),
    ("AveragePool", (), {"kernel_shape": [2, 5]}),
    ("GlobalAveragePool", (), {}),
    ("MatMul", (floats(10, 4),), {}),
    ("MatMul", (floats(3, 10, 4),), {}),
    ("Concat", (floats(2, 5, 8, 10),), {"axis": 1}),
    ("Concat", (floats(2, 3, 8, 1),), {"axis": -1}),
    ("Transpose", (), {"perm": [0, 2, 3, 1]}),
    ("Transpose", (), {}),
    ("Reshape", (ints(0, -1, 10),), {}),
    ("Reshape", (ints(480),), {}),
    ("Expand", (ints(4, 1, 1, 1, 1),), {}),
    ("Pad", (ints(0, 0, 1, 2, 0, 0, 3, 4),), {}),
    ("Pad", (ints(1, 2), None, ints(3)), {}),
    ("Slice", (ints(1), ints(-1), ints(2)), {}),
    ("Slice", (ints(8, 0), ints(-(1 << 62), 100), ints(3, 2), ints(-2, 3)), {}),
    ("Resize", (None, None, ints(2, 3, 16, 5)), {}),
    ("Unsqueeze", (ints(0, -1),), {}),
    ("Gather", (ints(1, 0),), {"axis": 2}),
    ("Gather", (ints(1, scalar=True),), {"axis": 1}),
    ("ReduceMean", (ints(2, 3),), {"keepdims": 0}),
    ("ReduceSum", (ints(1),), {}),
    ("ReduceMax", (), {"keepdims": 0}),
    ("Flatten", (), {"axis": 2}),
    ("Softmax", (), {"axis": -1}),
]


@pytest.mark.parametrize(("kind", "arguments", "attributes"), CASES, ids=lambda value: str(value)[:20])
def test_the_shape_is_that_of_the_result(
    tmp_path: Path, kind: str, arguments: tuple[onnx.TensorProto | None, ...], attributes: dict[str, Any]
) -> None:
    graph, path = graph_of(tmp_path / "one.onnx", kind, *arguments, **attributes)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"x": np.zeros((2, 3, 8, 10), np.float32)})
    assert carried_shapes(graph, 1)["y"] == result.shape


def test_an_operator_nobody_knows_ends_the_chain(tmp_path: Path) -> None:
    nodes = [helper.make_node("Mystery", ["x"], ["m"]), helper.make_node("Relu", ["m"], ["y"])]
    graph = read_graph_file(write_graph(tmp_path / "g", nodes, {"x": (4,)}, {"z": (4,)}, []))
    assert carried_shapes(graph, 1) == {"x": (4,), "z": (4,)}
    assert fullest_moment(graph, 1).n_known == 0


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("Conv", ["x", "x"], ["y"], strides=[0, 0])],
        [helper.make_node("Concat", ["x", "x"], ["y"], axis=9)],
        [helper.make_node("Gather", ["x"], ["y"])],
        [helper.make_node("Flatten", [], ["y"])],
        [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Div", ["s", "s"], ["y"])],
        [helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], strides=[0, 1])],
    ],
    ids=lambda nodes: nodes[0].op_type,
)
def test_a_graph_that_does_not_fit_together_is_unknown_and_no_error(
    tmp_path: Path, nodes: list[onnx.NodeProto]
) -> None:
    graph = read_graph_file(write_graph(tmp_path / "g", nodes, {"x": (1, 0, 4, 4)}, {"z": (4,)}, []))
    assert "y" not in carried_shapes(graph, 1)


def test_shapes_are_computed_from_computed_numbers(tmp_path: Path) -> None:
    """Reshape to [n, height / 2 - 1, -1], as exporters write it."""

    def constant(name: str, *numbers: int) -> onnx.NodeProto:
        return helper.make_node("Constant", [], [name], value=ints(*numbers))

    nodes = [
        constant("two", 2),
        constant("one", 1),
        constant("rest", -1),
        helper.make_node("Shape", ["x"], ["n"], start=0, end=1),
        helper.make_node("Shape", ["x"], ["all"]),
        helper.make_node("Gather", ["all", "two"], ["height"]),
        helper.make_node("Div", ["height", "two"], ["half"]),
        helper.make_node("Sub", ["half", "one"], ["less"]),
        helper.make_node("Concat", ["n", "less", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["x", "wanted"], ["y"]),
    ]
    graph = read_graph_file(write_graph(tmp_path / "g", nodes, {"x": ("n", 3, 8, 10)}, {"z": (1,)}, []))
    assert carried_shapes(graph, 6)["y"] == (6, 3, 80)


def test_the_fullest_moment_is_where_most_values_live(tmp_path: Path) -> None:
    """x (100) -> a (100) -> b (25) -> y (125): a is read to the end; x and what weights alone make cost nothing."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Exp", ["w"], ["of_weights"]),
        helper.make_node("Slice", ["a", "zero", "quarter"], ["b"]),
        helper.make_node("Concat", ["a", "b"], ["y"], axis=0),
    ]
    weights = [numpy_helper.from_array(np.array([0]), "zero"), numpy_helper.from_array(np.array([25]), "quarter")]
    weights.append(numpy_helper.from_array(np.zeros(5000, np.float32), "w"))
    graph = read_graph_file(write_graph(tmp_path / "g", nodes, {"x": (100,)}, {"y": (125,)}, weights))
    assert fullest_moment(graph, 1) == Fullest((100 + 25 + 125) * FLOATS, 4, 4)


@pytest.mark.bundle
def test_both_graphs_of_the_embedded_bundle_are_seen_whole(bundle_dir: Path) -> None:
    """What the walk finds for the outputs is what the manifest says, without looking at it."""
    bundle = open_bundle(bundle_dir)
    vision = bundle.manifest.vision
    for entry, given in (
        (vision.encode, {"pixels"}),
        (vision.regions, {"boxes", "pyramid_0", "pyramid_1", "pyramid_2", "pyramid_3"}),
    ):
        graph = read_graph_file(bundle.path_of(entry))
        assert fullest_moment(graph, 7).complete
        bare = GraphFile(graph.operators, graph.weights, {name: graph.shapes[name] for name in given}, graph.outputs)
        found = carried_shapes(bare, 7)
        for name in set(graph.outputs) - {"region_embeddings"}:
            assert found[name] == graph.shapes[name]
