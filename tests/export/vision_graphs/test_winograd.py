import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from gpt4roi_export.onnx_files import put_in_weights
from gpt4roi_export.vision_graphs.recipe import Recipe, Stored
from gpt4roi_export.vision_graphs.structure import Structure, recipe_of
from gpt4roi_export.vision_graphs.winograd import (
    TILE,
    WEIGHT,
    cells_of,
    needs_full_precision,
    tiles_of,
    transformed,
    with_winograd,
)

CHANNELS, FILTERS = 3, 5


def one_convolution(side: int, *, bias: bool = True, **changed: list[int]) -> Recipe:
    given = {"pads": [1, 1, 1, 1], **changed}
    names = ["x", "weight", "bias"] if bias else ["x", "weight"]
    shapes = {"x": [None, CHANNELS, side, side], "weight": [FILTERS, CHANNELS, 3, 3], "bias": [FILTERS]}
    graph = helper.make_graph(
        [helper.make_node("Conv", names, ["y"], **given)],
        "one",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in names],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return Recipe(model, ("x",), tuple(Stored(name, name) for name in names[1:]))


@given(st.integers(1, 21), st.integers(1, 3), st.booleans())
def test_any_side_and_any_number_of_maps_give_the_convolution(side: int, n_maps: int, bias: bool) -> None:
    recipe = with_winograd(one_convolution(side, bias=bias))
    assert not [node for node in recipe.model.graph.node if node.op_type == "Conv"]
    random = np.random.default_rng(side)
    x = random.standard_normal((n_maps, CHANNELS, side, side), dtype=np.float32)
    weight = random.standard_normal((FILTERS, CHANNELS, 3, 3), dtype=np.float32)
    arrays = {"weight_winograd": transformed(weight), "bias": random.standard_normal(FILTERS, dtype=np.float32)}
    model = put_in_weights(recipe.model, ("x",), arrays)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (ours,) = session.run(None, {"x": x})
    wanted = torch.nn.functional.conv2d(
        torch.from_numpy(x).double(),
        torch.from_numpy(weight).double(),
        torch.from_numpy(arrays["bias"]).double() if bias else None,
        padding=1,
    ).numpy()
    # Some two dozen roundings follow one another, each by at most 2**-24 of the numbers' sizes. With mixed signs, all
    # together come to half of one.
    assert (np.abs(ours - wanted) <= 2.0**-24 * sizes_on_the_way(x, weight)).all()


def sizes_on_the_way(x: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of the numbers that each cell is summed up from: the same products, of absolute values."""
    side = x.shape[-1]
    down, back, matrix = (np.abs(part).astype(np.float64) for part in (tiles_of(side), cells_of(side), WEIGHT))
    tiles = (down @ np.abs(x) @ down.T).reshape(*x.shape[:2], TILE, len(down) // TILE, TILE, -1)
    weights = matrix @ np.abs(weight) @ matrix.T
    products = np.einsum("ocij,ncisjt->noisjt", weights, tiles).reshape(len(x), len(weight), len(down), len(down))
    sizes: NDArray[np.float64] = back @ products @ back.T
    return sizes


@pytest.mark.parametrize(
    "changed", [{"pads": [0, 0, 0, 0]}, {"strides": [2, 2]}, {"dilations": [2, 2]}, {"pads": [2, 2, 2, 2]}]
)
def test_another_convolution_stays_as_it_is(changed: dict[str, object]) -> None:
    recipe = one_convolution(8, **changed)
    written_out = with_winograd(recipe).model
    assert [node.op_type for node in written_out.graph.node] == ["Conv"]
    assert not needs_full_precision(written_out)


def test_all_large_convolutions_of_both_graphs_are_written_out(structures: tuple[Structure, Structure]) -> None:
    for structure, n_weights in zip(structures, (4, 1), strict=True):
        recipe = with_winograd(recipe_of(structure))
        kernels = [
            onnx.helper.get_node_attr_value(node, "kernel_shape") if node.attribute else []
            for node in recipe.model.graph.node
            if node.op_type == "Conv"
        ]
        assert [3, 3] not in kernels
        assert needs_full_precision(recipe.model)
        assert len([entry for entry in recipe.stored if entry.part == "winograd"]) == n_weights


def test_constants_are_shared() -> None:
    recipe = with_winograd(one_convolution(8))
    names = [tensor.name for tensor in recipe.model.graph.initializer]
    assert len(names) == len(set(names))
    assert numpy_helper.to_array(recipe.model.graph.initializer[0]).dtype == np.float32
