"""Arrays out of a torch checkpoint file, without torch and without executing anything in it.

Knows both file formats (the zip of torch >= 1.6 and the pickles with raw storages before it) but no model.

A checkpoint is a pickle, and unpickling may call anything. Here the opcodes are read one by one by an interpreter that
knows a dozen harmless ones, a few names and no way to call what it is not told; every size is checked against the file
before anything is allocated. Where the numbers lie can be had without reading them.
"""

import io
import math
import pickletools
import reprlib
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpt4roi_runtime.errors import BundleError

MAX_PICKLE_BYTES = 4 << 20
"""A 7B model needs 100 kB. Bounds the objects that a pickle of empty lists could make to a few hundred MB."""
MAX_AXES = 8
BFLOAT16 = "bfloat16"
"""NumPy has no such dtype: such numbers are read as uint16 and widened to float32, which holds them exactly."""
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_MAX_DIRECTORY_BYTES = 16 << 20
_ZIP_MAGIC = b"PK\x03\x04"
_LOCAL_HEADER = struct.Struct("<4s22xHH")

_STORAGE_DTYPES = {
    "torch DoubleStorage": "<f8",
    "torch FloatStorage": "<f4",
    "torch HalfStorage": "<f2",
    "torch BFloat16Storage": BFLOAT16,
    "torch LongStorage": "<i8",
    "torch IntStorage": "<i4",
    "torch ShortStorage": "<i2",
    "torch CharStorage": "<i1",
    "torch ByteStorage": "<u1",
    "torch BoolStorage": "?",
}
_REBUILD_TENSOR = "torch._utils _rebuild_tensor_v2"
_REBUILD_PARAMETER = "torch._utils _rebuild_parameter"
_ORDERED_DICT = "collections OrderedDict"
_KNOWN_NAMES = {*_STORAGE_DTYPES, _REBUILD_TENSOR, _REBUILD_PARAMETER, _ORDERED_DICT}

Buffer = bytes | memoryview
BinaryFile = io.BufferedReader | io.BytesIO


@dataclass(frozen=True)
class StoredTensor:
    """Where one tensor's numbers lie in a checkpoint file; checked to lie inside it.

    Attributes:
        dtype: Of the file: NumPy's, or ``bfloat16``.
        storage_at: First byte of the run of numbers that the tensor is a view of; tensors may share it.
        n_stored: Numbers in that run.
        crc32: Of the whole run, or ``None`` in the format that has none.
        offset: First number of the tensor inside the run.
        shape: Its axes.
        strides: In numbers.
    """

    dtype: str
    storage_at: int
    n_stored: int
    crc32: int | None
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Name:
    """A global the pickle mentions; a word, never looked up."""

    words: str


@dataclass(frozen=True)
class _Storage:
    """A run of numbers the pickle refers to."""

    key: str
    dtype: str
    n_numbers: int

    @property
    def n_bytes(self) -> int:
        return self.n_numbers * raw_dtype(self.dtype).itemsize


@dataclass(frozen=True)
class _Span:
    """Where a run of bytes lies in the file."""

    at: int
    n_bytes: int
    crc32: int | None


