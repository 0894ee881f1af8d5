"""The KV cache of one context of llama.cpp: what lies in it, what may stay, and what is put aside for later.

Sequence 0 holds the prompt that is worked on, the others the answers written side by side behind it. New rows always
take the lowest free cells, so a kept prefix lies where a computed one would, and every number after it comes out the
same. Knows no batch and no token.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpt4roi_runtime.backends.llama_cpp_pieces import KeptAside, Piece, State, n_common

PROMPT = 0
"""The sequence of the prompt."""

_OVERWRITE = False  # an empty cache needs no zeros
_TO_THE_END = -1


class NativeCache:
    """What is in the cache, and the only calls that change that without computing. Used in the engine's thread.

    Attributes:
        pieces: Of the prompt in the cache.
        aside: Prefixes of other images.
    """

    def __init__(self, api: Any, context: Any, n_sequences: int, budget_bytes: int) -> None:
        self._api = api
        self._context = context
        self._memory = api.llama_get_memory(context)
        self._n_sequences = n_sequences
        self._n_prefix = 0
        self.pieces: tuple[Piece, ...] = ()
        self.aside = KeptAside(budget_bytes)

    def forget(self) -> None:
        """Empty the cache; what was put aside stays."""
        self.pieces = ()
        self._api.llama_memory_clear(self._memory, _OVERWRITE)

    def begin(self, plan: Sequence[Piece], n_prefix: int, n_at_most: int) -> int:
        """Make the cache hold the longest beginning of ``plan`` that is there or aside, and nothing else.

        Args:
            plan: The prompt to come.
            n_prefix: Pieces of it that are worth keeping when another image takes their place.
            n_at_most: Pieces that may stay.

        Returns:
            Number of pieces of ``plan`` that need not be computed.
        """
        n_kept = min(n_at_most, n_common(self.pieces, plan))
        prefix = plan[: min(n_prefix, n_at_most)]
        state = self.aside.take(prefix[-1].key) if n_kept < len(prefix) else None  # it may have to make room
        if n_kept < self._n_prefix:
            self._put_aside()
        if state is not None and self._bring_back(state, prefix):
            n_kept = len(prefix)
        self.pieces = tuple(plan[:n_kept])
        self._n_prefix = n_prefix
        self.drop_unfinished()
        return len(self.pieces)

    def add(self, piece: Piece) -> None:
        """Note that a piece was computed."""
        self.pieces = (*self.pieces, piece)

    def drop_unfinished(self) -> None:
        """Remove every row behind the noted pieces; where that fails, all of them."""
        end = self.pieces[-1].end if self.pieces else 0
        if end == 0 or not self._cut(end):
            self.forget()

    def holds(self, prefix: Sequence[Piece]) -> bool:
        """Whether a prefix lies here or aside."""
        return n_common(self.pieces, prefix) == len(prefix) or self.aside.look(prefix[-1].key) is not None

    def write(self, prefix: Sequence[Piece]) -> State | None:
        """A prefix that lies here or aside as bytes; of a prompt that begins with it, only the prefix stays."""
        state = self.aside.look(prefix[-1].key)
        if state is not None or n_common(self.pieces, prefix) < len(prefix):
            return state
        self.pieces = tuple(prefix)
        self.drop_unfinished()
        return self._written(self._size()) if self.pieces else None

    def read(self, prefix: Sequence[Piece], state: State) -> bool:
        """Make the cache hold a prefix and nothing else, from its bytes; where that fails, nothing."""
        if self._n_prefix:
            self._put_aside()
        is_there = self._bring_back(state, prefix)
        self.pieces = tuple(prefix) if is_there else ()
        self._n_prefix = len(self.pieces)
        return is_there

    def fork(self, sequence: int) -> None:
        """Let another, empty sequence begin with all rows of the prompt; costs nothing."""
        self._check(sequence)
        self._api.llama_memory_seq_cp(self._memory, PROMPT, sequence, 0, _TO_THE_END)

    def remove(self, sequence: int) -> None:
        """Empty one of the other sequences; the prompt's rows stay with the prompt."""
        self._check(sequence)
        self._api.llama_memory_seq_rm(self._memory, sequence, 0, _TO_THE_END)

    def lengths(self) -> tuple[int, ...]:
        """Rows of every sequence, the prompt's first."""
        return tuple(self._length(sequence) for sequence in range(self._n_sequences))

    def _check(self, sequence: int) -> None:
        """llama.cpp would take any number without a word, or abort."""
        if not PROMPT < sequence < self._n_sequences:
            raise IndexError(f"sequence {sequence} of {self._n_sequences}")

    def _length(self, sequence: int) -> int:
        return int(self._api.llama_memory_seq_pos_max(self._memory, sequence)) + 1

    def _cut(self, end: int) -> bool:
        """Leave the prompt's first ``end`` rows."""
        removed = bool(self._api.llama_memory_seq_rm(self._memory, PROMPT, end, _TO_THE_END))
        return removed and self._length(PROMPT) == end

    def _put_aside(self) -> None:
        """Write the prefix out before it is lost, if it is whole and not too large."""
        if len(self.pieces) < self._n_prefix:
            return
        prefix = self.pieces[self._n_prefix - 1]
        if not self.aside.takes(1) or not self._cut(prefix.end):
            return
        n_bytes = self._size()
        if self.aside.takes(n_bytes) and (state := self._written(n_bytes)) is not None:
            self.aside.put(prefix.key, state)

    def _size(self) -> int:
        """Bytes of the prompt's sequence, written out."""
        return int(self._api.llama_state_seq_get_size(self._context, PROMPT))

    def _written(self, n_bytes: int) -> State | None:
        """The prompt's sequence written out, or None where that fails or there is no memory for it."""
        try:
            state = np.empty(n_bytes, dtype=np.uint8)
        except MemoryError:
            return None
        n_written = self._api.llama_state_seq_get_data(self._context, _address(state), n_bytes, PROMPT)
        return state if 0 < n_written == n_bytes else None

    def _bring_back(self, state: State, prefix: Sequence[Piece]) -> bool:
        """Read a prefix in again; a sequence that could not be read whole must not stay, it could not be written."""
        self.forget()
        n_read = self._api.llama_state_seq_set_data(self._context, _address(state), state.nbytes, PROMPT)
        if n_read != state.nbytes or self._length(PROMPT) != prefix[-1].end or self._size() != n_read:
            self.forget()
            return False
        return True


def _address(state: State) -> Any:
    return state.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
