"""Which rows lie in the KV cache, call by call, and the prefixes of other images kept aside within a byte budget.

Bookkeeping only: knows no native function. Rows count as the same only if they are equal byte for byte and were
computed in calls of the same sizes, because kernels depend on the size of a call: a kept row is then the very row that
would be computed again.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from gpt4roi_runtime.arrays import EmbeddingRows

State = npt.NDArray[np.uint8]
"""A sequence of the KV cache as the engine writes it out."""


@dataclass(frozen=True)
class Piece:
    """Rows of a prompt that are computed in one call.

    Attributes:
        start: Its first row.
        end: The row behind its last one.
        key: SHA-256 of the rows of this piece and, by its key, of the pieces before it.
    """

    start: int
    end: int
    key: bytes


def split(rows: EmbeddingRows, n_prefix: int, batch_size: int) -> tuple[Piece, ...]:
    """The calls in which a prompt is computed, whatever lies in the cache.

    Args:
        rows: Float32 ``[t d]``, C-contiguous.
        n_prefix: Rows at the beginning that share no call with those behind them.
        batch_size: Most rows of a call.
    """
    starts = [*range(0, n_prefix, batch_size), *range(n_prefix, len(rows), batch_size)]
    pieces: list[Piece] = []
    key = b""
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        digest = sha256(key)
        digest.update(rows[start:end].data.cast("B"))
        key = digest.digest()
        pieces.append(Piece(start, end, key))
    return tuple(pieces)


def n_common(some: Sequence[Piece], others: Sequence[Piece]) -> int:
    """Number of pieces that both begin with."""
    count = 0
    for one, other in zip(some, others, strict=False):
        if one != other:
            break
        count += 1
    return count


class KeptAside:
    """Prefixes written out of the KV cache; the one used longest ago goes first when the bytes run out."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._states: OrderedDict[bytes, State] = OrderedDict()

    @property
    def n_bytes(self) -> int:
        """Bytes kept now."""
        return sum(state.nbytes for state in self._states.values())

    def takes(self, n_bytes: int) -> bool:
        """Whether a prefix of that size could be kept at all."""
        return n_bytes <= self._budget_bytes

    def put(self, key: bytes, state: State) -> None:
        """Keep a prefix that ``takes`` accepted; others go as the budget says."""
        self._states[key] = state
        while self.n_bytes > self._budget_bytes:
            self._states.popitem(last=False)

    def take(self, key: bytes) -> State | None:
        """The prefix, which is kept here no longer, or None: in the cache and here it would take the bytes of two."""
        return self._states.pop(key, None)

    def look(self, key: bytes) -> State | None:
        """The same, and it stays here."""
        return self._states.get(key)
