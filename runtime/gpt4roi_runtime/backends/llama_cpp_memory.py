"""Bytes that llama.cpp takes for a model, from its header alone; and whether that fits the free memory.

The second is asked before llama.cpp is: the system kills a process that takes too much. The formulas were held against
what llama.cpp reports in its log for five shapes of model. Knows no vision and no device but this machine's memory.
"""

from dataclasses import dataclass
from typing import Literal

import psutil

from gpt4roi_runtime.backends.gguf_header import GgufHeader
from gpt4roi_runtime.backends.llama_cpp_settings import CacheType
from gpt4roi_runtime.errors import EngineError, SettingsError

KvType = Literal["f16", "q8_0"]
"""Types that are offered for keys and values alike."""

CONTEXT_STEP = 256
"""llama.cpp makes contexts of multiples of it."""

DEFAULT_KEPT_BYTES = 256 << 20
"""The prefix of one image beside the one worked on for a model of 7 billion weights, of hundreds for a small one."""

_FLOAT_BYTES, _HALF_BYTES = 4, 2
_Q8_0_BYTES, _Q8_0_WEIGHTS = 34, 32
_BLOCKS: dict[CacheType, tuple[int, int]] = {
    "f32": (_FLOAT_BYTES, 1),
    "f16": (_HALF_BYTES, 1),
    "q8_0": (_Q8_0_BYTES, _Q8_0_WEIGHTS),
    "q5_1": (24, 32),
    "q5_0": (22, 32),
    "q4_1": (20, 32),
    "q4_0": (18, 32),
    "iq4_nl": (18, 32),
}
"""Bytes of a block of numbers, and how many numbers are in it."""
_BYTES_PER_TOKEN = 420  # text, kind and score of a token and its entries in three look-up tables, measured
_WIDTHS_BESIDE_SCORES, _WIDTHS_BESIDE_FEED_FORWARD, _WIDTHS_BESIDE_LOGITS = 4, 4, 3
_FEED_FORWARD_ROWS = 3  # gate, up and their product


