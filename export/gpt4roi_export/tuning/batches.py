"""Which items make up which step, drawn from seed and epoch alone, so that a resumed run goes on identically.

Does not know what an item is, only how many rows it has and which picture it needs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_POOL_STEPS = 16
"""Items of so many steps are sorted by length together: attention is padded to the longest of a step."""


@dataclass(frozen=True)
class Items:
    """What there is to learn from.

    Attributes:
        lengths: Rows of every item.
        pictures: Picture of every item, or -1.
        weights: How often an epoch shows every item.
    """

    lengths: NDArray[np.int64]
    pictures: NDArray[np.int64]
    weights: NDArray[np.float64]


@dataclass(frozen=True)
class StepLimits:
    """How much fits a step.

    Attributes:
        tokens: Rows; one item may exceed it alone.
        pictures: Different pictures.
    """

    tokens: int
    pictures: int


def epoch_steps(items: Items, limits: StepLimits, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """The items of every step of an epoch, all of them drawn anew from ``seed`` and ``epoch``."""
    draw = np.random.default_rng((seed, epoch))
    n_times = np.floor(items.weights + draw.random(len(items.weights))).astype(np.int64)
    order = draw.permutation(np.repeat(np.arange(len(items.lengths)), n_times))
    if not len(order):
        return []
    n_per_pool = max(1, round(_POOL_STEPS * limits.tokens / float(items.lengths[order].mean())))
    steps: list[NDArray[np.int64]] = []
    for start in range(0, len(order), n_per_pool):
        pool = order[start : start + n_per_pool]
        steps += _cut(pool[np.argsort(items.lengths[pool], kind="stable")], items, limits)
    return [steps[index] for index in draw.permutation(len(steps))]


def _cut(sorted_pool: NDArray[np.int64], items: Items, limits: StepLimits) -> Iterator[NDArray[np.int64]]:
    step: list[int] = []
    n_rows, pictures = 0, set[int]()
    for item in sorted_pool.tolist():
        length, picture = int(items.lengths[item]), int(items.pictures[item])
        more_pictures = pictures | ({picture} if picture >= 0 else set())
        if step and (n_rows + length > limits.tokens or len(more_pictures) > limits.pictures):
            yield np.array(step)
            step, n_rows, more_pictures = [], 0, more_pictures - pictures
        step.append(item)
        n_rows, pictures = n_rows + length, more_pictures
    if step:
        yield np.array(step)