@dataclass(frozen=True)
class _Tensor:
    """A strided view of a storage; all four numbers in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Mark:
    """Where a run of stack entries begins."""


def read_state_dict(content: Buffer, source: str) -> dict[str, NDArray[Any]]:
    """All arrays of a checkpoint, by name.

    Args:
        content: The whole file; arrays are read-only views of it, bfloat16 excepted, which comes as float32.
        source: What to call the file in errors.

    Returns:
        Arrays in the file's order and dtypes.

    Raises:
        BundleError: The file is not a torch checkpoint of plain tensors, is damaged, or asks for anything else.
    """
    layout = read_layout(io.BytesIO(content), source)
    checked: set[int] = set()
    for name, tensor in layout.items():
        if tensor.crc32 is not None and tensor.storage_at not in checked:
            n_bytes = tensor.n_stored * raw_dtype(tensor.dtype).itemsize
            if zlib.crc32(content[tensor.storage_at : tensor.storage_at + n_bytes]) != tensor.crc32:
                raise damaged_numbers(source, name)
            checked.add(tensor.storage_at)
    return {name: _as_array(tensor, content) for name, tensor in layout.items()}


def read_layout(file: BinaryFile, source: str) -> dict[str, StoredTensor]:
    """Where every tensor of a checkpoint lies, without reading its numbers.

    Args:
        file: Open at any place; closed by the caller.
        source: What to call the file in errors.

    Returns:
        In the file's order.

    Raises:
        BundleError: The file is not a torch checkpoint of plain tensors, is cut off, or asks for anything else.
    """
    try:
        n_bytes = file.seek(0, io.SEEK_END)
        file.seek(0)
        return _zip_layout(file, n_bytes) if file.read(4) == _ZIP_MAGIC else _legacy_layout(file, n_bytes)
    except BundleError as refused:
        raise BundleError(f"{source}: {refused.problem}", refused.advice) from None
    # What zipfile raises for directories that were tampered with.
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OverflowError) as damaged:
        raise BundleError(f"{source}: damaged zip ({damaged})", _ADVICE) from damaged


def raw_dtype(dtype: str) -> np.dtype[Any]:
    """The dtype to read a file's bytes with."""
    return np.dtype("<u2" if dtype == BFLOAT16 else dtype)


def widened(raw: NDArray[Any]) -> NDArray[Any]:
    """The bits of bfloat16 (uint16) as float32 of the same numbers."""
    bits = raw.astype(np.uint32)
    bits <<= 16
    return bits.view(np.float32)


def damaged_numbers(source: str, name: str) -> BundleError:
    """The error of a tensor whose bytes do not have the checksum that the file says."""
    return BundleError(f"{source}: the bytes of tensor {name!r} do not match their checksum", _ADVICE)


_ADVICE = "Expected a torch checkpoint that holds tensors by name and nothing else; fetch the file again."


def _refuse(problem: str) -> BundleError:
    return BundleError(problem, _ADVICE)


def _shown(value: object) -> str:
    """Shortened: a few bytes of pickle can make a value whose text fills the memory."""
    return reprlib.repr(value)


# ---- the two file formats ----


class _Directory:
    """A zip file for ``zipfile``, which would read a directory of any size that the file claims."""

    def __init__(self, file: BinaryFile) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, n_bytes: int = -1, /) -> bytes:
        if n_bytes > _MAX_DIRECTORY_BYTES:
            raise _refuse(f"a zip directory of {n_bytes} bytes, expected at most {_MAX_DIRECTORY_BYTES}")
        return self._file.read(n_bytes)


