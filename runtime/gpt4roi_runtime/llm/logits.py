"""Logits -> log-probabilities, for one row at a time and only where somebody asks; knows no engine."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def log_probabilities(logits: npt.NDArray[np.float32], tokens: Sequence[int]) -> list[float]:
    """Natural logarithms of the probabilities of some tokens in one place, summed up in float64.

    Args:
        logits: Finite float32 ``[vocabulary]``.
        tokens: Ids.
    """
    most = float(logits.max())
    normaliser = most + float(np.log(np.exp(logits.astype(np.float64) - most).sum()))
    return [float(logits[token]) - normaliser for token in tokens]


def likeliest(logits: npt.NDArray[np.float32], n: int) -> list[int]:
    """Ids of the ``n`` likeliest tokens, the best first; of two as good as each other, the smaller id first."""
    if n < 1:
        return []
    least = np.partition(logits, -n)[-n] if n < len(logits) else logits.min()
    found = np.flatnonzero(logits >= least)  # in the order of ids, and a stable sort leaves it to ties
    order = np.argsort(-logits[found], kind="stable")[:n]
    return [int(token) for token in found[order]]
