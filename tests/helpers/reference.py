"""Definitions written as the papers write them, loop by loop, to hold the fast ones against."""

import math

import numpy as np
from numpy.typing import NDArray


def brute_force_roi_align(
    features: NDArray[np.floating],
    boxes: NDArray[np.floating],
    output_side: int,
    spatial_scale: float,
    sampling_ratio: int,
) -> NDArray[np.float64]:
    """RoIAlign with half-pixel centres and averages: one Python loop for every index there is."""
    n_channels = features.shape[0]
    pooled = np.zeros((len(boxes), n_channels, output_side, output_side))
    for number, box in enumerate(boxes):
        left, top, right, bottom = (float(side) * spatial_scale for side in box)
        cell_width, cell_height = (right - left) / output_side, (bottom - top) / output_side
        for channel in range(n_channels):
            for row in range(output_side):
                for column in range(output_side):
                    samples = [
                        _bilinear(
                            features[channel],
                            top - 0.5 + (row + (i + 0.5) / sampling_ratio) * cell_height,
                            left - 0.5 + (column + (j + 0.5) / sampling_ratio) * cell_width,
                        )
                        for i in range(sampling_ratio)
                        for j in range(sampling_ratio)
                    ]
                    pooled[number, channel, row, column] = sum(samples) / len(samples)
    return pooled


def _bilinear(feature: NDArray[np.floating], y: float, x: float) -> float:
    """Between the four cells round a point; a point more than a cell outside reads nothing."""
    height, width = feature.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = math.floor(y), math.floor(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left
    upper = (1 - across) * float(feature[top, left]) + across * float(feature[top, right])
    lower = (1 - across) * float(feature[bottom, left]) + across * float(feature[bottom, right])
    return (1 - down) * upper + down * lower


def contrast_ratio(one: str, other: str) -> float:
    """WCAG 2.1's contrast of two colours ``#rrggbb``: 1 (the same) to 21 (black and white)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(int(colour[place : place + 2], 16) / 255) for place in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
