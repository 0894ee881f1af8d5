"""Where an ONNX file reads weights from, found before an engine sees it: its messages, walked by field number.

Knows nothing of what a graph computes. Needed because ONNX Runtime 1.23, the last for Python 3.10, reads external data
from wherever a graph says, and every version reads files in the folder that the manifest never named.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

from gpt4roi_runtime.backends.onnx_fields import FieldReader, Span
from gpt4roi_runtime.errors import BundleError

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


def external_locations(path: Path) -> frozenset[str]:
    """Every file that the graph at ``path`` reads weights from.

    Raises:
        BundleError: It is not an ONNX file.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return frozenset(_locations(FieldReader(data)))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} is not an ONNX graph: {error}", "Export or assemble the bundle again.") from error


def _locations(reader: FieldReader) -> Iterator[str]:
    """The value of every ``location`` in any tensor's external data."""
    todo: list[tuple[str, Span]] = [("model", reader.whole)]
    while todo:
        kind, span = todo.pop()
        for number, inner in reader.fields(span):
            within = _WITHIN[kind].get(number)
            if within is None or isinstance(inner, int):
                continue
            if within == _ENTRY:
                entry = {
                    name: reader.content(place) for name, place in reader.fields(inner) if isinstance(place, tuple)
                }
                if entry.get(_KEY) == b"location":
                    yield entry.get(_VALUE, b"").decode()
            else:
                todo.append((within, inner))
