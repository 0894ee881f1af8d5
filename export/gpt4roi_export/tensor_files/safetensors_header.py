"""The header of a safetensors file, read within bounds. Knows nothing of torch's formats; reads no numbers.

The format says: eight bytes of length, that much JSON, then the numbers without a hole between them.
"""

import io
import math
from collections.abc import Sequence

import msgspec

from gpt4roi_export.state_dict import BFLOAT16, MAX_AXES, BinaryFile, StoredTensor, raw_dtype
from gpt4roi_runtime.errors import BundleError

MAX_HEADER_BYTES = 16 << 20
"""A 7B model needs 40 kB."""
_LENGTH_BYTES = 8
_METADATA = "__metadata__"
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": BFLOAT16,
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "<i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "<u1",
    "BOOL": "?",
}
_ADVICE = "Expected a whole safetensors file; fetch it again."


class _Entry(msgspec.Struct):
    """One tensor of the header."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def read_safetensors_layout(file: BinaryFile, source: str) -> dict[str, StoredTensor]:
    """Where every tensor lies.

    Args:
        file: Open at any place; closed by the caller.
        source: What to call the file in errors.

    Returns:
        In the header's order.

    Raises:
        BundleError: The header lies, is cut off, or names what NumPy cannot hold.
    """
    n_file_bytes = file.seek(0, io.SEEK_END)
    file.seek(0)
    n_header_bytes = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    if n_header_bytes > min(MAX_HEADER_BYTES, n_file_bytes - _LENGTH_BYTES):
        raise BundleError(
            f"{source}: a header of {n_header_bytes} bytes in a file of {n_file_bytes}, at most {MAX_HEADER_BYTES}",
            _ADVICE,
        )
    entries = _entries(file.read(n_header_bytes), source)
    data_at = _LENGTH_BYTES + n_header_bytes
    _check_no_holes(list(entries.values()), n_file_bytes - data_at, source)
    return {name: _stored(name, entry, data_at, source) for name, entry in entries.items()}


def _entries(header: bytes, source: str) -> dict[str, _Entry]:
    try:
        raw = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        raw.pop(_METADATA, None)
        return {name: msgspec.json.decode(entry, type=_Entry) for name, entry in raw.items()}
    except (msgspec.MsgspecError, RecursionError, ValueError) as damaged:
        raise BundleError(f"{source}: the header is no list of tensors ({damaged})", _ADVICE) from damaged


def _check_no_holes(entries: Sequence[_Entry], n_data_bytes: int, source: str) -> None:
    end = 0
    for begin, next_end in sorted(entry.data_offsets for entry in entries):
        if begin != end or next_end < begin:
            raise BundleError(f"{source}: tensors overlap, or leave a hole, at byte {end} of the numbers", _ADVICE)
        end = next_end
    if end != n_data_bytes:
        raise BundleError(f"{source}: {n_data_bytes} bytes of numbers, but the header counts {end}", _ADVICE)


def _stored(name: str, entry: _Entry, data_at: int, source: str) -> StoredTensor:
    dtype = _DTYPES.get(entry.dtype)
    if dtype is None:
        raise BundleError(
            f"{source}: tensor {name!r} is {entry.dtype!r}, expected one of {', '.join(_DTYPES)}",
            "Take a checkpoint that has not been quantised.",
        )
    shape = tuple(entry.shape)
    begin, end = entry.data_offsets
    itemsize = raw_dtype(dtype).itemsize
    if len(shape) > MAX_AXES or any(size < 0 for size in shape) or math.prod(shape) * itemsize != end - begin:
        raise BundleError(f"{source}: tensor {name!r} of shape {shape} has {end - begin} bytes", _ADVICE)
    strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    return StoredTensor(dtype, data_at + begin, math.prod(shape), None, 0, shape, strides)
