import numpy as np
import onnx
import pytest

from gpt4roi_export.onnx_files import check_graph, graph_bytes, put_in_weights, take_out_weights
from gpt4roi_runtime.errors import BundleError

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)


def graph() -> onnx.ModelProto:
    return onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node("MatMul", ["x", "weight"], ["y"])],
            "product",
            [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 2])],
            [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 3])],
            [onnx.numpy_helper.from_array(WEIGHT, "weight")],
        ),
        opset_imports=[onnx.helper.make_opsetid("", 18)],
        ir_version=10,
    )


def test_weights_go_out_and_in_again() -> None:
    skeleton = take_out_weights(graph(), ["weight"])
    assert [value.name for value in skeleton.graph.input] == ["x", "weight"]
    assert not skeleton.graph.initializer
    whole = put_in_weights(skeleton, ("x",), {"weight": WEIGHT, "not asked for": WEIGHT})
    assert [value.name for value in whole.graph.input] == ["x"]
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(whole.graph.initializer[0]), WEIGHT)
    assert graph_bytes(whole) == graph_bytes(put_in_weights(skeleton, ("x",), {"weight": WEIGHT}))


def test_weights_need_not_be_contiguous() -> None:
    whole = put_in_weights(take_out_weights(graph(), ["weight"]), ("x",), {"weight": WEIGHT.T.copy().T})
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(whole.graph.initializer[0]), WEIGHT)


def test_taking_out_what_is_not_there_is_refused() -> None:
    with pytest.raises(BundleError, match=r"no weight 'bias' \(1 missing\)"):
        take_out_weights(graph(), ["weight", "bias"])


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({}, "found nothing"),
        ({"weight": WEIGHT.T.copy()}, r"found float32 \(3, 2\), the graph wants float32 \(2, 3\)"),
        ({"weight": WEIGHT.astype(np.float64)}, "found float64"),
    ],
)
def test_wrong_weights_are_refused(weights: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(BundleError, match=words):
        put_in_weights(take_out_weights(graph(), ["weight"]), ("x",), weights)


def test_a_broken_graph_is_refused() -> None:
    broken = graph()
    broken.graph.node[0].input[1] = "nobody"
    with pytest.raises(BundleError, match="'product' is not valid ONNX"):
        check_graph(broken)
