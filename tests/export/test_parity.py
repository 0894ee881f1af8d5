import numpy as np
import pytest

from gpt4roi_export.parity import ParityLimits, compare
from gpt4roi_runtime.errors import NumericError

ONES = np.ones((2, 3), dtype=np.float32)


def test_equal_arrays_have_no_difference() -> None:
    (stage,) = compare({"levels": ONES}, {"levels": ONES.copy(), "more": ONES}).stages
    assert (stage.max_abs, stage.relative_error, stage.off) == (0.0, 0.0, "")
    assert stage.cosine == pytest.approx(1.0)


def test_all_stages_that_are_off_are_listed_in_order() -> None:
    reference = {"first": ONES, "second": ONES, "third": ONES}
    report = compare(reference, {"first": ONES, "second": ONES * 1.01, "third": -ONES})
    assert [stage.stage for stage in report.off] == ["second", "third"]
    assert report.off[0].relative_error == pytest.approx(0.01, rel=1e-3)
    with pytest.raises(NumericError, match=r"2 of 3 stages .* second: relative error 1\.00e-02.*; third:"):
        report.require()


def test_limits_are_the_callers() -> None:
    compare({"a": ONES}, {"a": ONES * 1.01}, ParityLimits(relative_error=0.02)).require()


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        ({}, "missing"),
        ({"a": ONES[:1]}, r"shape \(1, 3\), expected \(2, 3\)"),
        ({"a": ONES * np.float32("nan")}, "NaN"),
        ({"a": ONES * np.float32("inf")}, "infinity"),
    ],
)
def test_what_cannot_be_compared_is_off(candidate: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(NumericError, match=words):
        compare({"a": ONES}, candidate).require()


def test_zeros_equal_only_zeros() -> None:
    zeros = np.zeros(4, dtype=np.float32)
    compare({"a": zeros}, {"a": zeros}).require()
    assert compare({"a": zeros}, {"a": ONES.ravel()[:4]}).off


def test_a_broken_reference_proves_nothing() -> None:
    good = np.ones((2, 2), dtype=np.float32)
    for broken in (np.nan, np.inf):
        reference = good.copy()
        reference[0, 0] = broken
        with pytest.raises(NumericError, match="in the reference"):
            compare({"stage": reference}, {"stage": good}).require()
    with pytest.raises(NumericError, match="no stage"):
        compare({}, {"stage": good})
