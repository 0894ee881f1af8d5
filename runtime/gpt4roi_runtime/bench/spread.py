"""Mean and spread of repetitions, as llama-bench works them out; knows nothing of what was repeated."""

import statistics
from collections.abc import Sequence


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean; 0 of nothing."""
    return statistics.fmean(values) if values else 0.0


def deviation(values: Sequence[float]) -> float:
    """Sample standard deviation, over n - 1; 0 of fewer than two."""
    return statistics.stdev(values) if len(values) > 1 else 0.0
