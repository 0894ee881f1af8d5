"""Random numbers for tensors of any size, fast: one block is drawn, and every tensor is cut out of it at its own place.

The block's length is a prime, so rows of a matrix do not repeat. The same seed and name give the same numbers, on every
machine. Knows how large a weight of each kind has to be for activations to stay near 1, but no model.
"""

import hashlib
import math
from collections.abc import Iterator
from typing import Literal

import numpy as np

from gpt4roi_export.tensors import Array

Role = Literal["whole", "base", "delta"]
BLOCK_NUMBERS = 4_194_301
SMALL_BLOCK_NUMBERS = 262_139
_BELL_STD = 37837.2  # of four uniform numbers of 16 bits
_BIAS_STD = 0.02
_NORM_STD = 0.05
_EMBEDDING_STD = 0.3
_LOGIT_STD = 3.0
_DELTA_SHARE = 0.05


class Numbers:
    """Blocks of random numbers, scaled once for every size of weight.

    Args:
        seed: Of everything.
        block_numbers: Length of a block, a prime.
    """

    def __init__(self, seed: int, block_numbers: int = BLOCK_NUMBERS) -> None:
        self._seed = seed
        self._blocks: dict[tuple[float, float, str, Role], Array] = {}
        # Integers alone, which no processor rounds differently; four of them make something like a bell.
        generator = np.random.Generator(np.random.PCG64(seed))
        bits = generator.integers(0, 1 << 16, size=(4, block_numbers), dtype=np.uint16)
        self._bell = (bits.sum(axis=0, dtype=np.int64) - 2 * 0xFFFF).astype(np.float32) / np.float32(_BELL_STD)
        self._even = bits[0].astype(np.float32) / np.float32(1 << 15) - 1

    def pieces(self, name: str, shape: tuple[int, ...], dtype: str, role: Role, n_skipped: int = 0) -> Iterator[Array]:
        """A tensor in pieces, in C order.

        Args:
            name: Decides where in the block it begins, and how large its numbers are.
            shape: Of the whole tensor.
            dtype: NumPy's word.
            role: Of a base and its delta, which add up to the whole exactly.
            n_skipped: Numbers at the beginning that are not wanted.
        """
        mean, std = _mean(name), _std(name, shape)
        block = self._block(mean, std, dtype, role)
        digest = hashlib.sha256(f"{self._seed}:{name}".encode()).digest()
        at = (int.from_bytes(digest[:8], "little") + n_skipped) % len(block)
        left = math.prod(shape) - n_skipped
        while left:
            piece = block[at : at + left]
            yield piece
            left -= len(piece)
            at = 0

    def _block(self, mean: float, std: float, dtype: str, role: Role) -> Array:
        key = (mean, std, dtype, role)
        if key not in self._blocks:
            self._blocks[key] = self._made(mean, std, dtype, role)
        return self._blocks[key]

    def _made(self, mean: float, std: float, dtype: str, role: Role) -> Array:
        if role == "whole":
            numbers: Array = self._bell * np.float32(std) + np.float32(mean)
            return numbers.astype(dtype)
        whole = self._block(mean, std, dtype, "whole")
        if role == "base":
            # Within a factor of two of the whole, so that subtracting rounds nothing.
            numbers = whole.astype(np.float32) * (1 + np.float32(_DELTA_SHARE) * self._even)
            return numbers.astype(dtype)
        return np.subtract(whole, self._block(mean, std, dtype, "base"))


def _is_norm(name: str) -> bool:
    return name.endswith("weight") and ("norm" in name or ".gn." in name or name.endswith(_BOX_NORMS))


_BOX_NORMS = ("pos_embedd.2.weight", "pos_embedd.5.weight")


def _mean(name: str) -> float:
    return 1.0 if _is_norm(name) else 0.0


def _std(name: str, shape: tuple[int, ...]) -> float:
    if _is_norm(name):
        return _NORM_STD
    if len(shape) < 2:
        return _BIAS_STD
    if "embed_tokens" in name or "position_embedding" in name:
        return _EMBEDDING_STD
    fan_in = math.prod(shape[1:])
    return (_LOGIT_STD if name.startswith("lm_head") else 1.0) / math.sqrt(fan_in)
