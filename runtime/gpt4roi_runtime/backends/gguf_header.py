"""The start of a GGUF file, read as bytes from a stranger: every count is held against the file before it is believed.

llama.cpp ends the process on some headers (a huge block count), and the ``gguf`` package's reader hangs on others (a
43-byte file can ask for 2**60 entries) and takes two seconds for an honest vocabulary. This reader walks the bytes
once, in tens of milliseconds, and never allocates more than the file holds. Knows no weights and no engine.
"""

import math
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gpt4roi_runtime.errors import BundleError

MAX_HEADER_BYTES = 64 << 20
MAX_BLOCK_COUNT = 512
MAX_WIDTH = 1 << 16
MAX_VOCABULARY = 1 << 20
_MAX_ENTRIES, _MAX_TENSORS, _MAX_KEY_BYTES, _MAX_STRING_BYTES = 4096, 1 << 16, 1 << 10, 1 << 20
_MAX_ELEMENTS = 1 << 40
_READABLE_VERSIONS = (2, 3)
_TOKENS = "tokenizer.ggml.tokens"
_EMBEDDINGS = "token_embd.weight"
_ZEROS = (
    "llama.expert_count",
    "llama.expert_used_count",
    "llama.expert_group_count",
    "llama.nextn_predict_layers",
)
_CHOICES = {
    "llama.rope.scaling.type": (("none", "linear", "yarn", "longrope"), "linear"),
    "tokenizer.ggml.model": (("llama", "gpt2"), ""),
}
_EPSILON = "llama.attention.layer_norm_rms_epsilon"
_REDOWNLOAD = "The file is damaged or not meant for this program; fetch or convert it again."

BLOCKS: Mapping[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
}
"""Tensor types of weights: number in the file -> name, weights in a block, bytes of a block.

Q8_1 and Q8_K are missing: they are for numbers on their way, and as weights end the process.
"""


@dataclass(frozen=True)
class TensorPlace:
    """Where a tensor lies in the file.

    Attributes:
        name: Its name.
        type_number: Its type, a key of ``BLOCKS``.
        shape: Axes, the one whose neighbours touch first.
        offset_bytes: From the start of the file.
        size_bytes: Its bytes.
    """

    name: str
    type_number: int
    shape: tuple[int, ...]
    offset_bytes: int
    size_bytes: int

    @property
    def type_name(self) -> str:
        """Name of the type, such as ``Q4_1``."""
        return BLOCKS[self.type_number][0]


@dataclass(frozen=True)
class GgufHeader:
    """The checked facts of a LLaMA-architecture GGUF.

    Attributes:
        architecture: ``llama``.
        name: What the makers call it, or an empty string.
        quantisation: Type of most of its weights, such as ``Q4_1``.
        embedding_length: Width of a row.
        block_count: Transformer layers.
        head_count: Query heads.
        head_count_kv: Key and value heads.
        key_length: Width of one key.
        value_length: Width of one value.
        context_length: Positions the model was trained for.
        vocabulary_size: Tokens; equals the rows of ``token_embeddings``.
        token_embeddings: Where the embedding of every token lies.
        tensors: Where every tensor lies, in the file's order.
    """

    architecture: str
    name: str
    quantisation: str
    embedding_length: int
    block_count: int
    head_count: int
    head_count_kv: int
    key_length: int
    value_length: int
    context_length: int
    vocabulary_size: int
    token_embeddings: TensorPlace
    tensors: tuple[TensorPlace, ...]

    @property
    def tensor_bytes(self) -> int:
        """Bytes of all weights together."""
        return sum(tensor.size_bytes for tensor in self.tensors)


def inspect_gguf(path: Path) -> GgufHeader:
    """Read and check the header of a GGUF file.

    Raises:
        BundleError: The file is missing, damaged, not a GGUF, or of another architecture or with sizes that cannot be.
    """
    try:
        file_bytes = path.stat().st_size
        with path.open("rb") as file:
            return _Inspection(path, file, file_bytes).header()
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror or error}", "Fetch the bundle again.") from error


