"""What an encoder that learns is held to."""

import pytest
import torch
from torch.nn import functional

from gpt4roi_export.modules.tuned import TunedVision
from gpt4roi_export.scene import RegionFacts
from gpt4roi_export.tuning.concepts import (
    COLOR,
    ENCODER,
    FEATURES,
    KEPT,
    MOST_OF_MANY,
    NAME,
    NO_COLOR,
    Concepts,
    Seen,
    see,
    surplus,
)
from gpt4roi_export.tuning.learner import frozen_copy
from tests.export.tuning.conftest import NAMES, small_vision

BOXES = torch.tensor([[0.1, 0.1, 0.6, 0.7], [0.2, 0.3, 0.9, 0.9], [0.0, 0.0, 0.5, 0.5], [0.4, 0.1, 0.9, 0.6]])
PICTURES = torch.tensor([0, 1, 1, 2])
"""The second picture holds one named region and one without a name, the third none with a name."""
FACTS = (
    RegionFacts(box=(0, 0, 1, 1), name=NAMES[0], color="red"),
    RegionFacts(box=(0, 0, 1, 1), name=NAMES[1]),
    RegionFacts(box=(0, 0, 1, 1)),
    RegionFacts(box=(0, 0, 1, 1)),
)


@pytest.fixture
def vision() -> TunedVision:
    vision, _ = small_vision()
    vision.reader.name.shown.fill_(1.0)
    return vision


def seen_by(vision: TunedVision) -> Seen:
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        maps = vision.maps(torch.randn(3, 3, vision.sizes.side_px, vision.sizes.side_px, generator=generator))
    return see(vision, maps, BOXES, PICTURES)


def concepts_of(vision: TunedVision) -> Concepts:
    index = {name: place for place, name in enumerate(NAMES)}
    return Concepts(vision, frozen_copy(vision.encoder), index, label_smoothing=0.0)


def test_before_learning_nothing_has_left_the_published_encoder(vision: TunedVision) -> None:
    concepts = concepts_of(vision)
    for parameter in vision.encoder_parameters():
        parameter.requires_grad_()
    torch.nn.init.zeros_(vision.reader.name.learned.bias)  # the unshown names' head start
    losses = concepts.losses(FACTS, seen_by(vision))
    assert set(losses) == {NAME, ENCODER, COLOR, KEPT, FEATURES}
    assert losses[ENCODER].item() == pytest.approx(losses[NAME].item(), rel=1e-5)
    assert losses[KEPT].item() == pytest.approx(0.0, abs=1e-5)
    assert losses[FEATURES].item() == 0.0


def test_what_learned_is_held_to_the_published_encoder_where_nothing_is_named(vision: TunedVision) -> None:
    concepts = concepts_of(vision)
    with torch.no_grad():
        vision.encoder.trunk.head.bias.add_(0.5)
    for parameter in vision.encoder_parameters():
        parameter.requires_grad_()
    seen = seen_by(vision)
    losses = concepts.losses(FACTS, seen)
    _, before = concepts._published.rest(seen.maps[-1])
    changed = (seen.encoder[2] - before[2]).square().mean() / before[2].square().mean()
    assert losses[FEATURES].item() == pytest.approx(changed.item(), rel=1e-4)
    held = vision.reader.names_by_encoder(before, BOXES, PICTURES)[2:]
    left = functional.kl_div(
        seen.reading.name_logits[2:].log_softmax(1), held.log_softmax(1), reduction="batchmean", log_target=True
    )
    assert losses[KEPT].item() == pytest.approx(left.item(), rel=1e-4)
    torch.autograd.backward(losses[KEPT])
    assert vision.encoder.trunk.head.bias.grad is not None


def test_the_encoder_learns_names_by_its_own_reading(vision: TunedVision) -> None:
    torch.nn.init.normal_(vision.reader.name.learned.weight)
    concepts = concepts_of(vision)
    for parameter in vision.encoder_parameters():
        parameter.requires_grad_()
    seen = seen_by(vision)
    losses = concepts.losses(FACTS, seen)
    alone = vision.reader.names_by_encoder(seen.encoder, BOXES, PICTURES)[:2]
    assert losses[ENCODER].item() == pytest.approx(
        functional.cross_entropy(alone, torch.tensor([0, 1])).item(), rel=1e-4
    )
    assert losses[ENCODER].item() != pytest.approx(losses[NAME].item(), rel=1e-2)


def test_an_encoder_that_rests_has_no_losses_of_its_own(vision: TunedVision) -> None:
    assert set(concepts_of(vision).losses(FACTS, seen_by(vision))) == {NAME, COLOR, KEPT}


def test_only_regions_that_were_looked_at_are_held_to_no_color(vision: TunedVision) -> None:
    facts = (*FACTS[:3], RegionFacts(box=(0, 0, 1, 1), many_colored=True))
    concepts, seen = concepts_of(vision), seen_by(vision)
    expected = surplus(seen.reading.color_logits[3:], MOST_OF_MANY)
    assert concepts.losses(facts, seen)[NO_COLOR].item() == pytest.approx(expected.item())
    assert NO_COLOR not in concepts.losses(FACTS, seen)


def test_a_surplus_is_given_to_the_others_in_their_proportions() -> None:
    shares = torch.tensor([[0.8, 0.15, 0.05], [0.4, 0.35, 0.25]])
    logits = shares.log().requires_grad_()
    goal = torch.tensor([0.5, 0.375, 0.125])
    expected = (goal * (goal / shares[0]).log()).sum() / 2  # the second row has no surplus
    found = surplus(logits, 0.5)
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)
    found.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert torch.allclose(logits.grad[0], (shares[0] - goal) / 2, atol=1e-6)
    assert torch.allclose(logits.grad[1], torch.zeros(3), atol=1e-6)


def test_a_reading_without_doubt_still_has_a_finite_surplus() -> None:
    found = surplus(torch.tensor([[200.0, 0.0, -200.0]]), 0.5)
    assert torch.isfinite(found)
    assert found.item() > 1.0
