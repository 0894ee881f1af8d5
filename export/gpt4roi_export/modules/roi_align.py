"""RoIAlign in torch: plain arithmetic when run, one ``RoiAlign`` operator when exported to ONNX.

Knows nothing of pixels or of the pyramid: boxes are already in cells of the feature map.
"""

import torch
from jaxtyping import Float
from torch import Tensor

OPERATOR_VERSION = 16
"""Opset since which ONNX RoiAlign knows half-pixel centres; before it a box is off by half a cell."""


def roi_align(
    features: Float[Tensor, "1 c h w"], boxes_cells: Float[Tensor, "n 4"], bins: int, samples: int
) -> Float[Tensor, "n c bins bins"]:
    """Average of bilinear samples in ``bins`` x ``bins`` parts of every box.

    Mask R-CNN, section 3 (RoIAlign), with half-pixel centres: cell ``i`` is centred at ``i + 0.5``.

    Args:
        features: One feature map.
        boxes_cells: x1 y1 x2 y2 in cells of the map, 0 at the outer edge of the first cell.
        bins: Parts a side.
        samples: Sample points a side in each part.

    Returns:
        For every box its sampled features.
    """
    if torch.onnx.is_in_onnx_export():
        return _as_operator(features, boxes_cells, bins, samples)
    rows = _weights(boxes_cells[:, 1], boxes_cells[:, 3], features.shape[2], bins, samples)
    columns = _weights(boxes_cells[:, 0], boxes_cells[:, 2], features.shape[3], bins, samples)
    # Bilinear weights and the border rule are products of a row and a column part, so the mean over
    # samples is two small matrix products; box by box, to keep the middle product small.
    parts = [torch.einsum("iy,cyx,jx->cij", r, features[0], c) for r, c in zip(rows, columns, strict=True)]
    return torch.stack(parts)


def roi_mean(
    features: Float[Tensor, "1 c h w"], boxes_cells: Float[Tensor, "n 4"], bins: int, samples: int
) -> Float[Tensor, "n c"]:
    """Mean of all bins of ``roi_align``, in one matrix product: the bins themselves are never made.

    A bin is a row part times a column part, so the mean of all bins is that of the row parts times that of the others.

    Args:
        features: One feature map.
        boxes_cells: x1 y1 x2 y2 in cells of the map, 0 at the outer edge of the first cell.
        bins: Parts a side.
        samples: Sample points a side in each part.

    Returns:
        One vector a box.
    """
    _, channels, height, width = features.shape
    rows = _weights(boxes_cells[:, 1], boxes_cells[:, 3], height, bins, samples).mean(dim=1)
    columns = _weights(boxes_cells[:, 0], boxes_cells[:, 2], width, bins, samples).mean(dim=1)
    share = (rows[:, :, None] * columns[:, None, :]).flatten(start_dim=1)
    mean: Tensor = share @ features.reshape(channels, height * width).T
    return mean


def _weights(start: Tensor, end: Tensor, side: int, bins: int, samples: int) -> Tensor:
    """Share of every cell in every bin along one axis, ``[n, bins, side]``."""
    step = (end - start)[:, None] / bins
    offsets = (torch.arange(bins * samples, dtype=start.dtype, device=start.device) + 0.5) / samples
    position = start[:, None] - 0.5 + offsets[None, :] * step
    # Up to one cell outside, the border cell counts; further out a sample is zero.
    inside = (position >= -1.0) & (position <= side)
    position = position.clamp(0.0, side - 1.0)
    cells = torch.arange(side, dtype=start.dtype, device=start.device)
    share = (1.0 - (position[:, :, None] - cells).abs()).clamp(min=0.0) * inside[:, :, None]
    return share.reshape(start.shape[0], bins, samples, side).mean(dim=2)


def _as_operator(features: Tensor, boxes_cells: Tensor, bins: int, samples: int) -> Tensor:
    n_boxes = boxes_cells.shape[0]
    image_of_box = torch.zeros_like(boxes_cells[:, 0], dtype=torch.int64)
    aligned: Tensor = torch.onnx.ops.symbolic(
        "RoiAlign",
        (features, boxes_cells, image_of_box),
        attrs={
            "coordinate_transformation_mode": "half_pixel",
            "mode": "avg",
            "output_height": bins,
            "output_width": bins,
            "sampling_ratio": samples,
            "spatial_scale": 1.0,
        },
        dtype=features.dtype,
        shape=(n_boxes, features.shape[1], bins, bins),
        version=OPERATOR_VERSION,
    )
    return aligned
