import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from gpt4roi_export.folding import fold_casts
from gpt4roi_export.skeletons import read_skeletons


def graph(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    """``x`` float32 [3] -> ``y`` float32 [3]."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in ("x", "y")]
    made = helper.make_graph(list(nodes), "tiny", values[:1], values[1:])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_bounds_become_numbers_of_the_right_type() -> None:
    model = graph(
        helper.make_node("Constant", [], ["zero"], value=numpy_helper.from_array(np.array(0, dtype=np.int64))),
        helper.make_node("Constant", [], ["six"], value_int=6),
        helper.make_node("CastLike", ["zero", "x"], ["low"]),
        helper.make_node("CastLike", ["six", "x"], ["high"]),
        helper.make_node("CastLike", ["x", "low"], ["same"]),
        helper.make_node("CastLike", ["same", "x"], ["again"]),
        helper.make_node("Clip", ["again", "low", "high"], ["y"]),
    )
    fold_casts(model)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Constant", "Constant", "Constant", "Constant", "Clip"]
    assert list(model.graph.node[-1].input) == ["x", "low", "high"]
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": np.array([-1.0, 2.5, 7.0], dtype=np.float32)})
    np.testing.assert_array_equal(found, np.array([0.0, 2.5, 6.0], dtype=np.float32))


def test_a_number_that_is_computed_is_left_alone() -> None:
    model = graph(
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("CastLike", ["shape", "x"], ["length"]),
        helper.make_node("Add", ["x", "length"], ["y"]),
    )
    before = model.SerializeToString()
    fold_casts(model)
    assert model.SerializeToString() == before


def test_the_committed_graphs_have_numbers_as_bounds() -> None:
    for model in (read_skeletons().encode, read_skeletons().regions):
        made = {node.output[0]: node.op_type for node in model.graph.node}
        clips = [node for node in model.graph.node if node.op_type == "Clip"]
        assert clips
        assert {made[bound] for node in clips for bound in node.input[1:] if bound} == {"Constant"}