def _zip_layout(file: BinaryFile, n_file_bytes: int) -> dict[str, StoredTensor]:
    with zipfile.ZipFile(_Directory(file)) as archive:
        members = {info.filename: info for info in archive.infolist()}
    pickles = [name for name in members if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise _refuse(f"zip with {len(pickles)} data.pkl")
    folder = pickles[0].removesuffix("data.pkl")

    def member(name: str) -> _Span:
        info = members.get(folder + name)
        if info is None:
            raise _refuse(f"no {name} in the zip")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise _refuse(f"{name} is compressed or encrypted")
        return _member_span(file, info, n_file_bytes)

    if folder + "byteorder" in members and _content(file, member("byteorder"), 16) != b"little":
        raise _refuse("written on a big-endian machine")
    content = _content(file, member("data.pkl"), MAX_PICKLE_BYTES)
    tensors = _tensors(_Interpreter(memoryview(content)).run().value)
    spans: dict[str, _Span] = {}
    for storage in _storages(tensors).values():
        spans[storage.key] = member(f"data/{storage.key}")
        if spans[storage.key].n_bytes != storage.n_bytes:
            raise _refuse(f"storage {storage.key!r} has {spans[storage.key].n_bytes} bytes, expected {storage.n_bytes}")
    return {name: _stored(name, tensor, spans) for name, tensor in tensors.items()}


def _member_span(file: BinaryFile, info: zipfile.ZipInfo, n_file_bytes: int) -> _Span:
    """Where a member's bytes lie: behind its own header, whose length only the header tells."""
    file.seek(info.header_offset)
    header = file.read(_LOCAL_HEADER.size)
    magic, n_name, n_extra = _LOCAL_HEADER.unpack(header) if len(header) == _LOCAL_HEADER.size else (b"", 0, 0)
    at = info.header_offset + _LOCAL_HEADER.size + n_name + n_extra
    if magic != _ZIP_MAGIC or at + info.file_size > n_file_bytes:
        raise _refuse(f"{info.filename} is not where the zip's directory says")
    return _Span(at, info.file_size, info.CRC)


def _content(file: BinaryFile, span: _Span, most_bytes: int) -> bytes:
    if span.n_bytes > most_bytes:
        raise _refuse(f"a part that should be small is larger than {most_bytes} bytes")
    file.seek(span.at)
    content = file.read(span.n_bytes)
    if zlib.crc32(content) != span.crc32:
        raise _refuse("damaged zip (wrong checksum)")
    return content


def _legacy_layout(file: BinaryFile, n_file_bytes: int) -> dict[str, StoredTensor]:
    """Five pickles (magic, protocol, machine, the dictionary, storage keys), then each storage: count, numbers."""
    position = 0
    pickles = []
    for _ in range(5):
        file.seek(position)
        parsed = _Interpreter(memoryview(file.read(MAX_PICKLE_BYTES))).run()
        pickles.append(parsed.value)
        position += parsed.n_bytes
        if pickles[0] != _LEGACY_MAGIC:
            raise _refuse("does not begin like a torch checkpoint")
    _, protocol, machine, value, keys = pickles
    if protocol != _LEGACY_PROTOCOL or not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise _refuse(f"protocol {_shown(protocol)}, expected {_LEGACY_PROTOCOL} of a little-endian machine")
    tensors = _tensors(value)
    declared = _storages(tensors)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(declared):
        raise _refuse("the list of storages does not match the tensors")
    spans: dict[str, _Span] = {}
    for key in keys:
        storage = declared[key]
        file.seek(position)
        head = file.read(8)
        position += 8 + storage.n_bytes
        if int.from_bytes(head, "little") != storage.n_numbers or position > n_file_bytes:
            raise _refuse(f"storage {key!r} is cut off or not {storage.n_numbers} numbers long")
        spans[key] = _Span(position - storage.n_bytes, storage.n_bytes, None)
    if position != n_file_bytes:
        raise _refuse(f"{n_file_bytes - position} bytes behind the last storage")
    return {name: _stored(name, tensor, spans) for name, tensor in tensors.items()}


def _tensors(value: object) -> dict[str, _Tensor]:
    if not isinstance(value, dict) or not value:
        raise _refuse(f"holds {type(value).__name__}, expected a dictionary of tensors")
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, _Tensor):
            raise _refuse(f"entry {_shown(name)} is {type(tensor).__name__}, expected a tensor")
    return value


def _storages(tensors: Mapping[str, _Tensor]) -> dict[str, _Storage]:
    declared: dict[str, _Storage] = {}
    for tensor in tensors.values():
        if declared.setdefault(tensor.storage.key, tensor.storage) != tensor.storage:
            raise _refuse(f"storage {tensor.storage.key!r} is declared twice, differently")
    return declared


