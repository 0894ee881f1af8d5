"""Seconds of each stage; knows no stage by name."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class Stopwatch:
    """Collects wall-clock seconds under names, in the order they were first measured."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time spent inside to ``stage``, also when it ends in an error."""
        start_s = perf_counter()
        try:
            yield
        finally:
            self.add(stage, perf_counter() - start_s)

    def add(self, stage: str, seconds: float) -> None:
        """Add ``seconds`` to ``stage``."""
        self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

    @property
    def seconds(self) -> dict[str, float]:
        """A copy of what was measured so far."""
        return dict(self._seconds)
