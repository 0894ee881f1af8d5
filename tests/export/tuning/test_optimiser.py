import math

import pytest
import torch
from torch import nn

from gpt4roi_export.tuning.optimiser import Optimiser, rate_share
from gpt4roi_export.tuning.recipe import DataFile, LearningRates, Part, Stage


def stage(rates: LearningRates, **changes: float) -> Stage:
    return Stage(name="s", data=(DataFile(path="x"),), rates=rates, steps=10, **changes)  # type: ignore[arg-type]


def parts() -> dict[Part, dict[str, nn.Parameter]]:
    names: tuple[Part, ...] = ("encoder", "region", "projector", "lora")
    return {part: {f"{part}.w": nn.Parameter(torch.ones(3))} for part in names}


def push(optimiser: Optimiser, step: int, size: float = 1.0) -> tuple[float, float]:
    for parameter in optimiser.parameters.values():
        parameter.grad = torch.full_like(parameter, size)
    return optimiser.step(step)


def test_only_parts_with_a_rate_move() -> None:
    all_parts = parts()
    optimiser = Optimiser(all_parts, stage(LearningRates(lora=0.1)), 10)
    assert list(optimiser.parameters) == ["lora.w"]
    push(optimiser, 5)
    assert (all_parts["lora"]["lora.w"] < 1.0).all()
    assert (all_parts["region"]["region.w"] == 1.0).all()
    assert not all_parts["region"]["region.w"].requires_grad
    assert all_parts["lora"]["lora.w"].grad is None


def test_rates_are_each_parts_own() -> None:
    all_parts = parts()
    optimiser = Optimiser(all_parts, stage(LearningRates(region=0.1, lora=0.01), warm_up=0.0), 10)
    push(optimiser, 0)
    moved = [1.0 - float(all_parts[part][f"{part}.w"].detach()[0]) for part in ("region", "lora")]  # type: ignore[index]
    assert moved == pytest.approx([0.1, 0.01], rel=1e-3)


def test_a_large_gradient_of_one_part_leaves_the_other_alone() -> None:
    all_parts = parts()
    optimiser = Optimiser(all_parts, stage(LearningRates(region=0.1, lora=0.1)), 10)
    all_parts["region"]["region.w"].grad = torch.full((3,), 1e6)
    all_parts["lora"]["lora.w"].grad = torch.full((3,), 0.1)
    norm, _ = optimiser.step(0)
    assert norm == pytest.approx(1e6 * math.sqrt(3))
    state = optimiser.state()
    assert state["optimiser.lora.w.exp_avg"].tolist() == pytest.approx([0.01] * 3)
    assert state["optimiser.region.w.exp_avg"].norm() == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize("size", [math.nan, math.inf])
def test_nothing_moves_by_a_gradient_that_is_not_finite(size: float) -> None:
    all_parts = parts()
    optimiser = Optimiser(all_parts, stage(LearningRates(lora=0.1)), 10)
    norm, _ = push(optimiser, 0, size)
    assert not math.isfinite(norm)
    assert (all_parts["lora"]["lora.w"] == 1.0).all()


def test_what_is_remembered_can_be_put_back() -> None:
    straight, broken = parts(), parts()
    one = Optimiser(straight, stage(LearningRates(lora=0.1, region=0.2)), 10)
    for step in range(4):
        push(one, step, 1.0 + step)
    two = Optimiser(broken, stage(LearningRates(lora=0.1, region=0.2)), 10)
    for step in range(2):
        push(two, step, 1.0 + step)
    three = Optimiser(broken, stage(LearningRates(lora=0.1, region=0.2)), 10)
    three.restore(two.state())
    for step in range(2, 4):
        push(three, step, 1.0 + step)
    for part in ("lora", "region"):
        assert torch.equal(straight[part][f"{part}.w"], broken[part][f"{part}.w"])  # type: ignore[index]


def test_rates_rise_straight_and_fall_like_half_a_cosine() -> None:
    plan = stage(LearningRates(lora=1.0), warm_up=0.2, final_rate=0.1)
    shares = [rate_share(step, 100, plan) for step in range(100)]
    assert shares[:20] == pytest.approx([(step + 1) / 20 for step in range(20)])
    assert shares[20] == pytest.approx(1.0)
    assert shares[60] == pytest.approx(0.55)
    assert shares[99] == pytest.approx(0.1, abs=0.01)
