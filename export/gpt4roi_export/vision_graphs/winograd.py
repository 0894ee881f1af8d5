"""3x3 convolutions as products of matrices with a quarter of the multiplications (Winograd's F(4x4, 3x3)).

Lavin and Gray, "Fast Algorithms for Convolutional Networks" (arXiv 1509.09308), section 4: tiles of 6 x 6 cells, four
apart, become 36 numbers a channel; each of the 36 is one matrix product over all channels and tiles; and those become
4 x 4 cells. Both changes are linear along each axis, so they are written as matrices, which every engine multiplies.
The weights grow fourfold. For float32: fewer bits lose too much on the way. Knows operators, not GPT4RoI.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from gpt4roi_export.onnx_files import check_graph
from gpt4roi_export.vision_graphs.recipe import Recipe
from gpt4roi_runtime.vision.contract import FULL_PRECISION

KERNEL, STEP, TILE = 3, 4, 6
_BLOCK = 64

INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=np.float64,
)
"""Cells of a tile to its six numbers, along one axis."""
WEIGHT = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], dtype=np.float64) / 24
"""Three weights to the six that those numbers are multiplied by."""
OUTPUT = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], dtype=np.float64
)
"""Six products, summed over channels, to four cells."""


def with_winograd(recipe: Recipe) -> Recipe:
    """Write every 3x3 convolution of step 1 and padding 1 as matrix products.

    Args:
        recipe: In float32, before any weight is rounded.

    Returns:
        A new recipe; the weights of those convolutions are stored as ``[36, outputs, inputs]``, and the graph says that
        it is to be computed in full precision.
    """
    model = recipe.copy_of_model()
    shapes = _shapes(model)
    plain = {entry.name for entry in recipe.stored if entry.part == "values" and not entry.turned}
    found = [node for node in model.graph.node if _fits(node, shapes, plain)]
    changed = {node.input[1] for node in found}
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, onnx.TensorProto] = {}
    for node in model.graph.node:
        nodes += _written_out(node, shapes, constants) if node in found else (node,)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(constants.values())
    if found:
        helper.set_model_props(model, FULL_PRECISION)
    for value in model.graph.input:
        if value.name in changed:
            outputs, inputs = shapes[value.name][:2]
            value.CopyFrom(
                helper.make_tensor_value_info(
                    _name(value.name), value.type.tensor_type.elem_type, [TILE * TILE, outputs, inputs]
                )
            )
    check_graph(model)
    stored = tuple(
        replace(entry, name=_name(entry.name), part="winograd") if entry.name in changed else entry
        for entry in recipe.stored
    )
    return Recipe(model, recipe.inputs, stored)


def needs_full_precision(model: onnx.ModelProto) -> bool:
    """Whether a graph says that fewer bits than float32's would spoil it."""
    return {entry.key: entry.value for entry in model.metadata_props}.items() >= FULL_PRECISION.items()


