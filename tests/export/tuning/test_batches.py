import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt4roi_export.tuning.batches import Items, StepLimits, epoch_steps


def items_of(lengths: list[int], pictures: list[int] | None = None, weight: float = 1.0) -> Items:
    n = len(lengths)
    return Items(np.array(lengths), np.array(pictures or [-1] * n), np.full(n, weight))


@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=80),
    limit=st.integers(20, 120),
    seed=st.integers(0, 100),
)
def test_an_epoch_shows_everything_once_within_the_limits(lengths: list[int], limit: int, seed: int) -> None:
    steps = epoch_steps(items_of(lengths), StepLimits(limit, 4), seed, 0)
    assert sorted(np.concatenate(steps).tolist()) == list(range(len(lengths)))
    for step in steps:
        assert len(step) == 1 or sum(lengths[item] for item in step) <= limit


def test_a_step_has_few_pictures() -> None:
    pictures = [index // 2 for index in range(20)]
    steps = epoch_steps(items_of([1] * 20, pictures), StepLimits(1000, 3), 0, 0)
    assert all(len({pictures[item] for item in step}) <= 3 for step in steps)
    assert sorted(np.concatenate(steps).tolist()) == list(range(20))


def test_items_without_a_picture_take_no_place_among_pictures() -> None:
    assert len(epoch_steps(items_of([1] * 20), StepLimits(1000, 1), 0, 0)) == 1


@pytest.mark.parametrize(("weight", "low", "high"), [(0.5, 300, 700), (2.0, 2000, 2000), (1.3, 1150, 1450)])
def test_weights_are_how_often_an_epoch_shows_an_item(weight: float, low: int, high: int) -> None:
    steps = epoch_steps(items_of([1] * 1000, weight=weight), StepLimits(50, 4), 0, 0)
    assert low <= sum(map(len, steps)) <= high


def test_order_comes_from_seed_and_epoch_alone() -> None:
    items, limits = items_of(list(range(1, 60))), StepLimits(80, 4)
    first, again, other_epoch, other_seed = (
        [step.tolist() for step in epoch_steps(items, limits, seed, epoch)]
        for seed, epoch in ((1, 2), (1, 2), (1, 3), (2, 2))
    )
    assert first == again
    assert first != other_epoch
    assert first != other_seed


def test_sequences_of_a_step_are_of_like_length() -> None:
    lengths = [5, 100] * 100
    steps = epoch_steps(items_of(lengths), StepLimits(500, 4), 0, 0)
    mixed = [step for step in steps if len({lengths[item] for item in step}) > 1]
    assert len(mixed) < len(steps) / 4


def test_weights_near_zero_can_leave_nothing() -> None:
    assert epoch_steps(items_of([1], weight=1e-9), StepLimits(10, 1), 0, 0) == []
