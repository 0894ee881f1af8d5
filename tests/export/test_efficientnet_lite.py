import numpy as np
import pytest
import torch
from torch import nn

from gpt4roi_export.efficientnet_lite import NORM_EPS, blocks, folded_weights, last_grid, padding
from gpt4roi_export.modules.efficientnet_lite import Convolution, EfficientNetLite2
from gpt4roi_export.parity import compare
from gpt4roi_runtime.errors import BundleError


def released_state() -> dict[str, np.ndarray]:
    """Random arrays with the names and shapes of the released checkpoint."""
    random = np.random.default_rng(0)
    state: dict[str, np.ndarray] = {}

    def convolution(name: str, norm: str, out: int, within: int, kernel: int) -> None:
        state[f"{name}.weight"] = random.standard_normal((out, within, kernel, kernel)).astype(np.float32)
        state[f"{name}.weight"] *= np.float32((2 / (within * kernel * kernel)) ** 0.5)
        for part, low, high in (
            ("weight", 0.5, 1.5),
            ("bias", -1, 1),
            ("running_mean", -1, 1),
            ("running_var", 0.5, 2),
        ):
            state[f"{norm}.{part}"] = random.uniform(low, high, out).astype(np.float32)

    convolution("_conv_stem", "_bn0", 32, 3, 3)
    for index, block in enumerate(blocks()):
        name = f"_blocks.{index}"
        if index:
            convolution(f"{name}._expand_conv", f"{name}._bn0", block.hidden, block.width_in, 1)
        convolution(f"{name}._depthwise_conv", f"{name}._bn1", block.hidden, 1, block.kernel)
        convolution(f"{name}._project_conv", f"{name}._bn2", block.width_out, block.hidden, 1)
    convolution("_conv_head", "_bn1", 1280, 352, 1)
    state["_fc.weight"] = random.standard_normal((1000, 1280)).astype(np.float32)
    state["_fc.bias"] = random.standard_normal(1000).astype(np.float32)
    return state


def trunk_of(state: dict[str, np.ndarray]) -> EfficientNetLite2:
    trunk = EfficientNetLite2().eval()
    folded = {name: torch.from_numpy(array) for name, array in folded_weights(state).items()}
    trunk.load_state_dict({name: tensor for name, tensor in folded.items() if not name.startswith("classifier.")})
    return trunk


def test_levels_have_the_published_sizes() -> None:
    with torch.inference_mode():
        levels = EfficientNetLite2().eval()(torch.zeros(1, 3, 520, 520))
    assert [tuple(level.shape[1:]) for level in levels] == [(48, 65, 65), (120, 32, 32), (352, 16, 16), (1280, 16, 16)]


def test_folding_the_norm_changes_nothing() -> None:
    state = released_state()
    plain = nn.Conv2d(3, 32, 3, stride=2, bias=False)
    norm = nn.BatchNorm2d(32, eps=NORM_EPS).eval()
    plain.load_state_dict({"weight": torch.from_numpy(state["_conv_stem.weight"])})
    parts = {
        part: torch.from_numpy(state[f"_bn0.{part}"]) for part in ("weight", "bias", "running_mean", "running_var")
    }
    norm.load_state_dict(parts, strict=False)
    pixels = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        padded = nn.functional.pad(pixels, (0, 1, 0, 1))
        compare({"stem": norm(plain(padded)).numpy()}, {"stem": trunk_of(state).stem(pixels).numpy()}).require()


def test_a_missing_array_is_named() -> None:
    state = released_state()
    del state["_blocks.3._bn1.running_var"]
    with pytest.raises(BundleError, match=r"_blocks\.3\._bn1\.running_var"):
        folded_weights(state)


@pytest.mark.parametrize(
    ("kernel", "stride", "expected"), [(3, 1, (1, 1)), (3, 2, (0, 1)), (5, 1, (2, 2)), (5, 2, (1, 2))]
)
def test_padding_is_tensorflows_for_even_sizes(kernel: int, stride: int, expected: tuple[int, int]) -> None:
    assert padding(kernel, stride) == expected


def test_the_last_levels_cells_look_where_the_grid_says() -> None:
    """A ramp goes through averaging kernels: every inner cell then holds the position of its own centre."""
    trunk = EfficientNetLite2().eval()
    with torch.inference_mode():
        for part in trunk.modules():
            if isinstance(part, Convolution):
                part.weight.fill_(1.0 / part.weight[0].numel())
                part.bias.zero_()
        for block in trunk.blocks:
            if block.adds_input:
                block.project.weight.zero_()
        ramp = (torch.arange(520) + 0.5) / 520
        last = trunk(ramp.expand(1, 3, 520, 520))[-1][0, 0] * 520
    grid = last_grid()
    centres = grid.first_centre_px + grid.stride_px * np.arange(16)
    np.testing.assert_allclose(last[8, 2:12].numpy(), centres[2:12], atol=0.01)
    assert (grid.stride_px, grid.first_centre_px) == (32.0, 31.5)
