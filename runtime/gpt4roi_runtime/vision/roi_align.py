"""RoIAlign as plain NumPy: the definition that every kernel and graph is held against; knows no engine and no speed.

Half-pixel aligned, average of a fixed grid of bilinear samples: mmcv's ``aligned=True``, ONNX opset 16's
``half_pixel``, Mask R-CNN section 3 (arXiv 1703.06870).
"""

import numpy as np
from jaxtyping import Float, Float32


def sample_positions(
    low: Float32[np.ndarray, " n"], high: Float32[np.ndarray, " n"], n_bins: int, sampling_ratio: int
) -> Float32[np.ndarray, "n samples"]:
    """Where RoIAlign reads along one axis: the centres of ``n_bins * sampling_ratio`` equal parts of each box.

    Args:
        low: Left or top edges, in cells of the feature map (edge of the first cell at 0).
        high: Right or bottom edges, same frame.
        n_bins: Output cells along this axis.
        sampling_ratio: Samples along this axis in one output cell.

    Returns:
        Float32 positions in the frame in which the centre of the first cell is 0.
    """
    n_samples = n_bins * sampling_ratio
    centres = (np.arange(n_samples, dtype=np.float32) + np.float32(0.5)) / np.float32(n_samples)
    positions: Float32[np.ndarray, "n samples"] = (low[:, None] - np.float32(0.5)) + (high - low)[:, None] * centres
    return positions


def interpolation_matrix(
    positions: Float32[np.ndarray, "n samples"], n_cells: int
) -> Float32[np.ndarray, "n samples n_cells"]:
    """The bilinear weights of every sample on every cell of one axis.

    A sample less than one cell outside reads the edge cell; farther outside it reads nothing (all weights 0).
    """
    inside = (positions >= -1.0) & (positions <= n_cells)
    clamped = np.clip(positions, 0.0, n_cells - 1)
    lower = np.floor(clamped).astype(np.intp)
    upper = np.minimum(lower + 1, n_cells - 1)
    fraction = (clamped - lower).astype(np.float32)
    weights = np.zeros((*positions.shape, n_cells), dtype=np.float32)
    rows, columns = np.indices(positions.shape)
    np.add.at(weights, (rows, columns, lower), (1 - fraction) * inside)
    np.add.at(weights, (rows, columns, upper), fraction * inside)
    return weights


def roi_align(
    features: Float32[np.ndarray, "c h w"],
    boxes: Float32[np.ndarray, "n 4"],
    *,
    output_side: int,
    spatial_scale: float,
    sampling_ratio: int = 2,
) -> Float32[np.ndarray, "n c output_side output_side"]:
    """Average of ``sampling_ratio`` x ``sampling_ratio`` bilinear samples in each cell of a grid laid over each box.

    The two axes of a bilinear sample are independent, so one output cell is a product of two small matrices with the
    feature map between them.

    Args:
        features: One feature map, channels first.
        boxes: Float32 x1 y1 x2 y2 in the frame that ``spatial_scale`` refers to (pixels of the graph's input).
        output_side: Cells of the grid along each axis.
        spatial_scale: Cells of the feature map a pixel; 1 / stride.
        sampling_ratio: Samples of a grid cell along each axis.

    Returns:
        Float32 ``[n c output_side output_side]``.
    """
    _, height, width = features.shape
    scaled = boxes * np.float32(spatial_scale)
    across = _averaged(scaled[:, 0], scaled[:, 2], width, output_side, sampling_ratio)
    down = _averaged(scaled[:, 1], scaled[:, 3], height, output_side, sampling_ratio)
    pooled: Float[np.ndarray, "n c side side"] = np.einsum("nyh,chw,nxw->ncyx", down, features, across, optimize=True)
    return pooled.astype(np.float32, copy=False)


def _averaged(
    low: Float32[np.ndarray, " n"], high: Float32[np.ndarray, " n"], n_cells: int, n_bins: int, sampling_ratio: int
) -> Float32[np.ndarray, "n n_bins n_cells"]:
    """Weights of each output cell of one axis: the mean over its samples."""
    weights = interpolation_matrix(sample_positions(low, high, n_bins, sampling_ratio), n_cells)
    averaged: Float32[np.ndarray, "n n_bins n_cells"] = weights.reshape(len(low), n_bins, sampling_ratio, n_cells).mean(
        axis=2, dtype=np.float32
    )
    return averaged
