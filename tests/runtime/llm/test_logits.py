"""Log-probabilities of one row."""

import numpy as np
import pytest

from gpt4roi_runtime.llm.logits import likeliest, log_probabilities


def some_logits(n: int = 5000, seed: int = 0) -> np.ndarray:
    return 9 * np.random.default_rng(seed).standard_normal(n, dtype=np.float32)


def test_all_probabilities_sum_up_to_one() -> None:
    logits = some_logits()
    found = log_probabilities(logits, range(len(logits)))
    assert sum(np.exp(found)) == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(found, logits - np.logaddexp.reduce(logits.astype(np.float64)), atol=1e-12)


def test_large_logits_do_not_overflow() -> None:
    assert log_probabilities(np.array([3e38, 0, -3e38], dtype=np.float32), [0, 1]) == [0.0, -float(np.float32(3e38))]


def test_the_likeliest_are_sorted_and_ties_go_by_id() -> None:
    logits = np.array([1, 5, 3, 5, 3, 3], dtype=np.float32)
    assert likeliest(logits, 0) == []
    assert likeliest(logits, 1) == [1]
    assert likeliest(logits, 4) == [1, 3, 2, 4]
    assert likeliest(logits, 6) == [1, 3, 2, 4, 5, 0]
    assert likeliest(logits, 9) == [1, 3, 2, 4, 5, 0]
    many = some_logits()
    assert likeliest(many, 20) == np.argsort(-many, kind="stable")[:20].tolist()
