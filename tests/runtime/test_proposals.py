"""What a detector's cells say, against boxes computed by hand. Cell 5 is row 1, column 1 of the fine level: 12, 12."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt4roi_runtime.arrays import PixelValues
from gpt4roi_runtime.errors import SettingsError
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.vision.detector import CellOutputs, Detector
from gpt4roi_runtime.vision.detector_input import Fit
from gpt4roi_runtime.vision.proposals import (
    Proposal,
    best_proposals,
    cell_centres,
    decode_boxes,
    keep_best,
    propose,
)
from tests.helpers.detectors import N_BINS, N_CELLS, detector_facts, no_scores, one_bin

HOW = detector_facts()
WHOLE = Fit((32, 32), (32, 32), (0, 0))
EVERY_CELL = np.arange(N_CELLS)


def found(scores: np.ndarray, distances: np.ndarray | None = None, fit: Fit = WHOLE, **limits: float) -> list[Proposal]:
    outputs = CellOutputs(scores, one_bin() if distances is None else distances)
    threshold, max_boxes = limits.get("threshold", 0.35), int(limits.get("max_boxes", 20))
    return list(best_proposals(outputs, fit, HOW, threshold=threshold, max_boxes=max_boxes))


def scored(*places: tuple[int, int, float]) -> np.ndarray:
    """Cell, name and score of everything that is seen."""
    scores = no_scores()
    for cell, name, score in places:
        scores[cell, name] = score
    return scores


# --- cells and boxes --------------------------------------------------------------------------------------------------


def test_centres_lie_in_the_middle_of_the_cells_row_after_row_level_after_level() -> None:
    centres, strides = cell_centres(HOW)
    assert centres[:5].tolist() == [[4, 4], [12, 4], [20, 4], [28, 4], [4, 12]]
    assert centres[16:].tolist() == [[8, 8], [24, 8], [8, 24], [24, 24]]
    assert strides.tolist() == [8] * 16 + [16] * 4


def test_a_side_lies_where_its_distribution_has_its_mean() -> None:
    logits = np.full((1, 4, N_BINS), -100, dtype=np.float32)
    logits[0, 0, 0] = 5  # left: 0 strides
    logits[0, 1, 2] = 5  # top: 2 strides
    logits[0, 2, [0, 2]] = 5  # right: half of 0 and half of 2
    logits[0, 3] = np.log([0.5, 0.25, 0.25])  # bottom: 0.75
    boxes = decode_boxes(logits.reshape(1, -1), np.array([17]), HOW)
    np.testing.assert_allclose(boxes, [[24, 8 - 32, 24 + 16, 8 + 12]])


def test_logits_of_any_size_give_finite_boxes() -> None:
    logits = np.tile(np.array([3e38, -3e38, 3e38], dtype=np.float32), (N_CELLS, 4))
    boxes = decode_boxes(logits, EVERY_CELL, HOW)
    centres, strides = cell_centres(HOW)
    np.testing.assert_allclose(boxes[:, 2:] - centres, np.repeat(strides[:, None], 2, axis=1))


# --- choosing ---------------------------------------------------------------------------------------------------------


def test_a_cell_that_is_sure_becomes_a_box_on_the_photo() -> None:
    fit = Fit(photo_px=(640, 320), fitted_px=(32, 16), corner_px=(0, 8))
    (proposal,) = found(scored((5, 1, 0.8)), fit=fit)
    assert proposal.name == "dog"
    assert proposal.score == pytest.approx(0.8)
    assert proposal.box.xyxy == pytest.approx((80, 0, 400, 240))  # 4,4,20,20 on the square, of which 8 rows are a bar


def test_nothing_is_found_where_nothing_reaches_the_threshold() -> None:
    assert found(scored((5, 0, 0.34))) == []
    assert len(found(scored((5, 0, 0.34)), threshold=0.34)) == 1  # the threshold itself is enough


def test_the_best_come_first_and_no_more_than_asked_for() -> None:
    scores = scored((0, 0, 0.4), (10, 0, 0.9), (15, 1, 0.6))
    assert [round(one.score, 1) for one in found(scores)] == [0.9, 0.6, 0.4]
    assert [round(one.score, 1) for one in found(scores, max_boxes=2)] == [0.9, 0.6]


def test_what_lies_on_the_bars_or_is_too_thin_is_dropped() -> None:
    fit = Fit(photo_px=(640, 320), fitted_px=(32, 16), corner_px=(0, 8))
    assert found(scored((0, 0, 0.9)), fit=fit) == []  # 0,0 to 12,12: 4 rows are left of it
    assert found(scored((5, 0, 0.9)), one_bin(0)) == []


def test_a_tiny_photo_has_boxes_too() -> None:
    (proposal,) = found(scored((5, 0, 0.9)), fit=Fit((2, 1), (32, 16), (0, 8)))
    assert proposal.box.clipped_to(2, 1) == proposal.box


def shifted(*x: float) -> np.ndarray:
    """Boxes 10 wide and high at these places."""
    return np.array([[left, 0, left + 10, 10] for left in x], dtype=np.float64).reshape(-1, 4)


def kept(boxes: np.ndarray, scores: list[float], names: list[int]) -> list[int]:
    return keep_best(boxes, np.array(scores, dtype=np.float32), np.array(names, dtype=np.int64), 0.6)


def test_a_box_covered_by_a_better_one_of_its_name_is_its_double() -> None:
    # a shift of s gives an overlap of (10 - s) / (10 + s): 0.67 for 2, 0.54 for 3
    assert kept(shifted(0, 2), [0.5, 0.9], [0, 0]) == [1]
    assert kept(shifted(0, 3), [0.5, 0.9], [0, 0]) == [1, 0]
    assert kept(shifted(0, 2), [0.5, 0.9], [0, 1]) == [1, 0]
    assert kept(shifted(0, 2, 4), [0.9, 0.8, 0.7], [0, 0, 0]) == [0, 2]  # the double takes nothing with it
    assert kept(shifted(), [], []) == []


def test_one_box_under_two_names_is_one_proposal() -> None:
    (proposal,) = found(scored((5, 0, 0.7), (5, 1, 0.8)))
    assert proposal.name == "dog"


def test_boxes_of_two_names_that_merely_overlap_both_stay() -> None:
    both = found(scored((5, 0, 0.7), (6, 1, 0.8)))
    assert [one.name for one in both] == ["dog", "cup"]


# --- as a whole -------------------------------------------------------------------------------------------------------


class FakeDetector:
    """Says the same of every picture."""

    engine = "fake"

    def __init__(self, outputs: CellOutputs) -> None:
        self.outputs = outputs
        self.seen: list[PixelValues] = []

    def detect(self, pixels: PixelValues) -> CellOutputs:
        self.seen.append(pixels)
        return self.outputs

    def close(self) -> None: ...


GREY = np.full((16, 32, 3), 128, dtype=np.uint8)


def test_a_photo_is_fitted_looked_at_once_and_its_boxes_are_its_own() -> None:
    detector = FakeDetector(CellOutputs(scored((9, 0, 0.5)), one_bin()))
    assert isinstance(detector, Detector)
    (proposal,) = propose(GREY, detector, HOW)
    assert proposal.box == Box(4, 4, 20, 16)  # centre 12,20, of which 8 rows are a bar
    assert len(detector.seen) == 1
    assert detector.seen[0].shape == (1, 3, 32, 32)


def test_the_bundles_threshold_holds_unless_the_caller_says_otherwise() -> None:
    detector = FakeDetector(CellOutputs(scored((9, 0, 0.3)), one_bin()))
    assert propose(GREY, detector, HOW) == ()
    assert len(propose(GREY, detector, HOW, threshold=0.2)) == 1


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({"threshold": -0.1}, "-0.1"),
        ({"threshold": 1.1}, "1.1"),
        ({"threshold": float("nan")}, "nan"),
        ({"max_boxes": 0}, "0"),
        ({"max_boxes": 101}, "101"),
    ],
)
def test_settings_out_of_range_are_refused_before_the_engine_runs(settings: dict[str, float], value: str) -> None:
    detector = FakeDetector(CellOutputs(no_scores(), one_bin()))
    with pytest.raises(SettingsError, match=value):
        propose(GREY, detector, HOW, **settings)  # type: ignore[arg-type]
    assert not detector.seen


@given(st.integers(0, 2**32 - 1), st.integers(1, 700), st.integers(1, 700))
def test_proposals_lie_on_the_photo_in_order_and_are_no_doubles(seed: int, width: int, height: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.random((N_CELLS, 2), dtype=np.float32)
    distances = rng.normal(0, 3, (N_CELLS, 4 * N_BINS)).astype(np.float32)
    photo = np.zeros((height, width, 3), dtype=np.uint8)
    proposals = propose(photo, FakeDetector(CellOutputs(scores, distances)), HOW, threshold=0.3, max_boxes=7)
    assert len(proposals) <= 7
    assert [one.score for one in proposals] == sorted((one.score for one in proposals), reverse=True)
    for one in proposals:
        assert one.box.clipped_to(width, height) == one.box
        assert one.score >= 0.3
