"""Repetitions, timed sections, spread."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt4roi_runtime.bench.measure import Clock, Sample, Trial, measure
from gpt4roi_runtime.bench.spread import deviation, mean


class FakeMeter:
    """Ten joules a section, or none."""

    source = "fake"

    def __init__(self, joules: float | None = 10.0) -> None:
        self.joules = joules
        self.running = False

    def start(self) -> None:
        assert not self.running
        self.running = True

    def stop(self) -> float | None:
        assert self.running
        self.running = False
        return self.joules


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_spread_is_that_of_the_standard_library(values: list[float]) -> None:
    assert mean(values) == statistics.fmean(values)
    assert deviation(values) == statistics.stdev(values)


def test_one_repetition_has_no_spread() -> None:
    assert (mean([3.0]), deviation([3.0]), mean([]), deviation([])) == (3.0, 0.0, 0.0, 0.0)


def test_sections_add_up_and_what_is_outside_does_not_count() -> None:
    clock = Clock(FakeMeter())
    before = clock.ns
    with clock.running():
        pass
    one = clock.ns
    with clock.running():
        pass
    clock.count(3)
    sample = clock.sample()
    assert before == 0
    assert 0 < one < sample.ns
    assert (sample.n_items, sample.energy_j) == (3, 20.0)


def test_a_section_that_fails_stops_the_meter() -> None:
    meter = FakeMeter()
    with pytest.raises(ValueError, match="x"), Clock(meter).running():
        raise ValueError("x")
    assert not meter.running


def test_energy_is_not_known_where_a_part_of_the_time_was_measured_by_others() -> None:
    clock = Clock(FakeMeter())
    with clock.running():
        pass
    clock.add_seconds(1.5)
    assert clock.ns >= 1_500_000_000
    assert clock.sample().energy_j is None
    failed = Clock(FakeMeter(None))
    with failed.running():
        pass
    assert failed.sample().energy_j is None


@pytest.mark.parametrize(("warm_up", "warms_up", "n_made"), [(True, True, 4), (False, True, 3), (True, False, 3)])
def test_a_warm_up_does_not_count(warm_up: bool, warms_up: bool, n_made: int) -> None:
    clocks: list[Clock] = []

    def once(clock: Clock) -> None:
        clocks.append(clock)
        with clock.running():
            clock.count(len(clocks))

    steps: list[str] = []
    test = Trial("one", "language", "token", once, warms_up=warms_up)
    found = measure(test, 3, warm_up=warm_up, meter=FakeMeter(), on_step=steps.append)
    assert len(clocks) == len(steps) == n_made
    assert [sample.n_items for sample in found.samples] == list(range(n_made - 2, n_made + 1))
    assert (found.warmed_up, found.power_source) == (n_made == 4, "fake")


def test_speed() -> None:
    assert Sample(2_000_000_000, 256, None).items_a_second == 128
