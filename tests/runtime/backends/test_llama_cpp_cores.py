"""The number of threads against made-up loads."""

import pytest

from gpt4roi_runtime.backends.llama_cpp_cores import CpuSeconds, FreeCores, cpu_seconds


@pytest.mark.parametrize(
    ("most", "idle", "own", "expected"),
    [
        (2, 2.0, 0.0, 2),  # nobody works
        (2, 0.0, 2.0, 2),  # only we work
        (2, 0.3, 1.5, 2),  # a little background
        (2, 0.3, 1.2, 1),  # half a core is another's
        (2, 0.0, 1.0, 1),  # a whole core is another's
        (2, 0.0, 0.1, 1),  # others have nearly all
        (4, 6.0, 1.0, 4),  # eight processors, one of them busy: all four may work
        (4, 0.0, 3.0, 3),
    ],
)
def test_threads_follow_what_others_leave(most: int, idle: float, own: float, expected: int) -> None:
    moments = iter([CpuSeconds(-10.0, 100.0, 5.0), CpuSeconds(-9.0, 100.0 + idle, 5.0 + own)])
    cores = FreeCores(most, n_processors=8, clocks=lambda: next(moments))
    assert cores.threads() == expected


def test_a_recent_measurement_is_kept() -> None:
    cores = FreeCores(3)
    assert cores.threads() == 3  # nothing was measured yet


def test_clocks_run() -> None:
    first, second = cpu_seconds(), cpu_seconds()
    assert second.wall >= first.wall
    assert second.own >= first.own
