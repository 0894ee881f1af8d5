"""Answers written side by side: one sequence each, behind the rows that their prompts share; makes no native call."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpt4roi_runtime.arrays import EmbeddingRows, TailRows

Rows = tuple[TailRows, list[int], list[int], int]
"""Rows of one call, their positions, their sequences, and how many of the last want logits."""


@dataclass
class Branch:
    """One of the answers.

    Attributes:
        number: Which one, from 0.
        sequence: Its place in the KV cache; 0 is the prompt's.
        position: Of its next row.
        tail: Rows of its prompt that are not computed yet.
        sampler: Its chain, once tokens are wanted.
        n_left: Tokens it may still take.
        next_token: Chosen, and not fed yet.
        logits_at: The row of the last call whose logits are its own.
    """

    number: int
    sequence: int
    position: int
    tail: EmbeddingRows | None = None
    sampler: Any = None
    n_left: int = 0
    next_token: int | None = None
    logits_at: int = 0


@dataclass(frozen=True)
class Run:
    """Rows that go on one sequence, one or more; logits are wanted of the last.

    Attributes:
        rows: Float32 ``[t d]``.
        position: Of the first.
        sequence: In the KV cache.
    """

    rows: TailRows
    position: int
    sequence: int


@dataclass(frozen=True)
class Running:
    """How a group of answers stands after a step.

    Attributes:
        numbers: The answers that are being written.
        n_free: Places for whom nobody waits.
    """

    numbers: tuple[int, ...] = field(default=())
    n_free: int = 0


def as_batches(runs: Sequence[Run], batch_size: int) -> Iterator[Rows]:
    """The calls that compute all runs.

    The last rows of all come last and in one call, in the order of the runs, because logits live until the next call.

    Args:
        runs: No more than a call takes rows.
        batch_size: Most rows of a call.
    """
    bodies = [(run, row) for run in runs for row in range(len(run.rows) - 1)]
    lasts = [(run, len(run.rows) - 1) for run in runs]
    while len(bodies) + len(lasts) > batch_size:
        call, bodies = bodies[:batch_size], bodies[batch_size:]
        yield _rows(call, 0)
    yield _rows([*bodies, *lasts], len(lasts))


def _rows(call: Sequence[tuple[Run, int]], n_wanted: int) -> Rows:
    rows = np.stack([run.rows[row] for run, row in call])
    return rows, [run.position + row for run, row in call], [run.sequence for run, _ in call], n_wanted
