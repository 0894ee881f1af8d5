"""Native batches laid over our own arrays, made once and used for every call; knows no model and makes no call.

Every row belongs to one sequence. llama.cpp wants the positions of a sequence to rise by one from what it holds of it.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

from gpt4roi_runtime.arrays import TailRows


class RowBatch:
    """A batch of embeddings, up to ``batch_size`` of them."""

    def __init__(self, api: Any, batch_size: int, n_sequences: int) -> None:
        self._places = _Places(api, batch_size, n_sequences)
        self._batch = self._places.batch(token=None, embd=None)
        self._rows: TailRows | None = None

    def over(self, rows: TailRows, positions: Sequence[int], sequences: Sequence[int], *, n_wanted: int = 0) -> Any:
        """The batch over C-contiguous ``rows``, which stay alive as long as the batch points at them.

        Args:
            rows: Float32 ``[t d]``.
            positions: Of every row in its sequence.
            sequences: Of every row.
            n_wanted: How many rows at the end want logits.
        """
        self._rows = rows
        self._places.fill(positions, sequences, n_wanted)
        self._batch.n_tokens = len(rows)
        self._batch.embd = rows.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        return self._batch


class TokenBatch:
    """A batch of tokens, one a sequence; logits are wanted of all."""

    def __init__(self, api: Any, n_sequences: int) -> None:
        self._tokens = (api.llama_token * n_sequences)()
        self._places = _Places(api, n_sequences, n_sequences)
        self._batch = self._places.batch(token=self._tokens, embd=None)

    def holding(self, tokens: Sequence[int], positions: Sequence[int], sequences: Sequence[int]) -> Any:
        """The batch with these tokens at these positions of these sequences."""
        n = len(tokens)
        self._tokens[:n] = tokens
        self._places.fill(positions, sequences, n)
        self._batch.n_tokens = n
        return self._batch


class _Places:
    """Position, sequence and wish for logits of every row."""

    def __init__(self, api: Any, size: int, n_sequences: int) -> None:
        self._api = api
        self._positions = (api.llama_pos * size)()
        self._wants_logits = (ctypes.c_int8 * size)()
        self._counts = (ctypes.c_int32 * size)(*[1] * size)
        pointer = ctypes.POINTER(api.llama_seq_id)
        self._ids = [(api.llama_seq_id * 1)(sequence) for sequence in range(n_sequences)]
        self._pointers = [ctypes.cast(number, pointer) for number in self._ids]
        self._sequences = (pointer * size)(*[self._pointers[0]] * size)

    def fill(self, positions: Sequence[int], sequences: Sequence[int], n_wanted: int) -> None:
        n = len(positions)
        self._positions[:n] = list(positions)
        for row in range(n):
            self._wants_logits[row] = row >= n - n_wanted
        self._sequences[:n] = [self._pointers[sequence] for sequence in sequences]

    def batch(self, *, token: Any, embd: Any) -> Any:
        return self._api.llama_batch(
            n_tokens=0,
            token=token,
            embd=embd,
            pos=self._positions,
            n_seq_id=self._counts,
            seq_id=self._sequences,
            logits=self._wants_logits,
        )