def _stored(name: str, tensor: _Tensor, spans: Mapping[str, _Span]) -> StoredTensor:
    shape, strides, storage = tensor.shape, tensor.strides, tensor.storage
    n_numbers = math.prod(shape)
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    # More elements than the storage has would be an expanded view: a few bytes in the file, gigabytes in memory.
    if n_numbers and (last >= storage.n_numbers or n_numbers > storage.n_numbers):
        raise _refuse(f"tensor {name!r} {shape} reaches outside its storage of {storage.n_numbers} numbers")
    span = spans[storage.key]
    return StoredTensor(storage.dtype, span.at, storage.n_numbers, span.crc32, tensor.offset, shape, strides)


def _as_array(tensor: StoredTensor, content: Buffer) -> NDArray[Any]:
    numbers = np.frombuffer(content, raw_dtype(tensor.dtype), tensor.n_stored, tensor.storage_at)
    if not math.prod(tensor.shape):
        numbers = np.zeros(tensor.shape, dtype=numbers.dtype)
    else:
        numbers = strided_view(numbers[tensor.offset :], tensor)
    return widened(numbers) if tensor.dtype == BFLOAT16 else numbers


def strided_view(numbers: NDArray[Any], tensor: StoredTensor) -> NDArray[Any]:
    """A tensor as a read-only view of numbers that begin with its own first one."""
    steps = tuple(stride * numbers.itemsize for stride in tensor.strides)
    return np.lib.stride_tricks.as_strided(numbers, tensor.shape, steps, writeable=False)


# ---- the pickle's opcodes ----


@dataclass(frozen=True)
class _Parsed:
    value: Any
    n_bytes: int


