from typing import NoReturn

import pytest

from gpt4roi_runtime.timing import Stopwatch


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time a stopwatch reads, in one place, without waiting."""
    now_s = [100.0]
    monkeypatch.setattr("gpt4roi_runtime.timing.perf_counter", lambda: now_s[0])
    return now_s


def test_stages_stand_in_the_order_they_were_first_measured(clock: list[float]) -> None:
    watch = Stopwatch()
    for stage, seconds in (("encode", 2.0), ("decode", 0.5), ("encode", 1.0)):
        with watch.measure(stage):
            clock[0] += seconds
    assert list(watch.seconds.items()) == [("encode", 3.0), ("decode", 0.5)]


def test_a_stage_that_fails_is_measured_and_its_error_goes_on(clock: list[float]) -> None:
    watch = Stopwatch()

    def fail() -> NoReturn:
        with watch.measure("load"):
            clock[0] += 4.0
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert watch.seconds == {"load": 4.0}


def test_stages_may_lie_in_one_another(clock: list[float]) -> None:
    watch = Stopwatch()
    with watch.measure("all"):
        clock[0] += 1.0
        with watch.measure("part"):
            clock[0] += 2.0
    assert watch.seconds == {"part": 2.0, "all": 3.0}


def test_what_is_handed_out_is_a_copy() -> None:
    watch = Stopwatch()
    watch.add("encode", 1.0)
    watch.seconds["encode"] = 9.0
    assert watch.seconds == {"encode": 1.0}


def test_a_new_stopwatch_has_measured_nothing() -> None:
    assert Stopwatch().seconds == {}
