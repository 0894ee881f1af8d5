import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gpt4roi_export.vision_graphs.eight_bits import (
    FIRST_FUSION,
    Range,
    activations_in_8_bits,
    int8_and_scales,
    weights_in_8_bits,
)
from gpt4roi_export.vision_graphs.float16 import ISLANDS, to_float16
from gpt4roi_export.vision_graphs.recipe import Recipe, nodes_with_places
from gpt4roi_export.vision_graphs.structure import Structure, recipe_of

FLOAT, FLOAT16, INT8 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT8


def types_of(recipe: Recipe) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(recipe.model, strict_mode=True).graph
    values = (*inferred.input, *inferred.value_info, *inferred.output)
    return {value.name: value.type.tensor_type.elem_type for value in values} | {
        tensor.name: tensor.data_type for tensor in inferred.initializer
    }


def test_float16_with_islands_of_float32(structures: tuple[Structure, Structure]) -> None:
    seen: set[str] = set()
    for structure in structures:
        recipe = to_float16(recipe_of(structure))
        types = types_of(recipe)
        for node in recipe.model.graph.node:
            floats = {types[name] for name in node.input if name and types[name] in (FLOAT, FLOAT16)}
            if node.op_type in ISLANDS:
                assert floats == {FLOAT}
                seen.add(node.op_type)
            elif node.op_type == "Conv":
                assert floats == {FLOAT16}
    assert seen == ISLANDS


def test_all_that_is_made_of_the_boxes_alone_stays_in_float32(structures: tuple[Structure, Structure]) -> None:
    types = types_of(to_float16(recipe_of(structures[1])))
    weights = {name: types[name] for name in structures[1].weights}
    assert {kind for name, kind in weights.items() if "box_embedding" in name} == {FLOAT}
    assert {kind for name, kind in weights.items() if "box_embedding" not in name} == {FLOAT16}


def test_a_cast_is_shared_by_all_who_want_it(structures: tuple[Structure, Structure]) -> None:
    for structure in structures:
        casts = [node for node in to_float16(recipe_of(structure)).model.graph.node if node.op_type == "Cast"]
        assert len({node.input[0] for node in casts}) == len(casts)


@given(
    arrays(
        np.float32,
        st.sampled_from([(3, 4), (2, 3, 1, 1), (1, 5)]),
        elements=st.floats(-1e4, 1e4, width=32, allow_subnormal=False),
    )
)
def test_rounded_weights_are_half_a_step_off_at_most(weight: np.ndarray) -> None:
    rounded, scales = int8_and_scales(weight)
    assert (rounded.dtype, scales.dtype, scales.shape) == (np.int8, np.float32, (len(weight),))
    steps = scales.reshape(-1, *[1] * (weight.ndim - 1)).astype(np.float64)
    assert (np.abs(rounded * steps - weight) <= steps * 0.5001).all()
    assert rounded.min() >= -127


@pytest.mark.parametrize("half", [False, True])
def test_large_weights_become_int8_with_a_scale_a_channel(structures: tuple[Structure, Structure], half: bool) -> None:
    for structure in structures:
        recipe = to_float16(recipe_of(structure)) if half else recipe_of(structure)
        eight = weights_in_8_bits(recipe)
        shapes = {
            value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in eight.model.graph.input
        }
        types = types_of(eight)
        dequantised = [node for node in eight.model.graph.node if node.op_type == "DequantizeLinear"]
        assert len(dequantised) >= 3  # of the regions: the joined convolution, the flatten, the projector
        for node in dequantised:
            axis = onnx.helper.get_node_attr_value(node, "axis")
            assert shapes[node.input[1]] == [shapes[node.input[0]][axis]]
            assert types[node.input[0]] == INT8
        by_name = {entry.name: entry for entry in eight.stored}
        assert set(by_name) == set(shapes) - set(structure.inputs)
        floats = {name for name in by_name if not name.endswith(("_int8", "_scales"))}
        floats.discard(f"{FIRST_FUSION}conv.weight")  # the graph cuts it into slices
        assert not any(name.endswith(("proj.weight", "conv.weight", "flatten.weight")) for name in floats)
        assert any("box_embedding" in name or "patch_embedding" in name for name in floats)


def test_known_ranges_become_steps_and_the_bias_is_added_behind(structures: tuple[Structure, Structure]) -> None:
    place = "region_head.level_convs.weight#0"
    recipe = activations_in_8_bits(recipe_of(structures[1]), {place: Range(read=12.7, written=254.0)})
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in recipe.model.graph.initializer}
    pairs = [node for node in recipe.model.graph.node if node.op_type == "QuantizeLinear"]
    assert [float(constants[node.input[1]]) for node in pairs] == pytest.approx([0.1, 2.0])
    conv = dict(nodes_with_places(recipe.model))[place]
    assert (conv.input[0], len(conv.input)) == (pairs[0].output[0].replace("_int8", ""), 2)
    unbiased = [node for node in recipe.model.graph.node if "region_head.level_convs.bias" in node.input]
    assert [node.op_type for node in unbiased] == ["Unsqueeze"]