class _Interpreter:
    """Runs the opcodes that a dictionary of tensors needs. Calls nothing that the file names."""

    def __init__(self, content: memoryview) -> None:
        self._content = content
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._reads: dict[str, Callable[[Any], None]] = {
            "MARK": lambda _: self._stack.append(_Mark()),
            "EMPTY_DICT": lambda _: self._stack.append({}),
            "EMPTY_LIST": lambda _: self._stack.append([]),
            "EMPTY_TUPLE": lambda _: self._stack.append(()),
            "NONE": lambda _: self._stack.append(None),
            "NEWTRUE": lambda _: self._stack.append(True),
            "NEWFALSE": lambda _: self._stack.append(False),
            "GLOBAL": self._name,
            "BINPERSID": lambda _: self._stack.append(_storage(self._pop())),
            "REDUCE": lambda _: self._reduce(),
            "BUILD": lambda _: self._build(),
            "BINPUT": self._put,
            "LONG_BINPUT": self._put,
            "MEMOIZE": lambda _: self._put(len(self._memo)),
            "BINGET": self._get,
            "LONG_BINGET": self._get,
            "TUPLE1": lambda _: self._stack.append(self._last(1)),
            "TUPLE2": lambda _: self._stack.append(self._last(2)),
            "TUPLE3": lambda _: self._stack.append(self._last(3)),
            "TUPLE": lambda _: self._stack.append(tuple(self._since_mark())),
            "APPEND": lambda _: self._append([self._pop()]),
            "APPENDS": lambda _: self._append(self._since_mark()),
            "SETITEM": lambda _: self._set_items(list(self._last(2))),
            "SETITEMS": lambda _: self._set_items(self._since_mark()),
        }
        for plain in ("BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"):
            self._reads[plain] = self._stack.append

    def run(self) -> _Parsed:
        """Interpret up to STOP.

        Raises:
            BundleError: An opcode, a name or a size that a dictionary of tensors has no use for.
        """
        stream = io.BytesIO(self._content)
        try:
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name == "PROTO":
                    continue
                if opcode.name == "STOP":
                    return _Parsed(self._pop(), stream.tell())
                read = self._reads.get(opcode.name)
                if read is None:
                    raise _refuse(f"the pickle uses {opcode.name}")
                read(argument)
        # What pickletools raises for damaged input, among them Unicode and integer errors, which are ValueErrors.
        except (ValueError, IndexError, KeyError, TypeError) as damaged:
            raise _refuse(f"damaged pickle ({damaged})") from damaged
        raise _refuse("the pickle has no end")

    def _pop(self) -> Any:
        value = self._stack.pop()
        if isinstance(value, _Mark):
            raise _refuse("damaged pickle (a mark where a value should be)")
        return value

    def _last(self, count: int) -> tuple[Any, ...]:
        values = [self._pop() for _ in range(count)]
        return tuple(reversed(values))

    def _since_mark(self) -> list[Any]:
        values: list[Any] = []
        while not isinstance(value := self._stack.pop(), _Mark):
            values.append(value)
        return values[::-1]

    def _name(self, words: str) -> None:
        if words not in _KNOWN_NAMES:
            raise _refuse(f"the pickle names {words!r}, which is not part of a dictionary of tensors")
        self._stack.append(_Name(words))

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def _append(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise _refuse("damaged pickle (append to something else than a list)")
        target.extend(values)

    def _set_items(self, flat: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(flat) % 2:
            raise _refuse("damaged pickle (items for something else than a dictionary)")
        # Only words: hashing a tuple of tuples that shares its parts takes exponential time.
        if not all(isinstance(key, str) for key in flat[::2]):
            raise _refuse("a dictionary whose keys are not words")
        target.update(zip(flat[::2], flat[1::2], strict=True))

    def _build(self) -> None:
        """State of an OrderedDict: torch keeps version numbers there, which nobody needs."""
        self._pop()
        if not isinstance(self._stack[-1], dict):
            raise _refuse("the pickle sets the state of something else than a dictionary")

    def _reduce(self) -> None:
        arguments, name = self._pop(), self._pop()
        if not isinstance(name, _Name) or not isinstance(arguments, tuple):
            raise _refuse("damaged pickle (a call of something that is not a name)")
        if name.words == _ORDERED_DICT and not arguments:
            self._stack.append({})
        elif name.words == _REBUILD_TENSOR:
            self._stack.append(_tensor(arguments))
        elif name.words == _REBUILD_PARAMETER and arguments and isinstance(arguments[0], _Tensor):
            self._stack.append(arguments[0])
        else:
            raise _refuse(f"the pickle calls {name.words!r} in a way that makes no tensor")


def _storage(reference: object) -> _Storage:
    """From torch's ('storage', type, key, device, number of elements[, view])."""
    if not isinstance(reference, tuple) or len(reference) not in (5, 6) or reference[0] != "storage":
        raise _refuse(f"unknown reference {type(reference).__name__}")
    kind, key, n_numbers = reference[1], reference[2], reference[4]
    if not isinstance(kind, _Name) or kind.words not in _STORAGE_DTYPES:
        raise _refuse("a storage of no known type")
    if not isinstance(key, str) or not _is_count(n_numbers) or reference[5:] not in ((), (None,)):
        raise _refuse(f"storage {_shown(key)} with {_shown(n_numbers)} numbers")
    return _Storage(key, _STORAGE_DTYPES[kind.words], n_numbers)


def _tensor(arguments: tuple[Any, ...]) -> _Tensor:
    """From torch's (storage, offset, shape, strides, requires_grad, hooks[, metadata])."""
    if len(arguments) < 4 or not isinstance(arguments[0], _Storage):
        raise _refuse("a tensor without a storage")
    storage, offset, shape, strides = arguments[:4]
    if not isinstance(shape, tuple) or not isinstance(strides, tuple) or len(shape) != len(strides):
        raise _refuse("a tensor whose shape and strides do not match")
    if len(shape) > MAX_AXES or not all(_is_count(number) for number in (offset, *shape, *strides)):
        raise _refuse(f"a tensor of shape {_shown(shape)} at {_shown(offset)}")
    return _Tensor(storage, offset, shape, strides)


def _is_count(number: object) -> bool:
    return type(number) is int and 0 <= number < 1 << 48