Scalar = int | float | bool | str


@dataclass(frozen=True)
class _Array:
    """An array of the metadata: only how long it is."""

    length: int


class _Inspection:
    """One walk over the header."""

    def __init__(self, path: Path, file: BinaryIO, file_bytes: int) -> None:
        self._path = path
        self._bytes = _BoundedBytes(path, file, file_bytes)
        self._file_bytes = file_bytes
        self._entries: dict[str, Scalar | _Array] = {}

    def header(self) -> GgufHeader:
        """Walk it from the first byte and check what was found."""
        n_tensors, n_entries = self._preamble()
        for _ in range(n_entries):
            self._entry()
        self._check_architecture()
        self._check_fatal_entries()
        tensors = self._tensors(n_tensors)
        return self._facts(tensors)

    def _preamble(self) -> tuple[int, int]:
        magic = self._bytes.take(4)
        if magic != b"GGUF":
            raise self._wrong(f"it begins with {magic!r}, expected b'GGUF'")
        version = self._bytes.number("<I")
        if version not in _READABLE_VERSIONS:
            raise self._wrong(f"its GGUF version is {version}, expected 2 or 3")
        n_tensors, n_entries = self._bytes.number("<Q"), self._bytes.number("<Q")
        self._expect("tensor count", n_tensors, 1, _MAX_TENSORS)
        self._expect("entry count", n_entries, 1, _MAX_ENTRIES)
        return n_tensors, n_entries

    def _entry(self) -> None:
        key = self._bytes.string(_MAX_KEY_BYTES)
        if key in self._entries:
            raise self._wrong(f"it names {key!r} twice")
        self._entries[key] = self._value(self._bytes.number("<I"))

    def _value(self, kind: int) -> Scalar | _Array:
        if kind == _STRING:
            return self._bytes.string(_MAX_STRING_BYTES)
        if kind == _ARRAY:
            item, length = self._bytes.number("<I"), self._bytes.number("<Q")
            if item == _STRING:
                self._bytes.skip_strings(length)
            else:
                self._bytes.skip(length * struct.calcsize(self._format(item)))
            return _Array(length)
        value: Scalar = struct.unpack(self._format(kind), self._bytes.take(struct.calcsize(self._format(kind))))[0]
        return value

    def _format(self, kind: int) -> str:
        if kind not in _FORMATS:
            raise self._wrong(f"it holds a value of type {kind}, which GGUF does not have there")
        return _FORMATS[kind]

    def _check_architecture(self) -> None:
        architecture = self._entries.get("general.architecture")
        if architecture != "llama":
            raise self._wrong(f"its architecture is {architecture!r}, expected 'llama'")

    def _check_fatal_entries(self) -> None:
        """Refuse values that llama.cpp believes, and then dies of."""
        for key in _ZEROS:
            if (value := self._entries.get(key, 0)) != 0:
                raise self._wrong(f"{key} is {value}, expected 0: this program runs plain LLaMAs only")
        for key, (known, default) in _CHOICES.items():
            if (value := self._entries.get(key, default)) not in known:
                raise self._wrong(f"{key} is {value!r}, expected one of {', '.join(known)}")
        epsilon = self._entries.get(_EPSILON)
        if not isinstance(epsilon, float) or not 0.0 < epsilon <= 1.0:
            raise self._wrong(f"{_EPSILON} is {epsilon}, expected a number above 0 and up to 1")

    def _tensors(self, count: int) -> dict[str, TensorPlace]:
        loose = [self._tensor() for _ in range(count)]
        alignment = self._number("general.alignment", 8, 1 << 20, default=32)
        if alignment % 8:
            raise self._wrong(f"general.alignment is {alignment}, expected a multiple of 8")
        start = -(-self._bytes.position // alignment) * alignment
        tensors = {}
        for name, type_number, shape, offset in loose:
            place = TensorPlace(name, type_number, shape, start + offset, self._size_of(name, type_number, shape))
            if place.offset_bytes + place.size_bytes > self._file_bytes:
                raise self._wrong(
                    f"tensor {name!r} ends at byte {place.offset_bytes + place.size_bytes}, "
                    f"but the file has {self._file_bytes}"
                )
            if name in tensors:
                raise self._wrong(f"it has two tensors {name!r}")
            tensors[name] = place
        return tensors

    def _tensor(self) -> tuple[str, int, tuple[int, ...], int]:
        name = self._bytes.string(_MAX_KEY_BYTES)
        n_axes = self._bytes.number("<I")
        self._expect(f"number of axes of {name!r}", n_axes, 1, 4)
        shape = tuple(self._bytes.number("<Q") for _ in range(n_axes))
        for axis in shape:
            self._expect(f"an axis of {name!r}", axis, 1, _MAX_ELEMENTS)
        self._expect(f"weights in {name!r}", math.prod(shape), 1, _MAX_ELEMENTS)
        return name, self._bytes.number("<I"), shape, self._bytes.number("<Q")

    def _size_of(self, name: str, type_number: int, shape: tuple[int, ...]) -> int:
        if type_number not in BLOCKS:
            raise self._wrong(f"tensor {name!r} is of type {type_number}, expected one of {sorted(BLOCKS)}")
        type_name, n_weights, n_bytes = BLOCKS[type_number]
        if type_name != "F32" and math.prod(shape[1:]) == 1:  # norms and biases; any other type is an abort
            raise self._wrong(f"{name!r} is one row of type {type_name}, expected F32")
        if shape[0] % n_weights:
            raise self._wrong(
                f"rows of {name!r} hold {shape[0]} weights, expected a multiple of {n_weights} ({type_name})"
            )
        return math.prod(shape) // n_weights * n_bytes

    def _facts(self, tensors: dict[str, TensorPlace]) -> GgufHeader:
        width = self._number("llama.embedding_length", 1, MAX_WIDTH)
        heads = self._number("llama.attention.head_count", 1, MAX_WIDTH)
        heads_kv = self._number("llama.attention.head_count_kv", 1, MAX_WIDTH, default=heads)
        if heads % heads_kv:
            raise self._wrong(f"it has {heads} query heads, expected a multiple of its {heads_kv} key heads")
        if width % heads:
            raise self._wrong(f"it is {width} wide, expected a multiple of its {heads} heads")
        key_length = self._number("llama.attention.key_length", 2, MAX_WIDTH, default=width // heads)
        value_length = self._number("llama.attention.value_length", 2, MAX_WIDTH, default=width // heads)
        if key_length != value_length or key_length % 2:
            raise self._wrong(f"its keys are {key_length} wide and its values {value_length}, expected one even number")
        vocabulary = self._vocabulary()
        return GgufHeader(
            architecture="llama",
            name=str(self._entries.get("general.name", "")),
            quantisation=_most_used_type(tensors),
            embedding_length=width,
            block_count=self._number("llama.block_count", 1, MAX_BLOCK_COUNT),
            head_count=heads,
            head_count_kv=heads_kv,
            key_length=key_length,
            value_length=value_length,
            context_length=self._number("llama.context_length", 1, 1 << 24),
            vocabulary_size=vocabulary,
            token_embeddings=self._embeddings(tensors, width, vocabulary),
            tensors=tuple(tensors.values()),
        )

    def _vocabulary(self) -> int:
        tokens = self._entries.get(_TOKENS)
        if not isinstance(tokens, _Array):
            raise self._wrong(f"it has no list {_TOKENS!r}")
        self._expect("number of tokens", tokens.length, 1, MAX_VOCABULARY)
        return tokens.length

    def _embeddings(self, tensors: dict[str, TensorPlace], width: int, vocabulary: int) -> TensorPlace:
        place = tensors.get(_EMBEDDINGS)
        if place is None:
            raise self._wrong(f"it has no tensor {_EMBEDDINGS!r}")
        if place.shape != (width, vocabulary):
            raise self._wrong(
                f"{_EMBEDDINGS} is {place.shape[0]} wide with {math.prod(place.shape[1:])} rows, "
                f"expected {width} wide with {vocabulary} rows, one for every token"
            )
        return place

    def _number(self, key: str, lowest: int, highest: int, default: int | None = None) -> int:
        value = self._entries.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(f"{key} is {value!r}, expected a whole number")
        self._expect(key, value, lowest, highest)
        return value

    def _expect(self, what: str, value: int, lowest: int, highest: int) -> None:
        if not lowest <= value <= highest:
            raise self._wrong(f"{what} is {value}, expected {lowest} to {highest}")

    def _wrong(self, what: str) -> BundleError:
        return _wrong(self._path, what)


class _BoundedBytes:
    """The file's start, read as far as needed, with every length held against the file's."""

    def __init__(self, path: Path, file: BinaryIO, file_bytes: int) -> None:
        self._path = path
        self._file = file
        self._limit = min(file_bytes, MAX_HEADER_BYTES)
        self._file_bytes = file_bytes
        self._data = b""
        self.position = 0

    def take(self, n_bytes: int) -> bytes:
        """The next bytes."""
        start = self.position
        self.skip(n_bytes)
        return self._data[start : self.position]

    def number(self, layout: str) -> int:
        """One whole number."""
        value: int = struct.unpack(layout, self.take(struct.calcsize(layout)))[0]
        return value

    def string(self, limit: int) -> str:
        """A counted string of at most ``limit`` bytes."""
        n_bytes = self.number("<Q")
        if n_bytes > limit:
            raise _wrong(
                self._path, f"a text at byte {self.position} is {n_bytes} bytes long, expected at most {limit}"
            )
        return self.take(n_bytes).decode("utf-8", "replace")

    def skip(self, n_bytes: int) -> None:
        """Pass over bytes."""
        self._reach(self.position + n_bytes)
        self.position += n_bytes

    def skip_strings(self, count: int) -> None:
        """Pass over ``count`` counted strings; a loop without calls, because vocabularies are long."""
        self._reach(self.position + 8 * count)  # the shortest such list that could be meant
        unpack, data, position = struct.Struct("<Q").unpack_from, self._data, self.position
        for _ in range(count):
            if position + 8 > len(data):
                data = self._reach(position + 8)
            position += 8 + unpack(data, position)[0]
        self._reach(position)
        self.position = position

    def _reach(self, end: int) -> bytes:
        """Have at least the bytes up to ``end``."""
        if end > self._limit:
            raise _wrong(
                self._path,
                f"its header reaches to byte {end} or further, expected within the file's {self._file_bytes} "
                f"and within {MAX_HEADER_BYTES} bytes",
            )
        if end > len(self._data):
            wanted = min(self._limit, max(end, 2 * len(self._data), 1 << 22))
            self._data += self._file.read(wanted - len(self._data))
            if end > len(self._data):
                raise _wrong(self._path, f"it ends at byte {len(self._data)} while it was read")
        return self._data


_STRING, _ARRAY = 8, 9
_FORMATS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}


def _most_used_type(tensors: dict[str, TensorPlace]) -> str:
    sizes: Counter[str] = Counter()
    for tensor in tensors.values():
        if tensor.name != _EMBEDDINGS:
            sizes[tensor.type_name] += tensor.size_bytes
    return sizes.most_common(1)[0][0] if sizes else ""


def _wrong(path: Path, what: str) -> BundleError:
    return BundleError(f"{path} is not a usable GGUF file: {what}", _REDOWNLOAD)
