"""The pyramid's first 3x3 convolution on the ViT's own grid: the same numbers for a fourteenth of the products.

What it reads are enlarged maps, and enlarging is a matrix down and a matrix across. A tap of the convolution is one of
its weights' nine slices, shifted; so the slices are applied to the small maps, and the shifts go into the matrices.
Knows neither norm nor activation.
"""

import torch
from jaxtyping import Float
from torch import Tensor

TAPS = 3


def first_convolution(
    maps: tuple[Float[Tensor, "1 c grid grid"], ...], weight: Float[Tensor, "c c 3 3"], sides: tuple[int, ...]
) -> tuple[Float[Tensor, "1 c side side"], ...]:
    """What ``LevelFusion`` convolves, of levels that are ``maps`` enlarged to ``sides``, corners onto corners.

    Args:
        maps: Finest level first, all of one size.
        weight: Of the 3x3 convolution with padding 1.
        sides: Of the levels, finest first.

    Returns:
        The convolution's output for every level.
    """
    width, grid = maps[0].shape[1], maps[0].shape[-1]
    own, third, fourth = slice(width // 2), slice(width // 2, width * 3 // 4), slice(width * 3 // 4, width)
    # By how much finer a map is than the level that reads it: the weight's columns, and the map's channels they read.
    parts = {0: (own, own), -1: (third, fourth), 1: (fourth, third)}
    taps = weight.permute(0, 2, 3, 1).reshape(-1, width)
    side_by_side = torch.cat([features.reshape(width, grid * grid) for features in maps], dim=1)
    products = {
        finer: (taps[:, columns] @ side_by_side[channels]).reshape(-1, TAPS, TAPS, len(maps), grid, grid)
        for finer, (columns, channels) in parts.items()
    }
    return tuple(_convolved(products, level, sides, grid) for level in range(len(maps)))


def _convolved(products: dict[int, Tensor], level: int, sides: tuple[int, ...], grid: int) -> Tensor:
    bands, rows = [], []
    for finer, product in products.items():
        source = min(max(level - finer, 0), len(sides) - 1)
        enlarge = enlargement(grid, sides[source])
        if source != level:
            enlarge = enlargement(sides[source], sides[level]) @ enlarge
        shifted = _shifted(enlarge)
        of_source = product[:, :, :, source].permute(0, 1, 3, 2, 4).reshape(-1, TAPS * grid, TAPS * grid)
        bands.append(of_source @ shifted.T)
        rows.append(shifted)
    convolved: Tensor = torch.cat(rows, dim=1) @ torch.cat(bands, dim=1)
    return convolved[None]


def enlargement(small: int, large: int) -> Float[Tensor, "large small"]:
    """Bilinear weights along one axis, the first and last cells onto each other; for any two sizes, shrinking too."""
    step = (small - 1) / max(large - 1, 1)
    positions = torch.arange(large, dtype=torch.float32) * step
    cells = torch.arange(small, dtype=torch.float32)
    return (1.0 - (positions[:, None] - cells).abs()).clamp(min=0.0)


def _shifted(enlarge: Tensor) -> Tensor:
    """The matrix once for every tap, side by side; the convolution's padding is a row of zeros on either end."""
    side = enlarge.shape[0]
    padded = torch.nn.functional.pad(enlarge, (0, 0, 1, 1))
    return torch.cat([padded[tap : tap + side] for tap in range(TAPS)], dim=1)
