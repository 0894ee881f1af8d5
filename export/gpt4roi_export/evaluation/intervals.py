"""Intervals for shares of right answers; knows nothing of questions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z_95 = 1.959963984540054
"""So many standard errors hold 95 % of a normal distribution."""


@dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its 95 % interval."""

    estimate: float
    low: float
    high: float


def wilson(n_right: int, n: int) -> Interval:
    """Wilson's score interval for a share (1927); all of 0..1 where nothing was asked.

    Args:
        n_right: How many were right.
        n: Of so many.
    """
    if n == 0:
        return Interval(0.0, 0.0, 1.0)
    share, shrink = n_right / n, 1 + Z_95**2 / n
    middle = (share + Z_95**2 / (2 * n)) / shrink
    half = Z_95 / shrink * math.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n**2))
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def paired_difference(first: Sequence[bool], second: Sequence[bool]) -> Interval:
    """How much greater the share of right answers is in ``second``, where both were asked the same questions.

    Wald's interval after adding half an observation to each cell of the table of pairs (Agresti and Min, 2005), so that
    two runs without a difference do not come out as certain. The estimate itself is the plain difference.

    Args:
        first: Whether each question was answered rightly.
        second: The same questions in the same order.
    """
    n = len(first)
    if n == 0:
        return Interval(0.0, -1.0, 1.0)
    pairs = list(zip(first, second, strict=True))
    gained, lost = pairs.count((False, True)), pairs.count((True, False))
    n_added, gained_added, lost_added = n + 2.0, gained + 0.5, lost + 0.5
    middle = (gained_added - lost_added) / n_added
    spread = gained_added + lost_added - (gained_added - lost_added) ** 2 / n_added
    half = Z_95 * math.sqrt(spread) / n_added
    return Interval((gained - lost) / n, max(-1.0, middle - half), min(1.0, middle + half))
