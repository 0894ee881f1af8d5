"""How many threads pay off right now, from how busy other processes keep the machine; knows no engine.

llama.cpp's threads wait for each other some five hundred times a token. Where one of them has to share its core with
another process, all of them wait for the scheduler: on two cores, two threads beside one busy process decode five to
fifty times slower than one thread does.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

_AGAIN_AFTER_S = 0.25
_SPARE_CORES = 0.25  # what a quiet machine does in the background may be shared


@dataclass(frozen=True)
class CpuSeconds:
    """Clocks of one moment, in seconds.

    Attributes:
        wall: Of the wall.
        idle: Of all processors together, doing nothing.
        own: Of this process, all threads together.
    """

    wall: float
    idle: float
    own: float


def cpu_seconds() -> CpuSeconds:
    """The clocks now."""
    machine = psutil.cpu_times()
    idle: float = machine.idle + getattr(machine, "iowait", 0.0)
    return CpuSeconds(wall=time.monotonic(), idle=idle, own=time.process_time())


class FreeCores:
    """A number of threads that follows the load of the machine.

    Args:
        most: Never more threads than this.
        n_processors: Processors of the machine.
        clocks: Where the time is read.
    """

    def __init__(
        self, most: int, n_processors: int | None = None, clocks: Callable[[], CpuSeconds] = cpu_seconds
    ) -> None:
        self._most = most
        self._n_processors = n_processors or psutil.cpu_count() or most
        self._clocks = clocks
        self._last = clocks()
        self._threads = most

    def threads(self) -> int:
        """Threads for the work to come, measured anew when the last measurement is a quarter of a second old."""
        if self._threads_are_recent():
            return self._threads
        now, last = self._clocks(), self._last
        self._last = now
        wall = now.wall - last.wall
        if wall > 0:
            free = (now.idle - last.idle + now.own - last.own) / wall
            self._threads = max(1, min(self._most, int(min(free, self._n_processors) + _SPARE_CORES)))
        return self._threads

    def _threads_are_recent(self) -> bool:
        return self._most == 1 or time.monotonic() - self._last.wall < _AGAIN_AFTER_S
