"""The smallest graph whose rounding OpenVINO moves to where it is wrong, and that ours keeps right."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from gpt4roi_runtime.backends.onnx_graph import OnnxGraph
from gpt4roi_runtime.backends.openvino_graph import OpenVinoGraph
from gpt4roi_runtime.backends.openvino_settings import OpenVinoSettings
from gpt4roi_runtime.vision.contract import GraphContract, TensorContract
from tests.helpers.tiny_graphs import value_info

pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'gpt4roi-edge[openvino]'")

Array = NDArray[np.float32]
SHAPE = (1, 16, 8, 8)


def rounded_behind_a_concat(random: np.random.Generator) -> onnx.ModelProto:
    """Parts of two inputs, joined, rounded to 8 bits, and convolved by 8-bit weights."""
    weights = random.integers(-127, 128, (16, 16, 3, 3)).astype(np.int8)
    values: dict[str, NDArray[np.generic]] = {
        "weights": weights,
        "scales": random.uniform(0.01, 0.03, 16).astype(np.float32),
        "zeros": np.zeros(16, dtype=np.int8),
        "step": np.array(4 / 127, dtype=np.float32),
        "zero": np.array(0, dtype=np.int8),
        "start": np.array([0]),
        "middle": np.array([8]),
        "end": np.array([16]),
        "axis": np.array([1]),
    }
    nodes = [
        helper.make_node("Slice", ["one", "start", "middle", "axis"], ["first"]),
        helper.make_node("Slice", ["other", "middle", "end", "axis"], ["second"]),
        helper.make_node("Concat", ["first", "second"], ["joined"], axis=1),
        helper.make_node("QuantizeLinear", ["joined", "step", "zero"], ["rounded"]),
        helper.make_node("DequantizeLinear", ["rounded", "step", "zero"], ["read"]),
        helper.make_node("DequantizeLinear", ["weights", "scales", "zeros"], ["floats"], axis=0),
        helper.make_node("Conv", ["read", "floats"], ["made"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "joined",
        [value_info("one", *SHAPE), value_info("other", *SHAPE)],
        [value_info("made", *SHAPE)],
        [numpy_helper.from_array(array, name) for name, array in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_a_joined_value_is_rounded_as_the_graph_says(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    path = tmp_path / "joined.onnx"
    path.write_bytes(rounded_behind_a_concat(random).SerializeToString())
    one, other, made = (TensorContract(name, SHAPE) for name in ("one", "other", "made"))
    contract = GraphContract((one, other), (made,))
    feeds: dict[str, Array] = {name: random.standard_normal(SHAPE, dtype=np.float32) for name in ("one", "other")}
    (expected,) = OnnxGraph(path, contract, n_threads=1).run(feeds)
    (found,) = OpenVinoGraph(path, contract, OpenVinoSettings("f32", 1)).run(feeds)
    assert np.linalg.norm(found - expected) <= 1e-3 * np.linalg.norm(expected)
