"""Photo -> the detector's square, and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt4roi_runtime.vision.detector_input import Fit, detector_pixels, fit_photo
from tests.helpers.detectors import detector_facts

sides = st.integers(1, 5000)
shares = st.floats(0, 1)


@given(sides, sides, st.sampled_from(["letterbox", "stretch"]), st.lists(shares, min_size=4, max_size=4))
def test_there_and_back_is_the_same_box(width: int, height: int, fit: str, corners: list[float]) -> None:
    xs, ys = sorted(corners[:2]), sorted(corners[2:])
    box = np.array([[xs[0] * width, ys[0] * height, xs[1] * width, ys[1] * height]])
    placed = fit_photo(width, height, detector_facts(side_px=416, strides=[8], fit=fit))
    np.testing.assert_allclose(placed.to_photo(placed.to_square(box)), box, atol=1e-6 * max(width, height))


@given(sides, sides)
def test_a_letterbox_holds_the_whole_photo_in_its_middle(width: int, height: int) -> None:
    fit = fit_photo(width, height, detector_facts(side_px=416, strides=[8]))
    left, top, right, bottom = fit.to_square(np.array([[0.0, 0.0, width, height]]))[0]
    assert max(right - left, bottom - top) == pytest.approx(416)
    assert min(right - left, bottom - top) >= 1 - 1e-9
    assert abs(left - (416 - right)) <= 1
    assert abs(top - (416 - bottom)) <= 1
    assert min(left, top) >= 0


@pytest.mark.parametrize(
    ("fit", "expected"),
    [
        ("letterbox", Fit((640, 320), (32, 16), (0, 8))),
        ("stretch", Fit((640, 320), (32, 32), (0, 0))),
    ],
)
def test_sizes_and_corner(fit: str, expected: Fit) -> None:
    assert fit_photo(640, 320, detector_facts(fit=fit)) == expected


def test_a_box_that_leaves_the_photo_is_cut_off_at_its_edges() -> None:
    fit = Fit(photo_px=(640, 320), fitted_px=(32, 16), corner_px=(0, 8))
    boxes = fit.to_photo(np.array([[-5.0, 0.0, 40.0, 31.0], [1.0, 10.0, 3.0, 12.0]]))
    np.testing.assert_array_equal(boxes, [[0, 0, 640, 320], [20, 40, 60, 80]])


def test_colours_are_ordered_and_normalised_and_bars_are_black() -> None:
    how = detector_facts()
    photo = np.empty((20, 40, 3), dtype=np.uint8)
    photo[:] = (11, 22, 33)
    pixels = detector_pixels(photo, fit_photo(40, 20, how), how)
    assert pixels.shape == (1, 3, 32, 32)
    blue_green_red = [(33 - 1) / 10, (22 - 2) / 20, (11 - 3) / 40]
    np.testing.assert_allclose(pixels[0, :, 8:24], np.broadcast_to(np.reshape(blue_green_red, (3, 1, 1)), (3, 16, 32)))
    black = np.reshape([-1 / 10, -2 / 20, -3 / 40], (3, 1, 1))
    for bar in (pixels[0, :, :8], pixels[0, :, 24:]):
        np.testing.assert_allclose(bar, np.broadcast_to(black, bar.shape), rtol=1e-6)


def test_red_stays_first_where_the_detector_wants_it_so() -> None:
    how = detector_facts(channels="rgb", mean=[0, 0, 0], std=[1, 1, 1])
    photo = np.full((32, 32, 3), (200, 100, 50), dtype=np.uint8)
    assert detector_pixels(photo, fit_photo(32, 32, how), how)[0, :, 0, 0].tolist() == [200, 100, 50]


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1)])
def test_odd_photos_fill_the_square_as_far_as_they_can(size: tuple[int, int]) -> None:
    how = detector_facts()
    width, height = size
    photo = np.full((height, width, 3), 255, dtype=np.uint8)
    pixels = detector_pixels(photo, fit_photo(width, height, how), how)
    assert pixels.max() == pytest.approx(25.4)
