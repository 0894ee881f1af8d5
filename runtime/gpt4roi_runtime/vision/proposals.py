"""Boxes that a detector proposes: what its cells say, turned into a few boxes on the photo; knows no engine.

The distances are distributions (generalised focal loss, arXiv 2006.04388): a side lies where its mean is.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.bundle import manifest as nouns
from gpt4roi_runtime.errors import SettingsError
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.vision.contract import N_SIDES
from gpt4roi_runtime.vision.detector import CellOutputs, Detector
from gpt4roi_runtime.vision.detector_input import Fit, detector_pixels, fit_photo

DEFAULT_MAX_BOXES = 20
SMALLEST_SIDE_PX = 6.0
"""On the detector's own square; what is thinner is noise, or was cut off at the photo's edge."""

SAME_BOX = 0.8
"""Intersection over union above which a box is a better one's double even if it has another name."""

_MOST_CANDIDATES = 1000
"""Boxes that are compared with each other; there are never so many things that a detector is sure of."""


@dataclass(frozen=True)
class Proposal:
    """A box that may be worth a question.

    Attributes:
        box: In pixels of the photo, wholly on it.
        name: What the detector takes it for, one of the names in its manifest.
        score: How sure the detector is, 0..1; not a probability.
    """

    box: Box
    name: str
    score: float


def propose(
    image: RgbImage,
    detector: Detector,
    how: nouns.Detector,
    *,
    threshold: float | None = None,
    max_boxes: int = DEFAULT_MAX_BOXES,
) -> tuple[Proposal, ...]:
    """Find things on a photo.

    Args:
        image: UInt8 ``[h w 3]``.
        detector: The engine.
        how: The detector's facts, from the manifest.
        threshold: Least score, 0..1; None takes what the bundle recommends.
        max_boxes: Most proposals, 1 to 100.

    Returns:
        Proposals, the best score first; none where nothing reaches the threshold.

    Raises:
        SettingsError: ``threshold`` or ``max_boxes`` is out of its range.
        EngineError: The engine failed.
    """
    least = how.threshold if threshold is None else threshold
    check_settings(least, max_boxes)
    height_px, width_px = image.shape[:2]
    fit = fit_photo(width_px, height_px, how)
    outputs = detector.detect(detector_pixels(image, fit, how))
    return best_proposals(outputs, fit, how, threshold=least, max_boxes=max_boxes)


def check_settings(threshold: float | None, max_boxes: int) -> None:
    """Refuse settings before an engine is loaded for nothing.

    Raises:
        SettingsError: One is out of its range.
    """
    if threshold is not None and not 0.0 <= threshold <= 1.0:
        raise SettingsError(f"threshold {threshold} is out of range", "Use 0 to 1; 0.35 is usual.")
    if not 1 <= max_boxes <= nouns.MAX_REGIONS:
        raise SettingsError(f"max_boxes {max_boxes} is out of range", f"Use 1 to {nouns.MAX_REGIONS}.")


def best_proposals(
    outputs: CellOutputs, fit: Fit, how: nouns.Detector, *, threshold: float, max_boxes: int
) -> tuple[Proposal, ...]:
    """The arithmetic behind the engine: cells -> boxes on the photo, without doubles, the best first.

    A cell may give several boxes, one a name: where a cup stands on a table, both may be meant.

    Args:
        outputs: Of every cell.
        fit: Where the photo lies on the detector's square.
        how: The detector's facts.
        threshold: Least score.
        max_boxes: Most proposals.
    """
    cells, names = np.nonzero(outputs.scores >= threshold)
    scores = outputs.scores[cells, names]
    likeliest = np.argsort(-scores, kind="stable")[:_MOST_CANDIDATES]
    cells, names, scores = cells[likeliest], names[likeliest], scores[likeliest]
    boxes = fit.to_photo(decode_boxes(outputs.distances[cells], cells, how))
    visible = fit.to_square(boxes)  # the least size means the same on every photo
    large = (visible[:, 2:] - visible[:, :2] >= SMALLEST_SIDE_PX).all(axis=1)
    boxes, names, scores = boxes[large], names[large], scores[large]
    rows = keep_best(boxes, scores, names, how.overlap)
    boxes, names, scores = boxes[rows], names[rows], scores[rows]
    rows = keep_best(boxes, scores, np.zeros_like(names), max(how.overlap, SAME_BOX))[:max_boxes]
    return tuple(Proposal(Box(*boxes[row].tolist()), how.names[names[row]], float(scores[row])) for row in rows)


def decode_boxes(
    distances: Float32[np.ndarray, "n bins_of_four_sides"], cells: Int64[np.ndarray, " n"], how: nouns.Detector
) -> Float64[np.ndarray, "n 4"]:
    """Boxes xyxy in pixels of the detector's square.

    Args:
        distances: Logits of these cells, a side's bins next to each other.
        cells: Their numbers.
        how: The detector's facts.
    """
    logits = distances.astype(np.float64).reshape(-1, N_SIDES, how.n_bins)
    weights = np.exp(logits - logits.max(axis=2, keepdims=True, initial=-np.inf))
    in_strides = (weights @ np.arange(how.n_bins)) / weights.sum(axis=2)
    centres, strides = cell_centres(how)
    left, top, right, bottom = (in_strides * strides[cells, None]).T
    x, y = centres[cells].T
    return np.stack([x - left, y - top, x + right, y + bottom], axis=1)


def cell_centres(how: nouns.Detector) -> tuple[Float64[np.ndarray, "cells 2"], Float64[np.ndarray, " cells"]]:
    """Centre (x, y) of every cell in pixels of the square, and its level's stride."""
    centres, strides = [], []
    for stride in how.strides:
        along = (np.arange(how.side_px // stride) + 0.5) * stride
        y, x = np.meshgrid(along, along, indexing="ij")
        centres.append(np.stack([x.ravel(), y.ravel()], axis=1))
        strides.append(np.full(x.size, float(stride)))
    return np.concatenate(centres), np.concatenate(strides)


def keep_best(
    boxes: Float64[np.ndarray, "n 4"],
    scores: Float32[np.ndarray, " n"],
    names: Int64[np.ndarray, " n"],
    overlap: float,
) -> list[int]:
    """Rows that no better box of the same name covers, the best first.

    Args:
        boxes: As xyxy.
        scores: The better, the greater.
        names: Numbers of names.
        overlap: Intersection over union above which two boxes are one thing.
    """
    if not len(boxes):
        return []
    import cv2  # a tenth of a second that a question about given boxes need not wait for

    sized = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxesBatched(sized.tolist(), scores.tolist(), names.tolist(), -1.0, overlap)
    return [int(row) for row in kept]
