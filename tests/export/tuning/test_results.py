"""What a run leaves behind: as small as it can be without another number."""

import torch
from safetensors.torch import load, save

from gpt4roi_export.tuning.results import vision_tensors
from tests.export.tuning.conftest import small_vision


def test_tensors_are_half_floats_only_where_these_hold_every_number() -> None:
    vision, _ = small_vision()
    rests, learned = vision.reader.head.flatten.weight, vision.words.offsets
    with torch.no_grad():
        rests.copy_(rests.half().float())
        learned.fill_(0.1)  # no binary fraction
        vision.reader.color.bias.fill_(1e6)  # too large for a half float
    written = load(save(vision_tensors(vision)))
    assert written["reader.head.flatten.weight"].dtype == torch.float16
    assert written["words.offsets"].dtype == torch.float32
    assert written["reader.color.bias"].dtype == torch.float32
    state = vision.state_dict()
    for name, tensor in written.items():
        assert torch.equal(tensor.float(), state[name].float()), name
