"""The pyramid of GPT4RoI: four maps of a ViT fused into levels of four sizes, as a torch module.

Knows neither the ViT that made the maps nor the regions that will read the levels.
"""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gpt4roi_export.modules.first_fusion import first_convolution

N_LEVELS = 4
N_FUSIONS = 5
GROUPS = 64
NORM_EPS = 1e-5

Levels = tuple[Tensor, ...]


def resize(features: Float[Tensor, "b c h w"], side: int) -> Float[Tensor, "b c side side"]:
    """Bilinear, corners onto corners."""
    if features.shape[-1] == side:
        return features
    return functional.interpolate(features, size=(side, side), mode="bilinear", align_corners=True)


class LevelFusion(nn.Module):
    """One exchange between neighbouring levels: one 3x3 convolution, shared by all of them.

    Half of its input channels are the level's own, a quarter each comes from the next coarser and the next finer
    level (GPT4RoI, section 3.2; the arithmetic is that of the released code's feature fusion).

    Args:
        width: Channels of every level, a multiple of 4 and of the groups.
        groups: Of the norm.
    """

    def __init__(self, width: int, groups: int = GROUPS) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.norm = nn.GroupNorm(groups, width, eps=NORM_EPS)

    def forward(self, levels: Levels) -> Levels:
        """All new levels from all old ones, finest first, each ``[1, width, side, side]``."""
        return tuple(self._fuse(levels, index) for index in range(len(levels)))

    def _fuse(self, levels: Levels, index: int) -> Tensor:
        own = levels[index]
        width, side = own.shape[1], own.shape[-1]
        half, three_quarters = width // 2, width * 3 // 4
        coarser = levels[min(index + 1, len(levels) - 1)][:, three_quarters:]
        finer = levels[max(index - 1, 0)][:, half:three_quarters]
        mixed = torch.cat([own[:, :half], resize(coarser, side), resize(finer, side)], dim=1)
        return self.activate(self.conv(mixed))

    def activate(self, convolved: Tensor) -> Tensor:
        """Norm and ReLU."""
        return functional.relu(self.norm(convolved))


class Pyramid(nn.Module):
    """Four ViT maps to four levels, finest first: 8, 4, 2 and 1 times the ViT's grid.

    Args:
        width: Channels of the maps and of the levels (1024 in GPT4RoI).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.level_convs = nn.ModuleList(nn.Conv2d(width + 2, width, kernel_size=1) for _ in range(N_LEVELS))
        self.fusions = nn.ModuleList(LevelFusion(width) for _ in range(N_FUSIONS))

    def forward(self, maps: Levels) -> Levels:
        """Fuse ``maps``, four times ``[1, width, grid, grid]``, shallowest layer of the ViT first."""
        # The released code upsamples, appends the coordinates, then convolves 1x1. Bilinear weights sum to one and
        # the coordinates are linear, so convolving on the ViT's own grid gives the same at 1/64 of the work.
        lifted = tuple(conv(with_coordinates(level)) for conv, level in zip(self.level_convs, maps, strict=True))
        grid = maps[0].shape[-1]
        sides = tuple(grid * 2 ** (N_LEVELS - 1 - index) for index in range(N_LEVELS))
        first, *others = cast("list[LevelFusion]", list(self.fusions))
        if torch.onnx.is_in_onnx_export():
            convolved = first_convolution(lifted, first.conv.weight, sides)
            levels: Levels = tuple(map(first.activate, convolved))
        else:
            levels = first(tuple(map(resize, lifted, sides)))
        for fusion in others:
            levels = fusion(levels)
        return levels


def with_coordinates(features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c+2 h w"]:
    """Two more channels: x, then y, each from -1 to 1 inclusive over the map."""
    batch, _, height, width = features.shape
    x = torch.linspace(-1.0, 1.0, width, dtype=features.dtype, device=features.device)
    y = torch.linspace(-1.0, 1.0, height, dtype=features.dtype, device=features.device)
    plane = (batch, 1, height, width)
    return torch.cat([features, x.expand(plane), y[:, None].expand(plane)], dim=1)
