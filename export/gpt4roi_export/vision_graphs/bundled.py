"""A graph of a bundle as a recipe: its weights become inputs, read one at a time from where they lie.

Knows no engine. Of a bundle it knows the files that its manifest lists, and reads no other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxscript import optimizer

from gpt4roi_export.onnx_files import check_graph
from gpt4roi_export.vision_graphs.plain_roi_align import quiet_optimizer
from gpt4roi_export.vision_graphs.recipe import Recipe, Stored
from gpt4roi_runtime.errors import BundleError

_LEAST_WEIGHT = 1024
"""Numbers of a tensor from which it counts as a weight; what is smaller is folded."""
_ROUNDED = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger"})

Rewrite = Callable[[onnx.ModelProto], onnx.ModelProto]


@dataclass(frozen=True)
class BundledGraph:
    """A float32 graph, and its weights by the names that ``recipe.stored`` gives."""

    recipe: Recipe
    read: Callable[[str], NDArray[np.float32]]


def read_bundled(path: Path, weight_files: Mapping[str, Path], rewrite: Rewrite = lambda model: model) -> BundledGraph:
    """Read a graph, but not its weights.

    Args:
        path: An ONNX file that was held against its manifest.
        weight_files: Those that it may read weights from, by their names in the bundle.
        rewrite: Done to the graph before its constants are folded; its weights are inputs by then.

    Raises:
        BundleError: No ONNX, not float32, or weights elsewhere than in those files.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except (OSError, DecodeError) as error:
        raise BundleError(f"{path} cannot be read: {error}", "Assemble or import the bundle again.") from error
    _check_precision(path, model)
    inputs = tuple(value.name for value in model.graph.input)
    weights = {tensor.name: tensor for tensor in model.graph.initializer if _is_weight(tensor)}
    for name, tensor in weights.items():
        model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(tensor.dims)))
        _check_place(path, tensor, weight_files)
    small = [tensor for tensor in model.graph.initializer if tensor.name not in weights]
    del model.graph.initializer[:]
    model.graph.initializer.extend(small)
    folded = onnx_ir.from_proto(rewrite(model))
    with quiet_optimizer():
        optimizer.optimize(folded)
    simple = onnx_ir.to_proto(folded)
    check_graph(simple)
    recipe = _used_only(Recipe(simple, inputs, tuple(Stored(name, name) for name in weights)))
    return BundledGraph(recipe, lambda name: _read(weights[name], weight_files))


def _used_only(recipe: Recipe) -> Recipe:
    """Without the nodes, weights and constants that no output needs."""
    model = recipe.copy_of_model()
    wanted = {value.name for value in model.graph.output}
    nodes: list[onnx.NodeProto] = []
    for node in reversed(model.graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            nodes.append(node)
    values = [value for value in model.graph.input if value.name in wanted or value.name in recipe.inputs]
    tensors = [tensor for tensor in model.graph.initializer if tensor.name in wanted]
    del model.graph.node[:], model.graph.input[:], model.graph.initializer[:]
    model.graph.node.extend(reversed(nodes))
    model.graph.input.extend(values)
    model.graph.initializer.extend(tensors)
    return Recipe(model, recipe.inputs, tuple(entry for entry in recipe.stored if entry.name in wanted))


def _is_weight(tensor: TensorProto) -> bool:
    large = int(np.prod(tensor.dims, dtype=np.int64)) >= _LEAST_WEIGHT
    return tensor.data_location == TensorProto.EXTERNAL or (tensor.data_type == TensorProto.FLOAT and large)


def _check_precision(path: Path, model: onnx.ModelProto) -> None:
    rounded = sorted({node.op_type for node in model.graph.node} & _ROUNDED)
    halves = sum(node.op_type == "Conv" for node in model.graph.node) > 0 and any(
        tensor.data_type == TensorProto.FLOAT16 and len(tensor.dims) == 4 for tensor in model.graph.initializer
    )
    if rounded or halves:
        raise BundleError(
            f"{path.name} is stored in {'8 bits' if rounded else 'float16'}; plans are made of float32 graphs",
            "Import the checkpoint again with --vision fp32; the plans are float16 all the same.",
        )


def _check_place(path: Path, tensor: TensorProto, weight_files: Mapping[str, Path]) -> None:
    """Float32, and inside a file that the manifest lists."""
    if tensor.data_type != TensorProto.FLOAT:
        kind = TensorProto.DataType.Name(tensor.data_type)
        raise BundleError(
            f"weight {tensor.name!r} of {path.name} is {kind}, not FLOAT", "Import it with --vision fp32."
        )
    if tensor.data_location != TensorProto.EXTERNAL:
        return
    location, offset, n_bytes = _external(tensor)
    file = weight_files.get(location)
    if file is None:
        raise BundleError(
            f"weight {tensor.name!r} of {path.name} lies in {location!r}, which the manifest does not list",
            "Import the bundle again.",
        )
    size = file.stat().st_size
    wanted = 4 * int(np.prod(tensor.dims, dtype=np.int64))
    if offset < 0 or n_bytes != wanted or offset + n_bytes > size:
        raise BundleError(
            f"weight {tensor.name!r} of {path.name} is {n_bytes} bytes at {offset} of {location!r}; expected {wanted}, "
            f"within {size}",
            "Import the bundle again.",
        )


def _external(tensor: TensorProto) -> tuple[str, int, int]:
    """File, offset and length of a weight outside the graph's file."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    try:
        return said["location"], int(said.get("offset", "0")), int(said["length"])
    except (KeyError, ValueError) as error:
        raise BundleError(f"weight {tensor.name!r} has no place: {error}", "Import the bundle again.") from error


def _read(tensor: TensorProto, weight_files: Mapping[str, Path]) -> NDArray[np.float32]:
    if tensor.data_location != TensorProto.EXTERNAL:
        return numpy_helper.to_array(tensor).astype(np.float32, copy=False)
    location, offset, n_bytes = _external(tensor)
    values = np.fromfile(weight_files[location], dtype="<f4", count=n_bytes // 4, offset=offset)
    return values.reshape(tuple(tensor.dims))
