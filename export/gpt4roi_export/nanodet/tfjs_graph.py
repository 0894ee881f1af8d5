"""A TensorFlow.js graph model as values: its operators in order, and its constants as arrays.

Reads the JSON and the weights; runs nothing, and does not know what an operator computes.
"""

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from gpt4roi_runtime.errors import BundleError

_STORED = {"float32": "<f4", "int32": "<i4", "float16": "<f2"}
"""Dtype names of the manifest -> how the values lie in the file."""

_ADVICE = "Use the files of the package that the converter was written for."


@dataclass(frozen=True)
class Operator:
    """One operator.

    Attributes:
        name: Unique in its graph.
        kind: TensorFlow's name of the operator.
        inputs: Names of operators or constants; ``name:1`` is an operator's second output.
        attributes: Plain values: texts, numbers, booleans, tuples of whole numbers.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class TfjsGraph:
    """A graph of one input.

    Attributes:
        operators: Without constants and placeholders, in the file's order.
        constants: Arrays by name, in the dtype they are stored in (float16 where the package is quantised).
        input_name: The one placeholder.
        input_shape: Its shape.
    """

    operators: tuple[Operator, ...]
    constants: Mapping[str, NDArray[Any]]
    input_name: str
    input_shape: tuple[int, ...]


class _Node(msgspec.Struct, frozen=True):
    name: str
    op: str
    input: tuple[str, ...] = ()
    attr: dict[str, dict[str, Any]] = {}


class _Topology(msgspec.Struct, frozen=True):
    node: tuple[_Node, ...]


class _Quantization(msgspec.Struct, frozen=True):
    dtype: str


class _Weight(msgspec.Struct, frozen=True):
    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: _Quantization | None = None


class _Group(msgspec.Struct, frozen=True):
    weights: tuple[_Weight, ...]


class _Model(msgspec.Struct, frozen=True):
    format: str
    topology: _Topology = msgspec.field(name="modelTopology")
    groups: tuple[_Group, ...] = msgspec.field(name="weightsManifest")


def read_tfjs_graph(model: bytes, weights: bytes) -> TfjsGraph:
    """Read a graph model of one weights file.

    Args:
        model: Content of ``model.json``.
        weights: Content of the one file of weights that belongs to it.

    Raises:
        BundleError: Not such a model, or the weights do not belong to it.
    """
    try:
        document = msgspec.json.decode(model, type=_Model)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BundleError(f"not a TensorFlow.js model: {error}", _ADVICE) from error
    if document.format != "graph-model" or len(document.groups) != 1:
        raise BundleError(f"a TensorFlow.js {document.format} of {len(document.groups)} weight groups", _ADVICE)
    nodes = document.topology.node
    placeholders = [node for node in nodes if node.op == "Placeholder"]
    if len(placeholders) != 1:
        raise BundleError(f"{len(placeholders)} inputs, where one was expected", _ADVICE)
    (placeholder,) = placeholders
    return TfjsGraph(
        operators=tuple(_operator(node) for node in nodes if node.op not in ("Const", "Placeholder")),
        constants=_constants(document.groups[0].weights, weights),
        input_name=placeholder.name,
        input_shape=_plain(placeholder.attr.get("shape", {})),
    )


def _operator(node: _Node) -> Operator:
    return Operator(node.name, node.op, node.input, {key: _plain(value) for key, value in node.attr.items()})


def _plain(value: dict[str, Any]) -> Any:
    """The value of an attribute; protocol buffers as JSON write whole numbers as text and bytes in base64."""
    try:
        match value:
            case {"s": text}:
                return base64.b64decode(text).decode("ascii")
            case {"i": number}:
                return int(number)
            case {"shape": {"dim": sizes}}:
                return tuple(int(size["size"]) for size in sizes)
            case {"list": {"i": numbers}}:
                return tuple(map(int, numbers))
            case {"list": _}:
                return ()
            case {"f": plain} | {"b": plain} | {"type": plain}:
                return plain
    except (ValueError, TypeError, KeyError) as error:
        raise BundleError(f"attribute {value} cannot be read", _ADVICE) from error
    raise BundleError(f"attribute {value} is of an unknown kind", _ADVICE)


def _constants(listed: tuple[_Weight, ...], stored: bytes) -> dict[str, NDArray[Any]]:
    constants: dict[str, NDArray[Any]] = {}
    offset = 0
    for weight in listed:
        dtype = np.dtype(_STORED.get(weight.quantization.dtype if weight.quantization else weight.dtype, "V0"))
        n_values = math.prod(weight.shape)
        if not dtype.itemsize or min(weight.shape, default=1) < 0 or offset + n_values * dtype.itemsize > len(stored):
            raise BundleError(f"weight {weight.name!r} of {weight.shape} is not in the file of weights", _ADVICE)
        constants[weight.name] = np.frombuffer(stored, dtype, n_values, offset).reshape(weight.shape)
        offset += n_values * dtype.itemsize
    if offset != len(stored):
        raise BundleError(f"the file of weights has {len(stored):,} bytes; the model describes {offset:,}", _ADVICE)
    return constants