def transformed(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """A convolution's weight as its 36 matrices.

    Args:
        weight: ``[outputs, inputs, 3, 3]``.

    Returns:
        ``[36, outputs, inputs]``.
    """
    outputs, inputs = weight.shape[:2]
    matrices = np.empty((TILE * TILE, outputs, inputs), dtype=np.float32)
    both = np.kron(WEIGHT, WEIGHT)  # down and across at once: [36, 9]
    for start in range(0, outputs, _BLOCK):
        block = weight[start : start + _BLOCK].reshape(-1, KERNEL * KERNEL).astype(np.float64)
        matrices[:, start : start + _BLOCK] = (both @ block.T).reshape(TILE * TILE, -1, inputs)
    return matrices


def tiles_of(side: int) -> NDArray[np.float32]:
    """Cells along an axis to the six numbers of every tile, ``[6 * tiles, side]``, padding included."""
    n_tiles = -(-side // STEP)
    matrix = np.zeros((TILE, n_tiles, n_tiles * STEP + 2), dtype=np.float64)
    for tile in range(n_tiles):
        matrix[:, tile, tile * STEP : tile * STEP + TILE] = INPUT
    return matrix.reshape(TILE * n_tiles, -1)[:, 1 : 1 + side].astype(np.float32)


def cells_of(side: int) -> NDArray[np.float32]:
    """The tiles' six numbers to cells along an axis, ``[side, 6 * tiles]``."""
    n_tiles = -(-side // STEP)
    matrix = np.zeros((n_tiles, STEP, TILE, n_tiles), dtype=np.float64)
    for tile in range(n_tiles):
        matrix[tile, :, :, tile] = OUTPUT
    return matrix.reshape(n_tiles * STEP, -1)[:side].astype(np.float32)


def _shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    return {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*inferred.input, *inferred.value_info, *inferred.output)
    }


def _fits(node: onnx.NodeProto, shapes: dict[str, list[int]], weights: set[str]) -> bool:
    if node.op_type != "Conv" or node.input[1] not in weights:
        return False
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    plain = (
        given.get("strides", [1, 1]) == [1, 1]
        and given.get("dilations", [1, 1]) == [1, 1]
        and given.get("group", 1) == 1
        and given.get("auto_pad", b"NOTSET") == b"NOTSET"
        and given.get("pads") == [1, 1, 1, 1]
    )
    height, width = shapes[node.input[0]][2:]
    return plain and shapes[node.input[1]][2:] == [KERNEL, KERNEL] and height == width > 0


def _name(weight: str) -> str:
    return f"{weight}_winograd"


def _written_out(
    node: onnx.NodeProto, shapes: dict[str, list[int]], constants: dict[str, onnx.TensorProto]
) -> Iterator[onnx.NodeProto]:
    features, output = node.input[0], node.output[0]
    side = shapes[features][2]
    outputs, inputs = shapes[node.input[1]][:2]
    n_tiles = -(-side // STEP)

    def constant(what: str, values: NDArray[np.generic]) -> str:
        name = f"winograd_{what}"
        constants.setdefault(name, numpy_helper.from_array(values, name))
        return name

    def shape(*sizes: int) -> str:
        return constant("shape_" + "_".join(str(size) for size in sizes), np.array(sizes, dtype=np.int64))

    def name(what: str) -> str:
        return f"{output}_winograd_{what}"

    tiles, cells = tiles_of(side), cells_of(side)
    side_by_side = TILE * n_tiles
    yield helper.make_node("MatMul", [constant(f"tiles_{side}", tiles), features], [name("down")])
    yield helper.make_node("MatMul", [name("down"), constant(f"tiles_{side}_turned", tiles.T)], [name("tiles")])
    split = shape(-1, inputs, TILE, n_tiles, TILE, n_tiles)
    yield helper.make_node("Reshape", [name("tiles"), split], [name("split")])
    yield helper.make_node("Transpose", [name("split")], [name("sorted")], perm=[2, 4, 1, 0, 3, 5])
    yield helper.make_node("Reshape", [name("sorted"), shape(TILE * TILE, inputs, -1)], [name("columns")])
    yield helper.make_node("MatMul", [_name(node.input[1]), name("columns")], [name("products")])
    back = shape(TILE, TILE, outputs, -1, n_tiles, n_tiles)
    yield helper.make_node("Reshape", [name("products"), back], [name("parted")])
    yield helper.make_node("Transpose", [name("parted")], [name("turned")], perm=[3, 2, 0, 4, 1, 5])
    yield helper.make_node("Reshape", [name("turned"), shape(-1, outputs, side_by_side, side_by_side)], [name("grid")])
    bias = node.input[2] if len(node.input) > 2 else ""
    summed = name("summed") if bias else output
    # The constant on the left comes last: behind one on the right, OpenVINO 2026.4 takes a bias for one of its columns.
    yield helper.make_node("MatMul", [name("grid"), constant(f"cells_{side}_turned", cells.T)], [name("across")])
    yield helper.make_node("MatMul", [constant(f"cells_{side}", cells), name("across")], [summed])
    if bias:
        axes = constant("bias_axes", np.array([1, 2], dtype=np.int64))
        yield helper.make_node("Unsqueeze", [bias, axes], [name("bias")])
        yield helper.make_node("Add", [summed, name("bias")], [output])
