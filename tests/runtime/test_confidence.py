"""Probabilities of events that exclude one another."""

import math

import pytest

from gpt4roi_runtime.confidence import Choice, shares


def test_shares_are_proportions() -> None:
    assert shares([math.log(0.02), math.log(0.06)]) == pytest.approx((0.25, 0.75))


def test_shares_of_what_is_hardly_possible_are_shares_all_the_same() -> None:
    assert shares([-5000.0, -5000.0, -9000.0]) == pytest.approx((0.5, 0.5, 0.0))
    assert sum(shares([-700.0 - n / 7 for n in range(256)])) == pytest.approx(1, abs=1e-12)


def test_a_mean_is_of_a_token() -> None:
    assert Choice("a cat", -6.0, 3, 0.5).mean_log_likelihood == -2.0
