"""An ONNX file's operators, shapes and weights' sizes, read message by message; knows no engine and reads no weight.

Needed because the `onnx` package is no part of the runtime, and an engine would load the weights. Does not know what a
graph is for.
"""

import mmap
import struct
from dataclasses import dataclass, field, replace
from pathlib import Path

from gpt4roi_runtime.backends.onnx_fields import FieldReader, Span
from gpt4roi_runtime.errors import BundleError

Axis = int | None
"""Length of an axis, or None for one of any length."""

Shape = tuple[Axis, ...]

ELEMENT_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2, 21: 1, 22: 1}
"""Bytes of an element by its type's number in ONNX; 4-bit types count as bytes."""

FLOAT16, BFLOAT16 = 10, 16
EIGHT_BITS = frozenset({2, 3})
_INT32, _INT64 = 6, 7
_FEW = 16
_MAX_ELEMENTS = 1 << 40


@dataclass(frozen=True)
class Weight:
    """A tensor whose numbers the file holds or points to.

    Attributes:
        name: Its name in the graph.
        kind: Number of its type, a key of ``ELEMENT_BYTES``.
        shape: Axes.
        external: Whether its numbers are in another file.
        numbers: The numbers themselves, where they are a few whole ones.
    """

    name: str
    kind: int
    shape: tuple[int, ...]
    external: bool
    numbers: tuple[int, ...] | None = None

    @property
    def n_elements(self) -> int:
        """How many numbers it has."""
        count = 1
        for axis in self.shape:
            count *= axis
        return count

    @property
    def size_bytes(self) -> int:
        """Bytes of its numbers."""
        return self.n_elements * ELEMENT_BYTES.get(self.kind, 4)


@dataclass(frozen=True)
class Operator:
    """One node.

    Attributes:
        kind: Such as ``Conv``.
        inputs: Names of the values it reads.
        outputs: Names of the values it writes.
        numbers: Its attributes that are whole numbers or lists of them.
        tensor: The tensor among its attributes, if there is one: what a ``Constant`` stands for.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    numbers: dict[str, tuple[int, ...]]
    tensor: Weight | None = None


@dataclass(frozen=True)
class GraphFile:
    """One graph.

    Attributes:
        operators: In the order they are computed.
        weights: By name.
        shapes: Of every value the file names a shape for, inputs and outputs included.
        outputs: Names of what the graph returns.
    """

    operators: tuple[Operator, ...]
    weights: dict[str, Weight]
    shapes: dict[str, Shape]
    outputs: tuple[str, ...]


def read_graph_file(path: Path) -> GraphFile:
    """Read a graph's structure.

    Raises:
        BundleError: It is missing or not an ONNX file.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data).graph()
    except (OSError, ValueError, struct.error) as error:
        raise BundleError(f"{path} is not an ONNX graph: {error}", "Export or assemble the bundle again.") from error


@dataclass
class _Graph:
    operators: list[Operator] = field(default_factory=list)
    weights: dict[str, Weight] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)


class _Reader:
    """One pass over the file's messages; field numbers are those of onnx.proto."""

    def __init__(self, data: mmap.mmap) -> None:
        self._file = FieldReader(data)

    def graph(self) -> GraphFile:
        """The model's main graph."""
        found = _Graph()
        for number, value in self._file.fields(self._file.whole):
            if number == 7 and isinstance(value, tuple):
                self._read_graph(value, found)
        if not found.operators or not found.outputs:
            raise ValueError("no graph with operators and outputs in it")
        return GraphFile(tuple(found.operators), found.weights, found.shapes, tuple(found.outputs))

    def _read_graph(self, span: Span, into: _Graph) -> None:
        for number, value in self._file.fields(span):
            if not isinstance(value, tuple):
                continue
            match number:
                case 1:
                    into.operators.append(self._operator(value))
                case 5:
                    weight = self._weight(value)
                    into.weights[weight.name] = weight
                case 11 | 12 | 13:
                    name, shape = self._value(value)
                    if shape is not None:
                        into.shapes[name] = shape
                    if number == 12:
                        into.outputs.append(name)

    def _operator(self, span: Span) -> Operator:
        inputs: list[str] = []
        outputs: list[str] = []
        kind, numbers, tensor = "", {}, None
        for number, value in self._file.fields(span):
            if not isinstance(value, tuple):
                continue
            match number:
                case 1:
                    inputs.append(self._file.text(value))
                case 2:
                    outputs.append(self._file.text(value))
                case 4:
                    kind = self._file.text(value)
                case 5:
                    name, found, weight = self._attribute(value)
                    numbers[name] = found
                    tensor = weight or tensor
        return Operator(kind, tuple(inputs), tuple(outputs), numbers, tensor)

    def _attribute(self, span: Span) -> tuple[str, tuple[int, ...], Weight | None]:
        name, tensor = "", None
        numbers: list[int] = []
        for number, value in self._file.fields(span):
            if number == 1 and isinstance(value, tuple):
                name = self._file.text(value)
            elif number in (3, 8):
                numbers += self._file.numbers(value)
            elif number == 5 and isinstance(value, tuple):
                tensor = self._weight(value)
        return name, tuple(numbers), tensor

    def _weight(self, span: Span) -> Weight:
        name, kind, external = "", 1, False
        shape: list[int] = []
        listed: list[int] = []
        raw: Span | None = None
        for number, value in self._file.fields(span):
            match number, value:
                case 1, _:
                    shape += self._file.numbers(value)
                case 2, int():
                    kind = value
                case 5 | 7, _ if len(listed) < _FEW:
                    listed += self._file.numbers(value)
                case 8, tuple():
                    name = self._file.text(value)
                case 9, tuple():
                    raw = value
                case 14, int():
                    external = value == 1
        weight = Weight(name, kind, tuple(shape), external)
        if any(axis < 0 for axis in weight.shape) or weight.n_elements > _MAX_ELEMENTS:
            raise ValueError(f"weight {name!r} of shape {list(weight.shape)}")
        if kind in (_INT32, _INT64) and weight.n_elements <= _FEW:
            return replace(weight, numbers=self._numbers(weight, listed, raw))
        return weight

    def _numbers(self, weight: Weight, listed: list[int], raw: Span | None) -> tuple[int, ...] | None:
        """The few whole numbers of a tensor, however they are written."""
        if raw is None:
            return tuple(listed) if len(listed) == weight.n_elements else None
        if raw[1] - raw[0] != weight.size_bytes:
            return None
        letter = "i" if weight.kind == _INT32 else "q"
        return struct.unpack(f"<{weight.n_elements}{letter}", self._file.content(raw))

    def _value(self, span: Span) -> tuple[str, Shape | None]:
        name, shape = "", None
        for number, value in self._file.fields(span):
            if not isinstance(value, tuple):
                continue
            if number == 1:
                name = self._file.text(value)
            elif number == 2:
                for axes in self._file.messages(value, 1, 2):
                    shape = tuple(self._axis(axis) for axis in self._file.messages(axes, 1))
        return name, shape

    def _axis(self, span: Span) -> Axis:
        for number, value in self._file.fields(span):
            if number == 1 and isinstance(value, int):
                return value
        return None
