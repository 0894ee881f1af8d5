"""What a reading becomes in the language model's own rows."""

import pytest
import torch

from gpt4roi_export.modules.tuned import RegionReading, RegionWords
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
