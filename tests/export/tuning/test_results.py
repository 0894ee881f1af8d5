"""What a run leaves behind: what learned, in half floats."""

import pytest
import torch
from safetensors.torch import load, save

from gpt4roi_export.tuning.learner import frozen_copy
from gpt4roi_export.tuning.results import vision_tensors
from gpt4roi_runtime.errors import NumericError
from tests.export.tuning.conftest import small_vision


def test_everything_that_learned_is_written_in_half_floats() -> None:
    vision, _ = small_vision()
    written = load(save(vision_tensors(vision, frozen_copy(vision.encoder))))
    state = vision.state_dict()
    for name, tensor in written.items():
        assert torch.equal(tensor, state[name].half()), name
    learned = {"reader.head.flatten.weight", "reader.name.learned.weight", "reader.name.shown", "words.offsets"}
    assert learned <= written.keys()
    assert not any(name.startswith(("encoder.", "reader.name.closed_form.")) for name in written)


def test_an_encoder_that_learned_is_written_from_stride_16_on() -> None:
    vision, _ = small_vision()
    published = frozen_copy(vision.encoder)
    with torch.no_grad():
        vision.encoder.trunk.head.bias.add_(1.0)
    written = vision_tensors(vision, published)
    of_encoder = {name for name in written if name.startswith("encoder.")}
    assert "encoder.trunk.head.bias" in of_encoder
    assert "encoder.trunk.blocks.15.expand.weight" in of_encoder
    assert not any(name.startswith(("encoder.trunk.stem", "encoder.trunk.blocks.14")) for name in of_encoder)


def test_a_number_too_large_for_half_floats_is_refused() -> None:
    vision, _ = small_vision()
    with torch.no_grad():
        vision.reader.color.bias.fill_(1e6)
    with pytest.raises(NumericError, match=r"reader\.color\.bias"):
        vision_tensors(vision, frozen_copy(vision.encoder))
