"""Rows for the tiny model of `tiny_gguf`, and a caller that never cancels."""

import numpy as np

from tests.helpers.tiny_gguf import WIDTH


def never() -> bool:
    """Do not cancel."""
    return False


def some_rows(n: int, seed: int = 0) -> np.ndarray:
    """Random rows, float32 ``[n WIDTH]``."""
    return np.random.default_rng(seed).standard_normal((n, WIDTH), dtype=np.float32)
