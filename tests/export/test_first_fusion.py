import numpy as np
import pytest
import torch
from torch.nn import functional

from gpt4roi_export.modules.first_fusion import enlargement, first_convolution
from gpt4roi_export.modules.pyramid import LevelFusion, resize


@pytest.mark.parametrize("grid", [3, 4, 16])
def test_the_first_convolution_on_small_maps_is_the_one_on_enlarged_maps(grid: int) -> None:
    torch.manual_seed(grid)
    fusion = LevelFusion(64).double()
    maps = tuple(torch.randn(1, 64, grid, grid, dtype=torch.float64) for _ in range(4))
    sides = tuple(grid * 2 ** (3 - level) for level in range(4))
    with torch.inference_mode():
        wanted = fusion(tuple(map(resize, maps, sides)))
        small = tuple(level.float() for level in maps)
        found = fusion.float(), first_convolution(small, fusion.conv.weight, sides)
        ours = tuple(map(found[0].activate, found[1]))
    for level, other in zip(ours, wanted, strict=True):
        assert level.shape == other.shape
        np.testing.assert_allclose(level.numpy(), other.numpy(), atol=2e-5)


@pytest.mark.parametrize(("small", "large"), [(16, 128), (32, 64), (64, 32), (5, 5), (1, 4)])
def test_enlarging_is_a_matrix(small: int, large: int) -> None:
    line = torch.randn(1, 1, small, generator=torch.Generator().manual_seed(0))
    wanted = functional.interpolate(line, size=large, mode="linear", align_corners=True)
    np.testing.assert_allclose((line @ enlargement(small, large).T).numpy(), wanted.numpy(), atol=1e-5)
