"""TensorFlow operators -> ONNX operators, for the dozen kinds that a small convolutional detector is made of.

Does not know which detector. TensorFlow puts channels last and ONNX first, so every value is kept as an ONNX tensor and
the order in which TensorFlow sees its axes; a transpose changes that order and costs no operator.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from gpt4roi_export.nanodet.tfjs_graph import Operator, TfjsGraph
from gpt4roi_runtime.errors import BundleError

_CHANNELS_LAST = (0, 2, 3, 1)
_CHANNELS_FIRST = (0, 3, 1, 2)
_KERNEL_TO_ONNX = (3, 2, 0, 1)  # height, width, in, out -> out, in, height, width

Array = NDArray[Any]


@dataclass(frozen=True)
class _Value:
    """What a TensorFlow tensor is in the ONNX graph: ``tensorflow = transpose(onnx, order)``."""

    name: str
    order: tuple[int, ...]


class Translation:
    """Collects the nodes and weights of the ONNX graph while operators are translated.

    Args:
        graph: What to translate.
        input_name: Name that its input gets.

    Attributes:
        nodes: In an order in which each stands behind what it reads.
        weights: Everything constant that they read.

    Raises:
        BundleError: An operator is not known, or is used in a way that is not.
    """

    def __init__(self, graph: TfjsGraph, input_name: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._constants: dict[str, Array] = dict(graph.constants)
        self._values = {graph.input_name: _Value(input_name, tuple(range(len(graph.input_shape))))}
        self._translators: Mapping[str, Callable[[Operator], None]] = {
            "Add": self._add,
            "AddV2": self._add,
            "ConcatV2": self._concat,
            "Conv2D": self._convolve,
            "Identity": self._identity,
            "LeakyRelu": self._leaky_relu,
            "MaxPool": self._max_pool,
            "Pad": self._pad,
            "PadV2": self._pad,
            "Reshape": self._reshape,
            "ResizeBilinear": self._resize,
            "Sigmoid": self._sigmoid,
            "SparseToDense": self._sparse_to_dense,
            "SplitV": self._split,
            "Transpose": self._transpose,
        }
        for operator in sorted_operators(graph):
            self._translate(operator)

    def tensor(self, name: str) -> str:
        """Name of the ONNX tensor that has the axes in TensorFlow's order.

        Raises:
            BundleError: There is no such value.
        """
        value = self._value(name)
        return self._ordered(value, tuple(range(len(value.order))))

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Append an ONNX node of one output, and return the output's name."""
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def _translate(self, operator: Operator) -> None:
        translator = self._translators.get(operator.kind)
        if translator is None:
            raise BundleError(f"operator {operator.kind} of {operator.name!r} is not known", _ADVICE)
        translator(operator)

    # --- values -------------------------------------------------------------------------------------------------------

    def _value(self, name: str) -> _Value:
        value = self._values.get(name)
        if value is None:
            raise BundleError(f"{name!r} is not the output of an operator", _ADVICE)
        return value

    def _constant(self, name: str) -> Array:
        array = self._constants.get(name)
        if array is None:
            raise BundleError(f"{name!r} is not a constant", _ADVICE)
        return array

    def _ordered(self, value: _Value, order: tuple[int, ...]) -> str:
        """The tensor ``x`` with ``tensorflow = transpose(x, order)``; a transpose only where it is not at hand."""
        if value.order == order:
            return value.name
        # transpose(onnx, value.order) = tensorflow = transpose(x, order), so x = transpose(onnx, needed)
        needed = tuple(value.order[order.index(axis)] for axis in range(len(order)))
        made = f"{value.name}/as_{''.join(map(str, order))}"
        if not any(made in node.output for node in self.nodes):
            self.node("Transpose", [value.name], made, perm=needed)
        return made

    def _channels_first(self, name: str) -> str:
        """The tensor for a value that TensorFlow sees with channels last."""
        return self._ordered(self._value(name), _CHANNELS_LAST)

    def _weight(self, name: str, array: Array) -> str:
        """A weight of the graph; half precision is stored as such and read as float32, which loses nothing."""
        if array.dtype != np.float16:
            self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
            return name
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), f"{name}/half"))
        return self.node("Cast", [f"{name}/half"], name, to=TensorProto.FLOAT)

    # --- operators ----------------------------------------------------------------------------------------------------

    def _transpose(self, operator: Operator) -> None:
        source, permutation = operator.inputs
        value = self._value(source)
        order = tuple(value.order[axis] for axis in self._constant(permutation).tolist())
        self._values[operator.name] = _Value(value.name, order)

    def _identity(self, operator: Operator) -> None:
        (source,) = operator.inputs
        self._values[operator.name] = self._value(source)

    def _convolve(self, operator: Operator) -> None:
        source, kernel = operator.inputs
        _require(operator, padding="VALID", data_format="NHWC", dilations=(1, 1, 1, 1))
        weight = self._weight(f"{operator.name}/kernel", self._constant(kernel).transpose(_KERNEL_TO_ONNX))
        strides = operator.attributes["strides"][1:3]
        self.node("Conv", [self._channels_first(source), weight], operator.name, strides=strides)
        self._values[operator.name] = _Value(operator.name, _CHANNELS_LAST)

    def _max_pool(self, operator: Operator) -> None:
        (source,) = operator.inputs
        _require(operator, padding="VALID", data_format="NHWC")
        sides, strides = operator.attributes["ksize"][1:3], operator.attributes["strides"][1:3]
        self.node("MaxPool", [self._channels_first(source)], operator.name, kernel_shape=sides, strides=strides)
        self._values[operator.name] = _Value(operator.name, _CHANNELS_LAST)

    def _add(self, operator: Operator) -> None:
        first, second = operator.inputs
        if first in self._constants and second in self._constants:
            self._constants[operator.name] = self._constant(first) + self._constant(second)
            return
        value = self._value(first)
        other = self._bias(operator, value) if second in self._constants else self._ordered_like(second, value)
        self.node("Add", [value.name, other], operator.name)
        self._values[operator.name] = _Value(operator.name, value.order)

    def _bias(self, operator: Operator, value: _Value) -> str:
        """A vector along TensorFlow's last axis, shaped to lie along the axis that this is in ONNX."""
        bias = self._constant(operator.inputs[1])
        shape = [bias.size if axis == value.order[-1] else 1 for axis in range(len(value.order))]
        return self._weight(f"{operator.name}/bias", bias.reshape(shape))

    def _ordered_like(self, name: str, other: _Value) -> str:
        return self._ordered(self._value(name), other.order)

    def _concat(self, operator: Operator) -> None:
        *sources, axis = operator.inputs
        first = self._value(sources[0])
        tensors = [self._ordered_like(source, first) for source in sources]
        self.node("Concat", tensors, operator.name, axis=first.order[int(self._constant(axis))])
        self._values[operator.name] = _Value(operator.name, first.order)

    def _leaky_relu(self, operator: Operator) -> None:
        self._pointwise(operator, "LeakyRelu", alpha=operator.attributes["alpha"])

    def _sigmoid(self, operator: Operator) -> None:
        self._pointwise(operator, "Sigmoid")

    def _pointwise(self, operator: Operator, kind: str, **attributes: Any) -> None:
        (source,) = operator.inputs
        value = self._value(source)
        self.node(kind, [value.name], operator.name, **attributes)
        self._values[operator.name] = _Value(operator.name, value.order)

    def _pad(self, operator: Operator) -> None:
        value = self._value(operator.inputs[0])
        widths = self._constant(operator.inputs[1])
        by_axis = {value.order[axis]: pair for axis, pair in enumerate(widths.tolist())}
        sides = [by_axis[axis][end] for end in (0, 1) for axis in range(len(value.order))]
        inputs = [value.name, self._weight(f"{operator.name}/widths", np.array(sides, dtype=np.int64))]
        inputs += [self._weight(f"{operator.name}/fill", self._constant(fill)) for fill in operator.inputs[2:]]
        self.node("Pad", inputs, operator.name)
        self._values[operator.name] = _Value(operator.name, value.order)

    def _resize(self, operator: Operator) -> None:
        source, size = operator.inputs
        _require(operator, half_pixel_centers=True, align_corners=False)
        tensor = self._channels_first(source)
        sides = self._weight(f"{operator.name}/sides", self._constant(size).astype(np.int64))
        how = {"mode": "linear", "coordinate_transformation_mode": "half_pixel", "axes": [2, 3]}
        self.node("Resize", [tensor, "", "", sides], operator.name, **how)
        self._values[operator.name] = _Value(operator.name, _CHANNELS_LAST)

    def _split(self, operator: Operator) -> None:
        source, sizes, axis = operator.inputs
        value = self._value(source)
        lengths = self._weight(f"{operator.name}/lengths", self._constant(sizes).astype(np.int64))
        outputs = [operator.name, *(f"{operator.name}:{part}" for part in range(1, self._constant(sizes).size))]
        along = value.order[int(self._constant(axis))]
        self.nodes.append(helper.make_node("Split", [value.name, lengths], outputs, name=operator.name, axis=along))
        self._values.update({output: _Value(output, value.order) for output in outputs})

    def _reshape(self, operator: Operator) -> None:
        source, shape = operator.inputs
        sizes = self._constant(shape).astype(np.int64)
        self.node("Reshape", [self.tensor(source), self._weight(f"{operator.name}/sizes", sizes)], operator.name)
        self._values[operator.name] = _Value(operator.name, tuple(range(sizes.size)))

    def _sparse_to_dense(self, operator: Operator) -> None:
        """Only of constants: exporters leave them behind where a shape was computed."""
        where, shape, filled, otherwise = map(self._constant, operator.inputs)
        dense = np.full(shape.tolist(), otherwise)
        dense[tuple(where.T)] = filled
        self._constants[operator.name] = dense


_ADVICE = "Use the files of the package that the converter was written for."


def sorted_operators(graph: TfjsGraph) -> tuple[Operator, ...]:
    """The operators, each behind what it reads; files need not keep that order.

    Raises:
        BundleError: An operator waits for itself, or for something that is nowhere.
    """
    ready = {graph.input_name, *graph.constants}
    waiting, done = list(graph.operators), list[Operator]()
    while waiting:
        able = [operator for operator in waiting if all(_source(name) in ready for name in operator.inputs)]
        if not able:
            raise BundleError(f"{waiting[0].name!r} reads what no operator gives", _ADVICE)
        done += able
        ready.update(operator.name for operator in able)
        waiting = [operator for operator in waiting if operator.name not in ready]
    return tuple(done)


def _source(name: str) -> str:
    return name.partition(":")[0]


def _require(operator: Operator, **expected: Any) -> None:
    """Refuse what the converter was not written for, rather than translate it into something else."""
    for key, value in expected.items():
        if operator.attributes.get(key) != value:
            raise BundleError(
                f"{operator.kind} {operator.name!r} has {key} {operator.attributes.get(key)!r}, not {value!r}", _ADVICE
            )
