"""What a reading becomes in the language model's own rows."""

from dataclasses import replace

import pytest
import torch

from gpt4roi_export.modules.tuned import RegionReading, RegionWords, leading
from gpt4roi_export.scene import COLORS
from tests.export.tuning.conftest import NAMES, SIZES

CAT, DOG = 0, 1


def certain(name: int) -> torch.Tensor:
    logits = torch.full((1, len(NAMES)), -30.0)
    logits[0, name] = 30.0
    return logits


def reading(learned: int, alone: int) -> RegionReading:
    return RegionReading(
        certain(learned),
        certain(alone),
        torch.zeros(1, len(COLORS)),
        torch.zeros(1, SIZES.feature_width),
        torch.tensor([[0.1, 0.2, 0.5, 0.6]]),
    )


@pytest.fixture
def words() -> RegionWords:
    words = RegionWords(SIZES)
    generator = torch.Generator().manual_seed(0)
    for table in words.buffers():
        table.copy_(torch.randn(table.shape, generator=generator))
    return words.requires_grad_(requires_grad=False)


def test_the_encoder_has_its_share_of_a_name() -> None:
    share = reading(CAT, DOG).names(0.35)[0]
    assert share[[CAT, DOG]].tolist() == pytest.approx([0.65, 0.35])
    assert share.sum().item() == pytest.approx(1.0)
    assert reading(CAT, CAT).names(0.35)[0, CAT].item() == pytest.approx(1.0)


def test_where_encoder_and_correction_contradict_each_other_the_likelier_name_is_said_with_doubt(
    words: RegionWords,
) -> None:
    agreeing, contradicting = words(reading(CAT, CAT))[0], words(reading(CAT, DOG))[0]
    unsure, sure = words.sureness
    say = SIZES.encoder_say
    torch.testing.assert_close(agreeing[0], sure)
    torch.testing.assert_close(contradicting[0], (1.0 - say) * sure + say * unsure)
    torch.testing.assert_close(contradicting[1:], agreeing[1:], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(words(reading(DOG, DOG))[0, -1], agreeing[-1], atol=0.1)


def with_top_color(share: float) -> torch.Tensor:
    shares = torch.full((1, len(COLORS)), (1.0 - share) / (len(COLORS) - 1))
    shares[0, COLORS.index("red")] = share
    return shares


def test_a_color_leads_from_a_border_on() -> None:
    shares = (0.2, 0.61, 0.66, 0.71, 1.0)
    leads = leading(torch.cat([with_top_color(share) for share in shares]), 0.66)
    assert leads[:, 0].tolist() == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.0], abs=1e-5)


def test_where_no_color_leads_the_color_row_has_a_word_that_says_so(words: RegionWords) -> None:
    below, above = (
        words(replace(reading(CAT, CAT), color_logits=with_top_color(SIZES.leading_color + past).log()))[0]
        for past in (-0.05, 0.05)
    )
    apart = (with_top_color(SIZES.leading_color - 0.05) - with_top_color(SIZES.leading_color + 0.05)) @ words.colors
    torch.testing.assert_close(below[1] - above[1], words.mixed[0] + apart[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(below[[0, *range(2, len(below))]], above[[0, *range(2, len(above))]])
