"""A GGUF's metadata as raw entries and its tensors as places, so that a changed copy keeps every other byte.

Reads only files that ``inspect_gguf`` has passed, and so believes every count. The ``gguf`` package would take three
seconds here, an object for every token. Does not know what entries and tensors mean.
"""

import math
import mmap
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gpt4roi_runtime.backends.gguf_header import BLOCKS, TensorPlace
from gpt4roi_runtime.errors import BundleError

_MAGIC = b"GGUF"
_ALIGNMENT = "general.alignment"
_DEFAULT_ALIGNMENT = 32
_UINT32, _STRING, _ARRAY = 4, 8, 9
_VALUE_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


@dataclass(frozen=True)
class GgufLayout:
    """What stands before a GGUF's weights.

    Attributes:
        version: Of the format.
        entries: Key of the metadata -> key, type and value as they stand in the file.
        tensors: In the order of the file.
    """

    version: int
    entries: Mapping[str, bytes]
    tensors: tuple[TensorPlace, ...]

    @property
    def alignment(self) -> int:
        """Bytes that every tensor begins at a multiple of."""
        entry = self.entries.get(_ALIGNMENT)
        if entry is None:
            return _DEFAULT_ALIGNMENT
        value = entry[len(_text(_ALIGNMENT)) + struct.calcsize("<I") :]  # after the key and the type
        return int.from_bytes(value, "little")


def read_layout(path: Path) -> GgufLayout:
    """Walk over the header of a file that ``inspect_gguf`` has passed.

    Raises:
        BundleError: The file cannot be read, or was changed since.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _Walk(content).layout()
    except (OSError, struct.error, KeyError, ValueError) as failed:
        raise BundleError(f"cannot read {path}: {failed}", "Fetch the bundle again.") from failed


def header_bytes(layout: GgufLayout) -> bytes:
    """The header of a file with these entries and tensors, padded up to the first tensor.

    Args:
        layout: The offsets of its tensors are not used; ``padded_bytes`` of one after another are written.
    """
    content = [_MAGIC, struct.pack("<IQQ", layout.version, len(layout.tensors), len(layout.entries))]
    content += layout.entries.values()
    offset = 0
    for tensor in layout.tensors:
        content += (_text(tensor.name), struct.pack("<I", len(tensor.shape)))
        content += (struct.pack("<Q", axis) for axis in tensor.shape)
        content.append(struct.pack("<IQ", tensor.type_number, offset))
        offset += padded_bytes(tensor.size_bytes, layout.alignment)
    header = b"".join(content)
    return header.ljust(padded_bytes(len(header), layout.alignment), b"\0")


def padded_bytes(n_bytes: int, alignment: int) -> int:
    """``n_bytes`` rounded up."""
    return -(-n_bytes // alignment) * alignment


def text_entry(key: str, text: str) -> bytes:
    """An entry whose value is a text."""
    return _text(key) + struct.pack("<I", _STRING) + _text(text)


def number_entry(key: str, number: int) -> bytes:
    """An entry whose value is a whole number of 32 bits."""
    return _text(key) + struct.pack("<II", _UINT32, number)


def size_bytes(shape: Iterable[int], type_number: int) -> int:
    """Bytes of a tensor of this shape and type."""
    _, n_weights, n_bytes = BLOCKS[type_number]
    return math.prod(shape) // n_weights * n_bytes


def _text(text: str) -> bytes:
    content = text.encode("utf-8")
    return struct.pack("<Q", len(content)) + content


class _Walk:
    """One pass over a header."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        self._position = len(_MAGIC)

    def layout(self) -> GgufLayout:
        version, n_tensors, n_entries = self._numbers("<IQQ")
        entries = dict(self._entry() for _ in range(n_entries))
        loose = [self._tensor() for _ in range(n_tensors)]
        start = padded_bytes(self._position, GgufLayout(version, entries, ()).alignment)
        tensors = tuple(
            TensorPlace(name, type_number, shape, start + offset, size_bytes(shape, type_number))
            for name, shape, type_number, offset in loose
        )
        return GgufLayout(version, entries, tensors)

    def _entry(self) -> tuple[str, bytes]:
        start = self._position
        key = self._string()
        self._skip_value(*self._numbers("<I"))
        return key, self._content[start : self._position]

    def _skip_value(self, kind: int) -> None:
        if kind == _STRING:
            self._skip_strings(1)
        elif kind == _ARRAY:
            item, length = self._numbers("<IQ")
            if item == _STRING:
                self._skip_strings(length)
            else:
                self._position += length * _VALUE_BYTES[item]
        else:
            self._position += _VALUE_BYTES[kind]

    def _skip_strings(self, count: int) -> None:
        """A loop without calls, because vocabularies are long."""
        unpack, content, position = struct.Struct("<Q").unpack_from, self._content, self._position
        for _ in range(count):
            position += 8 + unpack(content, position)[0]
        self._position = position

    def _tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._string()
        (n_axes,) = self._numbers("<I")
        shape = self._numbers(f"<{n_axes}Q")
        type_number, offset = self._numbers("<IQ")
        return name, shape, type_number, offset

    def _string(self) -> str:
        (n_bytes,) = self._numbers("<Q")
        start, self._position = self._position, self._position + n_bytes
        return self._content[start : self._position].decode("utf-8", "replace")

    def _numbers(self, layout: str) -> tuple[int, ...]:
        numbers = struct.unpack_from(layout, self._content, self._position)
        self._position += struct.calcsize(layout)
        return numbers
