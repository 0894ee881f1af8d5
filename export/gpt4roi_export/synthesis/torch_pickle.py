"""The pickles of a torch checkpoint, opcode by opcode: written without torch, and with nothing in them but tensors.

Knows both of torch's formats; does not write files or numbers.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LEGACY_HEAD = (
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the magic number
    b"\x80\x02M\xe9\x03."  # the protocol, 1001
    b"\x80\x02}(X\x10\x00\x00\x00protocol_versionM\xe9\x03X\r\x00\x00\x00little_endian\x88"
    b"X\n\x00\x00\x00type_sizes}(X\x05\x00\x00\x00shortK\x02X\x03\x00\x00\x00intK\x04X\x04\x00\x00\x00longK\x04uu."
)
_STORAGES = {"float16": b"HalfStorage", "float32": b"FloatStorage", "int64": b"LongStorage"}
_EMPTY_ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


@dataclass(frozen=True)
class Entry:
    """One tensor of a file.

    Attributes:
        name: Its name.
        shape: Its axes.
        dtype: ``float16``, ``float32`` or ``int64``.
        n_numbers: In all.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    n_numbers: int


def state_dict_pickle(entries: Sequence[Entry], *, is_legacy: bool) -> bytes:
    """The dictionary of tensors; their storages are called by their positions."""
    return b"\x80\x02" + _EMPTY_ORDERED_DICT + b"(" + b"".join(_items(entries, is_legacy=is_legacy)) + b"u."


def storage_keys_pickle(n_storages: int) -> bytes:
    """The list that the legacy format puts before the numbers."""
    return b"\x80\x02](" + b"".join(_text(str(key)) for key in range(n_storages)) + b"e."


def _items(entries: Sequence[Entry], *, is_legacy: bool) -> Iterator[bytes]:
    view = b"N" if is_legacy else b""
    for key, entry in enumerate(entries):
        kind = b"ctorch\n" + _STORAGES[entry.dtype] + b"\n"
        storage = (
            b"(" + _text("storage") + kind + _text(str(key)) + _text("cpu") + _number(entry.n_numbers) + view + b"tQ"
        )
        strides = _strides(entry.shape)
        place = _number(0) + _tuple(entry.shape) + _tuple(strides) + b"\x89" + _EMPTY_ORDERED_DICT
        yield _text(entry.name) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + place + b"tR"


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def _tuple(numbers: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(_number(number) for number in numbers) + b"t"


def _number(number: int) -> bytes:
    return b"J" + struct.pack("<i", number)


def _text(text: str) -> bytes:
    content = text.encode()
    return b"X" + struct.pack("<I", len(content)) + content
