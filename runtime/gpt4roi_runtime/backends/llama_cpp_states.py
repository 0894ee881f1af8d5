"""What tells the written states of prefixes apart, and how large they can be; makes no native call."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256

from gpt4roi_runtime.backends.gguf_header import GgufHeader
from gpt4roi_runtime.backends.llama_cpp_child import library_identity
from gpt4roi_runtime.backends.llama_cpp_library import PINNED_VERSION
from gpt4roi_runtime.backends.llama_cpp_loading import NativeSizes
from gpt4roi_runtime.backends.llama_cpp_memory import cache_bytes
from gpt4roi_runtime.backends.llama_cpp_pieces import Piece

_THREADS = ("n_threads", "yields")
"""They change no bit of a prefix, but where attention is fused and a call has one row: threads share its sum."""
_CHANGE_NO_BIT = (*_THREADS, "kept_bytes")
"""Sizes that a prefix's state does not depend on; the tests see to that."""
_MOST_OVERHEAD_BYTES, _MOST_OVERHEAD_BYTES_PER_ROW = 1 << 16, 64


@dataclass(frozen=True)
class PrefixStates:
    """What tells the states of prefixes apart, and how large they can be.

    Attributes:
        identity: Hash of build, machine and settings.
        threads: What is known of them, where they may decide a bit.
        most_bytes_per_row: Of a KV cache of float32; no type is wider.
    """

    identity: str
    threads: tuple[object, ...]
    most_bytes_per_row: int

    @classmethod
    def of(cls, header: GgufHeader, sizes: NativeSizes, system: str) -> "PrefixStates":
        """Of a model loaded with these sizes into a library that says this of itself."""
        values = asdict(sizes)
        decides = {name: value for name, value in sorted(values.items()) if name not in _CHANGE_NO_BIT}
        threads = tuple(values[name] for name in _THREADS) if sizes.flash_attention else ()
        build = (PINNED_VERSION, library_identity(), system)
        identity = sha256(repr((build, header.embedding_length, decides)).encode()).hexdigest()
        return cls(identity, threads, 2 * cache_bytes(header, 1) + _MOST_OVERHEAD_BYTES_PER_ROW)

    def key_of(self, pieces: Sequence[Piece]) -> str:
        """Of a prefix, 64 hex digits; its last piece's key tells of all rows and of how they are split."""
        threads = self.threads if any(piece.end - piece.start == 1 for piece in pieces) else ()
        decides = (self.identity, threads, pieces[-1].end, pieces[-1].key)
        return sha256(repr(decides).encode()).hexdigest()

    def most_bytes(self, n_rows: int) -> int:
        """More than the state of so many rows can take."""
        return _MOST_OVERHEAD_BYTES + n_rows * self.most_bytes_per_row
