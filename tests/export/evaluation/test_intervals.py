import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt4roi_export.evaluation.intervals import paired_difference, wilson


@pytest.mark.parametrize(
    ("n_right", "n", "low", "high"),
    [
        # Newcombe (1998), Statistics in Medicine 17, table I, method 3: the score interval.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(n_right: int, n: int, low: float, high: float) -> None:
    interval = wilson(n_right, n)
    assert interval.estimate == n_right / n
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


def test_nothing_asked_is_nothing_known() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)
    assert (paired_difference([], []).low, paired_difference([], []).high) == (-1.0, 1.0)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_estimate_and_mirrors(counts: tuple[int, int]) -> None:
    n_right, n = counts
    interval, mirrored = wilson(n_right, n), wilson(n - n_right, n)
    assert 0 <= interval.low <= interval.estimate + 1e-12
    assert interval.estimate - 1e-12 <= interval.high <= 1
    assert interval.low == pytest.approx(1 - mirrored.high, abs=1e-12)


def test_a_paired_difference_by_hand() -> None:
    # 10 gained, 4 lost, 86 unchanged: (10.5 - 4.5) / 102 +- 1.96 sqrt(15 - 36 / 102) / 102
    first = [False] * 10 + [True] * 4 + [True] * 86
    second = [True] * 10 + [False] * 4 + [True] * 86
    interval = paired_difference(first, second)
    assert interval.estimate == pytest.approx(0.06)
    assert (interval.low, interval.high) == pytest.approx((6 / 102 - 0.073542, 6 / 102 + 0.073542), abs=1e-4)


def test_two_equal_runs_are_not_certain_to_be_equal() -> None:
    interval = paired_difference([True, False] * 20, [True, False] * 20)
    assert interval.estimate == 0
    assert interval.low < 0 < interval.high


def test_runs_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="longer"):
        paired_difference([True], [True, False])
