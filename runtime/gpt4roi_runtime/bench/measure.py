"""Repeats a trial and notes what every repetition took; knows no engine, and prints nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import perf_counter_ns
from typing import Literal

from gpt4roi_runtime.bench.power import Meter
from gpt4roi_runtime.errors import EngineError

Kind = Literal["language", "vision", "pipeline"]
Item = Literal["token", "row", "image", "region", "answer", "load", "byte"]


class NotMeasured(EngineError):  # noqa: N818 - the other tests go on
    """A test that cannot be made with this bundle, engine or photo; the problem says why."""


@dataclass(frozen=True)
class Sample:
    """One repetition.

    Attributes:
        ns: Nanoseconds inside the timed sections.
        n_items: What was done in them: tokens, regions, ...
        energy_j: Joules inside them; None where nothing measures any.
    """

    ns: int
    n_items: int
    energy_j: float | None

    @property
    def items_a_second(self) -> float:
        """Speed."""
        return 1e9 * self.n_items / max(self.ns, 1)


class Clock:
    """Adds up the timed sections of one repetition.

    Attributes:
        ns: Nanoseconds so far.
        n_items: Items so far.
    """

    def __init__(self, meter: Meter | None) -> None:
        self._meter = meter
        self._energies: list[float | None] = []
        self.ns = 0
        self.n_items = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time and the energy of the block."""
        if self._meter is not None:
            self._meter.start()
        started = perf_counter_ns()
        try:
            yield
        finally:
            self.ns += perf_counter_ns() - started
            if self._meter is not None:
                self._energies.append(self._meter.stop())

    def add_seconds(self, seconds: float) -> None:
        """Count time that somebody else measured; its energy is not known."""
        self.ns += round(seconds * 1e9)
        self._energies.append(None)

    def count(self, n_items: int) -> None:
        """Count what was done."""
        self.n_items += n_items

    def sample(self) -> Sample:
        """The repetition."""
        known = [energy for energy in self._energies if energy is not None]
        whole = bool(known) and len(known) == len(self._energies)
        return Sample(self.ns, self.n_items, sum(known) if whole else None)


@dataclass(frozen=True)
class Trial:
    """What is repeated.

    Attributes:
        name: Of the test, the same in every run that measures the same.
        kind: Which part of the program it measures.
        item: What ``Clock.count`` counts.
        once: One repetition; what it prepares stays outside of the clock's sections.
        n_prompt: Rows of a prompt, where that is what is measured.
        n_gen: Tokens, likewise.
        n_depth: Rows in the KV cache before.
        n_regions: Boxes.
        warms_up: Whether a first repetition that does not count makes the others alike.
    """

    name: str
    kind: Kind
    item: Item
    once: Callable[[Clock], None]
    n_prompt: int = 0
    n_gen: int = 0
    n_depth: int = 0
    n_regions: int = 0
    warms_up: bool = True


@dataclass(frozen=True)
class Measured:
    """A trial and its repetitions.

    Attributes:
        trial: What was repeated.
        samples: Of every repetition that counts.
        warmed_up: Whether one was left out before them.
        power_source: Which sensors measured energy.
    """

    trial: Trial
    samples: tuple[Sample, ...]
    warmed_up: bool
    power_source: str | None = None


OnStep = Callable[[str], None]
"""Hears what is done next, in words."""


def measure(trial: Trial, n_repetitions: int, *, warm_up: bool, meter: Meter | None, on_step: OnStep) -> Measured:
    """Repeat a trial.

    Raises:
        NotMeasured: It cannot be made here.
        EngineError: An engine failed.
    """
    warm_up = warm_up and trial.warms_up
    if warm_up:
        on_step(f"{trial.name}: warm-up")
        trial.once(Clock(None))
    samples = []
    for number in range(1, n_repetitions + 1):
        on_step(f"{trial.name}: {number}/{n_repetitions}")
        clock = Clock(meter)
        trial.once(clock)
        samples.append(clock.sample())
    measured = Measured(trial, tuple(samples), warm_up)
    has_energy = meter is not None and any(sample.energy_j is not None for sample in samples)
    return replace(measured, power_source=meter.source) if meter is not None and has_energy else measured
