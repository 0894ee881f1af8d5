"""Energy from a machine's own sensors, where it has any and they may be read; knows nothing of what is measured.

* INA sensors (hwmon): the rails of a Jetson, which ``tegrastats`` and ``jtop`` show too. Power is read many times a
  second and integrated; the rail of the whole board is taken if there is one, else all rails together.
* RAPL (powercap): counters of a desktop's processor packages, without memory and other devices.

All paths are below a root, so that a test can have a machine of its own.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Protocol, runtime_checkable

_WHOLE_BOARD = ("VDD_IN", "POM_5V_IN")
_INA_CHIPS = ("ina219", "ina226", "ina238", "ina3221")
_MAX_FILE_BYTES = 4096
_INTERVAL_S = 0.05
_PATIENCE_S = 5.0


@runtime_checkable
class Meter(Protocol):
    """Measures the energy between ``start`` and ``stop``."""

    @property
    def source(self) -> str:
        """Which sensors, for a person."""
        ...

    def start(self) -> None:
        """Begin."""
        ...

    def stop(self) -> float | None:
        """End; joules since ``start``, or None where a sensor failed."""
        ...


def find_meter(root: Path = Path("/")) -> Meter | None:
    """The best sensors of this machine, or None."""
    rails = _ina_rails(root)
    if rails:
        return RailMeter(rails)
    counters = _rapl_counters(root)
    return CounterMeter(counters) if counters else None


def read_words(path: Path) -> str | None:
    """A small text file, stripped; None where it is missing or may not be read."""
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE_BYTES).decode("utf-8", "replace").strip("\0 \n\t")
    except OSError:
        return None


def read_number(path: Path) -> int | None:
    """A small file that holds a whole number."""
    try:
        return int(read_words(path) or "")
    except ValueError:
        return None


@dataclass(frozen=True)
class Rail:
    """One measured supply; ``watts`` gives its power now, or None where it cannot be read."""

    name: str
    watts: Callable[[], float | None]


class RailMeter:
    """Integrates the power of rails by the trapezoid rule, read in a thread of its own."""

    def __init__(self, rails: Sequence[Rail], interval_s: float = _INTERVAL_S) -> None:
        self._rails = tuple(rails)
        self._interval_s = interval_s
        self._readings: list[tuple[float, float]] = []
        self._failed = False
        self._over = threading.Event()
        self._reader: threading.Thread | None = None

    @property
    def source(self) -> str:
        """Names of the rails."""
        return f"INA {'+'.join(rail.name for rail in self._rails)}"

    def start(self) -> None:
        """Begin."""
        self._readings, self._failed, self._over = [], False, threading.Event()
        self._read()
        self._reader = threading.Thread(target=self._follow, args=(self._over,), name="gpt4roi-power", daemon=True)
        self._reader.start()

    def stop(self) -> float | None:
        """End; joules since ``start``, or None where a sensor failed."""
        self._over.set()
        if self._reader is not None:
            self._reader.join(_PATIENCE_S)
        self._read()
        if self._failed:
            return None
        return sum((later - now) * (a + b) / 2 for (now, a), (later, b) in pairwise(self._readings))

    def _follow(self, over: threading.Event) -> None:
        while not over.wait(self._interval_s):
            self._read()

    def _read(self) -> None:
        watts = [rail.watts() for rail in self._rails]
        known = [value for value in watts if value is not None]
        self._failed = self._failed or len(known) < len(watts)
        self._readings.append((perf_counter(), sum(known)))


@dataclass(frozen=True)
class Counter:
    """A counter of microjoules that begins anew behind ``largest``."""

    name: str
    path: Path
    largest: int


class CounterMeter:
    """Differences of energy counters."""

    def __init__(self, counters: Sequence[Counter]) -> None:
        self._counters = tuple(counters)
        self._began: list[int | None] = []

    @property
    def source(self) -> str:
        """Names of the counters."""
        return f"RAPL {'+'.join(counter.name for counter in self._counters)}"

    def start(self) -> None:
        """Begin."""
        self._began = [read_number(counter.path) for counter in self._counters]

    def stop(self) -> float | None:
        """End; joules since ``start``, or None where a counter failed."""
        total = 0
        for counter, before in zip(self._counters, self._began, strict=True):
            now = read_number(counter.path)
            if now is None or before is None:
                return None
            total += now - before if now >= before else now + counter.largest - before
        return total / 1e6


def _ina_rails(root: Path) -> list[Rail]:
    rails = []
    for chip in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if read_words(chip / "name") in _INA_CHIPS:
            rails += [rail for channel in range(1, 4) if (rail := _ina_rail(chip, channel)) is not None]
    whole = [rail for rail in rails if rail.name in _WHOLE_BOARD]
    return whole[:1] or rails


def _ina_rail(chip: Path, channel: int) -> Rail | None:
    """A channel with a label, whose power can be read now."""
    power, volts, amperes = (chip / f"{kind}{channel}_input" for kind in ("power", "in", "curr"))

    def measured() -> float | None:
        microwatts = read_number(power)
        return None if microwatts is None else microwatts / 1e6

    def multiplied() -> float | None:
        millivolts, milliamperes = read_number(volts), read_number(amperes)
        return None if millivolts is None or milliamperes is None else millivolts * milliamperes / 1e6

    name = read_words(chip / f"in{channel}_label") or read_words(chip / f"power{channel}_label")
    for watts in (measured, multiplied):
        if watts() is not None:
            return Rail(name or f"{chip.name}.{channel}", watts)
    return None


def _rapl_counters(root: Path) -> list[Counter]:
    counters = []
    for zone in sorted((root / "sys/class/powercap").glob("intel-rapl:*")):
        name, energy, largest = read_words(zone / "name"), zone / "energy_uj", zone / "max_energy_range_uj"
        is_package = name is not None and name.startswith("package") and zone.name.count(":") == 1
        if is_package and read_number(energy) is not None:
            counters.append(Counter(str(name), energy, read_number(largest) or 0))
    return counters
