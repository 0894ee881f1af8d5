"""A low-rank adapter on disk: a safetensors file with two factors for every adapted matrix of a GGUF.

The tensors bear the GGUF's names, ``blk.3.attn_q.weight.lora_a`` and ``.lora_b``, and **their rows are in the GGUF's
order**. That order differs from Hugging Face's for ``attn_q`` and ``attn_k``; whoever trains in the latter calls
``permute_rows`` before writing. The only metadata is ``scale``: a second key would make the file's bytes depend on
chance. Does not know torch, nor the model that is adapted.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float16, Shaped
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from gpt4roi_runtime.backends.gguf_header import MAX_WIDTH
from gpt4roi_runtime.errors import BundleError
from gpt4roi_runtime.storage import written_aside

PARTS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
"""Matrices of a layer that may be adapted."""
MAX_BYTES = 1 << 30
MAX_RANK = 1024
MAX_SCALE = 1024.0

_SCALE = "scale"
_NAME = re.compile(rf"(blk\.[0-9]{{1,3}}\.(?:{'|'.join(PARTS)})\.weight)\.lora_([ab])")
_DTYPE = "F16"


@dataclass(frozen=True)
class LowRank:
    """What is added to one matrix, as ``scale * b @ a``.

    Attributes:
        a: First factor; its width is the matrix's input.
        b: Second factor; its rows are the matrix's output, in the GGUF's order.
    """

    a: Float16[np.ndarray, "rank width"]
    b: Float16[np.ndarray, "n_rows rank"]


@dataclass(frozen=True)
class Adapter:
    """Everything that tuning changed in a language model.

    Attributes:
        pairs: Name of the GGUF's tensor -> its factors; at least one.
        scale: Factor on every product, alpha / rank.
    """

    pairs: Mapping[str, LowRank]
    scale: float


def read_adapter(path: Path) -> Adapter:
    """Read an adapter from a stranger.

    Raises:
        BundleError: It is missing, damaged or too large, or holds anything but finite pairs of half floats.
    """
    try:
        if (n_bytes := path.stat().st_size) > MAX_BYTES:
            raise _wrong(path, f"it has {n_bytes} bytes, expected at most {MAX_BYTES}")
        with safe_open(path, framework="np") as file:
            scale = _scale_in(path, file.metadata() or {})
            names = _pair_names(path, file.keys())
            pairs = {name: LowRank(**_factors(path, file, name)) for name in names}
    except OSError as failed:
        raise BundleError(f"cannot read {path}: {failed.strerror or failed}", _TRAIN_AGAIN) from failed
    except SafetensorError as damaged:
        raise _wrong(path, str(damaged)) from damaged
    return Adapter(pairs=pairs, scale=scale)


def write_adapter(path: Path, adapter: Adapter) -> None:
    """Write an adapter, the same bytes for the same adapter.

    Raises:
        BundleError: It is one that ``read_adapter`` would refuse.
        OutputError: The file cannot be written.
    """
    tensors = {
        f"{name}.lora_{letter}": np.ascontiguousarray(factor)
        for name, pair in adapter.pairs.items()
        for letter, factor in (("a", pair.a), ("b", pair.b))
    }
    _pair_names(path, tensors)
    _check_scale(path, adapter.scale)
    for name, factor in tensors.items():
        _check_finite(path, name, factor)
    content = save(tensors, {_SCALE: repr(float(adapter.scale))})
    with written_aside(path) as file:
        file.write(content)


def permute_rows(b: Shaped[np.ndarray, "n_rows rank"], n_heads: int) -> Shaped[np.ndarray, "n_rows rank"]:
    """Rows of ``attn_q`` or ``attn_k`` from Hugging Face's order to the GGUF's.

    Rotary positions turn pairs of rows. Hugging Face pairs a row with the one half a head further on, llama.cpp with
    its neighbour; so in every head the two halves are interleaved.

    Args:
        b: Second factor of the adapter, or a whole matrix, in Hugging Face's order.
        n_heads: Query heads for ``attn_q``, key heads for ``attn_k``.

    Returns:
        A copy in the GGUF's order.

    Raises:
        ValueError: The rows are not an even number for every head.
    """
    n_rows = b.shape[0]
    if n_heads < 1 or n_rows % (2 * n_heads):
        raise ValueError(f"{n_rows} rows for {n_heads} heads, expected a multiple of {2 * n_heads}")
    halves = b.reshape(n_heads, 2, n_rows // n_heads // 2, -1)
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(b.shape)


_TRAIN_AGAIN = "Fetch the adapter again, or write it again with write_adapter."


def _scale_in(path: Path, metadata: Mapping[str, str]) -> float:
    text = metadata.get(_SCALE)
    if text is None:
        raise _wrong(path, f"its metadata lack {_SCALE!r}")
    try:
        scale = float(text)
    except ValueError as not_a_number:
        raise _wrong(path, f"its scale is {text[:40]!r}, expected a number") from not_a_number
    _check_scale(path, scale)
    return scale


def _check_scale(path: Path, scale: float) -> None:
    if not 0.0 < scale <= MAX_SCALE:
        raise _wrong(path, f"its scale is {scale}, expected a number above 0 and up to {MAX_SCALE:g}")


def _pair_names(path: Path, names: Iterable[str]) -> tuple[str, ...]:
    """Matrices of which both factors are there, sorted; anything else is refused."""
    letters: dict[str, set[str]] = {}
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None:
            raise _wrong(path, f"it holds {name[:80]!r}, expected names such as 'blk.0.attn_q.weight.lora_a'")
        letters.setdefault(match[1], set()).add(match[2])
    if not letters:
        raise _wrong(path, "it is empty, expected at least one pair of factors")
    for name, found in letters.items():
        if found != {"a", "b"}:
            raise _wrong(path, f"{name} has only lora_{found.pop()}, expected lora_a and lora_b")
    return tuple(sorted(letters))


def _factors(path: Path, file: Any, name: str) -> dict[str, np.ndarray]:
    """Both factors of one matrix; their sizes are checked before any number is read."""
    shapes = {letter: _shape_of(path, file, f"{name}.lora_{letter}") for letter in "ab"}
    rank = shapes["a"][0]
    if rank != shapes["b"][1] or rank > MAX_RANK:
        raise _wrong(
            path,
            f"the factors of {name} are {shapes['a']} and {shapes['b']}, "
            f"expected (rank, width) and (rows, rank) with one rank up to {MAX_RANK}",
        )
    factors = {letter: file.get_tensor(f"{name}.lora_{letter}") for letter in "ab"}
    for letter, factor in factors.items():
        _check_finite(path, f"{name}.lora_{letter}", factor)
    return factors


def _shape_of(path: Path, file: Any, name: str) -> tuple[int, ...]:
    piece = file.get_slice(name)
    dtype, shape = piece.get_dtype(), tuple(piece.get_shape())
    if dtype != _DTYPE:
        raise _wrong(path, f"{name} is of type {dtype}, expected {_DTYPE}")
    if len(shape) != 2 or not all(1 <= axis <= MAX_WIDTH for axis in shape):
        raise _wrong(path, f"{name} has shape {shape}, expected two axes of 1 to {MAX_WIDTH}")
    return shape


def _check_finite(path: Path, name: str, factor: np.ndarray) -> None:
    if not np.isfinite(factor).all():
        raise _wrong(path, f"{name} holds NaN or infinity")


def _wrong(path: Path, what: str) -> BundleError:
    return BundleError(f"{path} is not a usable adapter: {what}", _TRAIN_AGAIN)