@dataclass(frozen=True)
class ContextSizes:
    """What a context of llama.cpp is made with.

    Attributes:
        context_length: Rows of the KV cache, as asked for.
        batch_size: Most rows computed at once.
        feed_forward_length: Width between the two halves of a layer's feed-forward part.
        flash_attention: Whether the attention of a batch is fused.
        kv_type: Type of the cache's numbers.
        n_sequences: Answers that are written side by side; they share the cache's rows.
    """

    context_length: int
    batch_size: int
    feed_forward_length: int
    flash_attention: bool
    kv_type: KvType = "f16"
    n_sequences: int = 1

    @property
    def n_cells(self) -> int:
        """Rows of the KV cache as llama.cpp makes it."""
        return padded_context(self.context_length)

    @property
    def n_batch_rows(self) -> int:
        """Rows of one call, never more than were asked for; llama.cpp reserves a multiple of the sequences."""
        rows = min(self.batch_size, self.context_length)
        return -(-rows // self.n_sequences) * self.n_sequences


def padded_context(context_length: int) -> int:
    """Rows that llama.cpp really makes: the next multiple of 256."""
    return -(-context_length // CONTEXT_STEP) * CONTEXT_STEP


def kv_cache_bytes(header: GgufHeader, sizes: ContextSizes) -> int:
    """Bytes of the KV cache: layers x heads of keys x (key + value) x rows, in the cache's type."""
    return cache_bytes(header, sizes.n_cells, (sizes.kv_type, sizes.kv_type))


def cache_bytes(header: GgufHeader, n_cells: int, types: tuple[CacheType, CacheType] = ("f16", "f16")) -> int:
    """Bytes of a KV cache of ``n_cells`` rows whose keys and values have these ``types``."""
    total = 0
    for width, kind in zip((header.key_length, header.value_length), types, strict=True):
        block_bytes, block_size = _BLOCKS[kind]
        total += header.block_count * header.head_count_kv * n_cells * width * block_bytes // block_size
    return total


def check_cache_types(header: GgufHeader, types: tuple[CacheType, CacheType]) -> None:
    """Refuse a type whose blocks do not fill a head's keys or values evenly; llama.cpp would not load.

    Raises:
        SettingsError: With the width.
    """
    for part, width, kind in zip(("key", "value"), (header.key_length, header.value_length), types, strict=True):
        if width % _BLOCKS[kind][1]:
            raise SettingsError(
                f"a cache of {kind} holds blocks of {_BLOCKS[kind][1]} numbers, but this model's {part}s have {width}",
                "Keep them as f16.",
            )


def compute_buffer_bytes(header: GgufHeader, sizes: ContextSizes) -> int:
    """Bytes of the buffer that holds numbers on their way: the largest of three moments, all float32.

    * attention without fusion: a score for every pair of head, batch row and cache row, the mask, and 4 rows of the
      model's width beside those of queries, keys and values;
    * feed-forward: 3 rows of its width and 4 of the model's, and the mask (of halves where attention is fused);
    * logits: one row of the vocabulary for every sequence.
    """
    rows, cells, width = sizes.n_batch_rows, sizes.n_cells, header.embedding_length
    mask = rows * cells * (_HALF_BYTES if sizes.flash_attention else _FLOAT_BYTES)
    feed_forward = _FEED_FORWARD_ROWS * sizes.feed_forward_length + _WIDTHS_BESIDE_FEED_FORWARD * width
    moments = [rows * feed_forward * _FLOAT_BYTES + mask]
    if not sizes.flash_attention:
        queries = header.head_count * header.key_length
        keys_and_values = header.head_count_kv * (header.key_length + header.value_length)
        beside = _WIDTHS_BESIDE_SCORES * width + queries + keys_and_values
        moments.append(rows * (header.head_count * cells + beside) * _FLOAT_BYTES + mask)
    logits = sizes.n_sequences * header.vocabulary_size + _WIDTHS_BESIDE_LOGITS * rows * width
    return max(*moments, logits * _FLOAT_BYTES)


def output_buffer_bytes(header: GgufHeader, sizes: ContextSizes) -> int:
    """Bytes of the logits that are read back: one row of the vocabulary for every sequence."""
    return sizes.n_sequences * header.vocabulary_size * _FLOAT_BYTES


def scratch_bytes(header: GgufHeader, sizes: ContextSizes) -> int:
    """Bytes in which a processor's matrix products keep one operand once more.

    A batch's widest rows at 8 bits and a scale, or, where attention is not fused, all scores as half floats.
    """
    rows = sizes.n_batch_rows
    widest = rows * sizes.feed_forward_length * _Q8_0_BYTES // _Q8_0_WEIGHTS
    return widest if sizes.flash_attention else max(widest, rows * header.head_count * sizes.n_cells * _HALF_BYTES)


def vocabulary_bytes(header: GgufHeader) -> int:
    """Bytes of the vocabulary and its look-up tables."""
    return header.vocabulary_size * _BYTES_PER_TOKEN


def kept_budget(
    header: GgufHeader,
    context_length: int,
    asked_bytes: int | None,
    types: tuple[CacheType, CacheType] = ("f16", "f16"),
) -> int:
    """Bytes in which images' prefixes may be kept beside the cache: as asked for, or what is free up to 256 MiB."""
    if asked_bytes is not None:
        return asked_bytes
    weights, cache = header.tensor_bytes, cache_bytes(header, padded_context(context_length), types)
    return max(0, min(DEFAULT_KEPT_BYTES, psutil.virtual_memory().available - weights - cache))


def check_memory(
    header: GgufHeader,
    context_length: int,
    kept_bytes: int = 0,
    types: tuple[CacheType, CacheType] = ("f16", "f16"),
) -> None:
    """Refuse before the call what the system would kill the process for.

    Args:
        header: Of the model.
        context_length: Rows of the KV cache, as asked for.
        kept_bytes: Most bytes of prefixes kept beside it.
        types: Of the cache's keys and values.

    Raises:
        EngineError: Weights, KV cache and kept prefixes do not fit the free memory.
    """
    weights, cache = header.tensor_bytes, cache_bytes(header, padded_context(context_length), types)
    free = psutil.virtual_memory().available
    if weights + cache + kept_bytes > free:
        kept = f" and {_mib(kept_bytes)} for kept images" if kept_bytes else ""
        raise EngineError(
            f"the model needs {_mib(weights)} for weights and {_mib(cache)} for a context of {context_length} rows"
            f"{kept}, but {_mib(free)} are free",
            "Close other programs, choose a smaller context, keep fewer images, or choose a smaller model.",
        )


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:.0f} MiB"
