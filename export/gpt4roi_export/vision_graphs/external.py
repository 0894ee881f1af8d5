"""A recipe to a graph file and a weights file beside it, one parameter in memory at a time.

Does not know where the parameters come from, nor what the graph computes.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from gpt4roi_export.onnx_files import graph_bytes
from gpt4roi_export.vision_graphs.eight_bits import int8_and_scales
from gpt4roi_export.vision_graphs.recipe import Part, Recipe, Stored
from gpt4roi_export.vision_graphs.winograd import transformed
from gpt4roi_runtime.errors import BundleError
from gpt4roi_runtime.storage import written_aside

ALIGNMENT = 4096
"""A page of memory: every array can be mapped where it lies."""
_BLOCK = 1 << 22

Array = NDArray[np.generic]
Read = Callable[[str], NDArray[np.float32]]

_DTYPES: Mapping[int, np.dtype[np.generic]] = {
    TensorProto.FLOAT: np.dtype("<f4"),
    TensorProto.FLOAT16: np.dtype("<f2"),
    TensorProto.INT8: np.dtype("i1"),
}


def write_graph(recipe: Recipe, read: Read, graph: Path, weights: Path, on_bytes: Callable[[int], None]) -> None:
    """Write both files, the same bytes for the same numbers; the graph last, so that it is never without weights.

    Args:
        recipe: The graph, and what its weights are made from.
        read: A parameter by its name, float32.
        graph: The ONNX file to write.
        weights: The file of its weights, in the same folder.
        on_bytes: Told the size of every array written.

    Raises:
        BundleError: A parameter has another shape than the graph wants, or does not fit float16.
        OutputError: A file cannot be written.
    """
    wanted = {value.name: value.type.tensor_type for value in recipe.model.graph.input}
    tensors: dict[str, TensorProto] = {}
    with written_aside(weights) as file:
        for parameter, group in groupby(recipe.stored, key=lambda entry: entry.parameter):
            entries = tuple(group)
            for entry, array in _arrays(entries, _values(entries[0], read)):
                place = wanted[entry.name]
                offset, n_bytes = _append(file, _checked(array, place, parameter), _DTYPES[place.elem_type])
                tensors[entry.name] = _external(entry.name, place, weights.name, offset, n_bytes)
                on_bytes(n_bytes)
                del array  # before the next parameter is read
    model = _complete(recipe, tensors)
    with written_aside(graph) as file:
        file.write(graph_bytes(model))


def stored_bytes(recipe: Recipe) -> int:
    """How large the weights file will be, gaps left aside."""
    names = {entry.name for entry in recipe.stored}
    return sum(
        int(np.prod([dim.dim_value for dim in value.type.tensor_type.shape.dim]))
        * _DTYPES[value.type.tensor_type.elem_type].itemsize
        for value in recipe.model.graph.input
        if value.name in names
    )


def _values(entry: Stored, read: Read) -> NDArray[np.float32]:
    """The parameter with those beside it: weights side by side, biases summed."""
    if not entry.beside:
        return read(entry.parameter)
    parts = [read(name) for name in (entry.parameter, *entry.beside)]
    return np.concatenate(parts, axis=1) if parts[0].ndim > 1 else np.stack(parts).sum(axis=0)


def _arrays(entries: tuple[Stored, ...], values: NDArray[np.float32]) -> Iterator[tuple[Stored, Array]]:
    parts: dict[Part, Array] = {"values": values}
    wanted = {entry.part for entry in entries}
    if not wanted.isdisjoint(("int8", "scales")):
        parts["int8"], parts["scales"] = int8_and_scales(values)
    if "winograd" in wanted:
        parts["winograd"] = transformed(values)
    for entry in entries:
        yield entry, parts[entry.part].T if entry.turned else parts[entry.part]


def _checked(array: Array, wanted: onnx.TypeProto.Tensor, parameter: str) -> Array:
    shape = tuple(dim.dim_value for dim in wanted.shape.dim)
    if array.shape != shape:
        raise BundleError(
            f"{parameter} has the shape {array.shape}, the graph wants {shape}", "Report this: the sizes do not match."
        )
    if _DTYPES[wanted.elem_type] == np.float16:
        largest = max(float(array.max()), -float(array.min()))
        if largest > float(np.finfo(np.float16).max):
            raise BundleError(f"{parameter} holds {largest:g}, too large for float16", "Choose another precision.")
    return array


def _append(file: BinaryIO, array: Array, dtype: np.dtype[np.generic]) -> tuple[int, int]:
    """Write an array behind the others, a block at a time, since the largest is 0.8 GB: its offset and its size."""
    file.write(b"\0" * (-file.tell() % ALIGNMENT))
    offset = file.tell()
    rows = array.reshape(1) if array.ndim == 0 else array
    step = max(1, _BLOCK * len(rows) // rows.size)
    for start in range(0, len(rows), step):
        block = np.ascontiguousarray(rows[start : start + step], dtype=dtype)
        file.write(block.reshape(-1).view(np.uint8).data)
    return offset, file.tell() - offset


def _external(name: str, wanted: onnx.TypeProto.Tensor, location: str, offset: int, n_bytes: int) -> TensorProto:
    tensor = TensorProto(name=name, data_type=wanted.elem_type, dims=[dim.dim_value for dim in wanted.shape.dim])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(n_bytes))):
        tensor.external_data.add(key=key, value=value)
    return tensor


def _complete(recipe: Recipe, tensors: Mapping[str, TensorProto]) -> onnx.ModelProto:
    model = recipe.copy_of_model()
    real_inputs = [value for value in recipe.model.graph.input if value.name in recipe.inputs]
    del model.graph.input[:]
    model.graph.input.extend(real_inputs)
    model.graph.initializer.extend(tensors[entry.name] for entry in recipe.stored)
    return model
