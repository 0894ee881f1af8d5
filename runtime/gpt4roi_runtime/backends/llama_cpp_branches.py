"""Answers written side by side: one sequence each, behind the rows that their prompts share; makes no native call."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpt4roi_runtime.arrays import TailRows

Rows = tuple[TailRows, list[int], list[int], int]
"""Rows of one call, their positions, their sequences, and how many of the last want logits."""


@dataclass
class Branch:
    """One of the answers.

    Attributes:
        number: Which one, from 0.
        position: Of its next row.
        sampler: Its chain, once tokens are wanted.
        n_left: Tokens it may still take.
        next_token: Chosen, and not fed yet.
        logits_at: The row of the last call whose logits are its own.
    """

    number: int
    position: int
    sampler: Any = None
    n_left: int = 0
    next_token: int | None = None
    logits_at: int = 0

    @property
    def sequence(self) -> int:
        """Its sequence in the KV cache; 0 is the prompt's."""
        return self.number + 1


def as_batches(tails: Sequence[TailRows], n_shared: int, batch_size: int) -> Iterator[Rows]:
    """The calls that put every tail behind the shared rows.

    The last rows of all tails come last and in one call, because logits live until the next call.

    Args:
        tails: Each float32 ``[t d]``, one row or more.
        n_shared: Rows before every tail.
        batch_size: Most rows of a call; no fewer than there are tails.
    """
    bodies = [(number, row) for number, tail in enumerate(tails) for row in range(len(tail) - 1)]
    lasts = [(number, len(tail) - 1) for number, tail in enumerate(tails)]
    while len(bodies) + len(lasts) > batch_size:
        call, bodies = bodies[:batch_size], bodies[batch_size:]
        yield _rows(tails, call, n_shared, 0)
    yield _rows(tails, [*bodies, *lasts], n_shared, len(lasts))


def _rows(tails: Sequence[TailRows], call: Sequence[tuple[int, int]], n_shared: int, n_wanted: int) -> Rows:
    rows = np.stack([tails[number][row] for number, row in call])
    return rows, [n_shared + row for _, row in call], [number + 1 for number, _ in call], n_wanted
