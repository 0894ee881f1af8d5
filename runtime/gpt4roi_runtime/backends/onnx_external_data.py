"""Where an ONNX file reads weights from, found before an engine sees it: its messages, walked by field number.

Knows nothing of what a graph computes. Needed because ONNX Runtime 1.23, the last for Python 3.10, reads external data
from wherever a graph says, and every version reads files in the folder that the manifest never named.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

from gpt4roi_runtime.errors import BundleError

_MAX_FIELDS = 2_000_000  # a graph of ours has some thousands; a hostile file could hold one in every two bytes

_TENSOR, _GRAPH, _NODE, _ATTRIBUTE, _SPARSE, _ENTRY = "tensor", "graph", "node", "attribute", "sparse", "entry"
_WITHIN = {
    "model": {7: _GRAPH, 20: "training", 25: "function"},
    "training": {1: _GRAPH, 2: _GRAPH},
    "function": {7: _NODE, 11: _ATTRIBUTE},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _TENSOR: {13: _ENTRY},
}
"""Message -> field number -> the message in it (onnx.proto3); only what leads to a tensor."""

_KEY, _VALUE = 1, 2  # of an entry of a tensor's external data
_MAX_VARINT_BITS = 70

Span = tuple[int, int]


def external_locations(path: Path) -> frozenset[str]:
    """Every file that the graph at ``path`` reads weights from.

    Raises:
        BundleError: It is not an ONNX file.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return frozenset(_Walk(data).locations())
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} is not an ONNX graph: {error}", "Export or assemble the bundle again.") from error


class _Walk:
    """One pass over the messages of a file."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._n_fields = 0

    def locations(self) -> Iterator[str]:
        """The value of every ``location`` in any tensor's external data."""
        todo: list[tuple[str, Span]] = [("model", (0, len(self._data)))]
        while todo:
            kind, span = todo.pop()
            for number, inner in self._fields(span):
                within = _WITHIN[kind].get(number)
                if within == _ENTRY:
                    entry = {field: self._data[slice(*place)] for field, place in self._fields(inner)}
                    if entry.get(_KEY) == b"location":
                        yield entry.get(_VALUE, b"").decode()
                elif within is not None:
                    todo.append((within, inner))

    def _fields(self, span: Span) -> Iterator[tuple[int, Span]]:
        """Number and place of every field of a message that holds bytes."""
        position, end = span
        while position < end:
            self._n_fields += 1
            if self._n_fields > _MAX_FIELDS:
                raise ValueError(f"more than {_MAX_FIELDS:,} fields")
            key, position = self._varint(position, end)
            match key & 7:
                case 2:
                    size, position = self._varint(position, end)
                    if size > end - position:
                        raise ValueError(f"a field of {size:,} bytes where {end - position:,} are left")
                    yield key >> 3, (position, position + size)
                    position += size
                case 0:
                    _, position = self._varint(position, end)
                case 1:
                    position += 8
                case 5:
                    position += 4
                case wire_type:
                    raise ValueError(f"wire type {wire_type} at byte {position:,}")

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        """A number of variable length, and where it ends."""
        value = 0
        for shift in range(0, _MAX_VARINT_BITS, 7):
            if position >= end:
                break
            byte = self._data[position]
            position += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, position
        raise ValueError(f"no number at byte {position:,}")
