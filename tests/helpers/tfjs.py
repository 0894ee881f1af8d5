"""Small TensorFlow.js models for tests, and an interpreter of their operators in torch, channels last throughout."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from gpt4roi_export.nanodet.tfjs_graph import Operator, TfjsGraph

Array = NDArray[Any]
_TYPES = {"f2": "float32", "f4": "float32", "i4": "int32"}


class ModelFiles:
    """Collects nodes and weights; ``json_bytes`` and ``weight_bytes`` are the two files."""

    def __init__(self, shape: Sequence[int], name: str = "photo") -> None:
        sizes = {"shape": {"dim": [{"size": str(size)} for size in shape]}}
        self.nodes: list[dict[str, Any]] = [{"name": name, "op": "Placeholder", "attr": {"shape": sizes}}]
        self.weights: list[dict[str, Any]] = []
        self.weight_bytes = b""

    def constant(self, name: str, array: Array) -> str:
        """Add a constant, stored in its dtype."""
        entry: dict[str, Any] = {"name": name, "shape": list(array.shape), "dtype": _TYPES[array.dtype.str[1:]]}
        if array.dtype == np.float16:
            entry["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
        self.weights.append(entry)
        self.weight_bytes += array.tobytes()
        self.nodes.append({"name": name, "op": "Const"})
        return name

    def node(self, kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator; texts, whole numbers, lists of them, floats and booleans can be attributes."""
        written = {key: _written(value) for key, value in attributes.items()}
        self.nodes.append({"name": name, "op": kind, "input": list(inputs), "attr": written})
        return name

    @property
    def json_bytes(self) -> bytes:
        """The model's file."""
        groups = [{"paths": ["weights.bin"], "weights": self.weights}]
        topology = {"node": self.nodes, "versions": {}}
        return json.dumps({"format": "graph-model", "modelTopology": topology, "weightsManifest": groups}).encode()


def _written(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"b": value}
        case int():
            return {"i": str(value)}
        case float():
            return {"f": value}
        case str():
            return {"s": base64.b64encode(value.encode()).decode()}
        case _:
            return {"list": {"i": [str(number) for number in value]}}


def interpreted(graph: TfjsGraph, picture: NDArray[np.float32], outputs: Sequence[str]) -> list[Array]:
    """Run the graph operator by operator, as TensorFlow defines them."""
    values = {name: torch.from_numpy(_wide(array)) for name, array in graph.constants.items()}
    values[graph.input_name] = torch.from_numpy(picture)
    waiting = list(graph.operators)
    while waiting:
        operator = next(one for one in waiting if all(name in values for name in one.inputs))
        waiting.remove(operator)
        results = _KINDS[operator.kind](operator, *(values[name] for name in operator.inputs))
        for number, result in enumerate(results if isinstance(results, tuple) else (results,)):
            values[f"{operator.name}:{number}" if number else operator.name] = result
    return [values[name].numpy() for name in outputs]


def _wide(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype == np.float16 else array.copy()


def _first(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.permute(0, 3, 1, 2)


def _last(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.permute(0, 2, 3, 1)


def _pad(operator: Operator, source: torch.Tensor, widths: torch.Tensor, *fill: torch.Tensor) -> torch.Tensor:
    pairs = [width for pair in reversed(widths.tolist()) for width in pair]
    return functional.pad(source, pairs, value=float(fill[0]) if fill else 0.0)


def _resize(operator: Operator, source: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    sides = size.tolist()
    return _last(functional.interpolate(_first(source), size=sides, mode="bilinear", align_corners=False))


def _dense(operator: Operator, where: torch.Tensor, shape: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
    filled, otherwise = values
    dense = torch.full(shape.tolist(), int(otherwise))
    for place, value in zip(where.tolist(), filled.tolist(), strict=True):
        dense[tuple(place)] = value
    return dense


_KINDS: Mapping[str, Callable[..., Any]] = {
    "Add": lambda operator, first, second: first + second,
    "AddV2": lambda operator, first, second: first + second,
    "ConcatV2": lambda operator, *parts: torch.cat(parts[:-1], int(parts[-1])),
    "Conv2D": lambda operator, source, kernel: _last(
        functional.conv2d(_first(source), kernel.permute(3, 2, 0, 1), stride=operator.attributes["strides"][1:3])
    ),
    "Identity": lambda operator, source: source,
    "LeakyRelu": lambda operator, source: functional.leaky_relu(source, operator.attributes["alpha"]),
    "MaxPool": lambda operator, source: _last(
        functional.max_pool2d(_first(source), operator.attributes["ksize"][1:3], operator.attributes["strides"][1:3])
    ),
    "Pad": _pad,
    "PadV2": _pad,
    "Reshape": lambda operator, source, shape: source.reshape(shape.tolist()),
    "ResizeBilinear": _resize,
    "Sigmoid": lambda operator, source: torch.sigmoid(source),
    "SparseToDense": _dense,
    "SplitV": lambda operator, source, sizes, axis: torch.split(source, sizes.tolist(), int(axis)),
    "Transpose": lambda operator, source, order: source.permute(*order.tolist()),
}
