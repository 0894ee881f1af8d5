import math
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gpt4roi_runtime.errors import RegionError
from gpt4roi_runtime.geometry import Box, normalise, parse_box


@st.composite
def boxes(draw: Callable[..., float], low: float = -1e6, high: float = 1e6) -> Box:
    x1, y1, x2, y2 = (draw(st.floats(min_value=low, max_value=high)) for _ in range(4))
    assume(x1 != x2 and y1 != y2)
    return Box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("40,60,220,310", Box(40, 60, 220, 310)),
        (" 40 , 60 ,\t220,310 \n", Box(40, 60, 220, 310)),
        ("0,0,.5,1.", Box(0, 0, 0.5, 1)),
        ("+1,-2,3e2,4E+1", Box(1, -2, 300, 40)),
        ("1e-3,0,1,1", Box(0.001, 0, 1, 1)),
        ("007,0,8,1", Box(7, 0, 8, 1)),
    ],
)
def test_four_numbers_with_commas_are_a_box(text: str, box: Box) -> None:
    assert parse_box(text) == box


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ",,,",
        "1,2,3",
        "1,2,3,4,5",
        "1,2,3,4,",
        "1 2 3 4",
        "1;2;3;4",
        "1,2,3,four",
        "1,2,3,0x4",
        "1,2,3,4px",
        "1,2,3,1_0",
        "1,2,3,1e",
        "1,2,3,--4",
        "1,2,3,.",
        "(1,2,3,4)",
        "1,2,3,4\0",
        "<region1>",
        "nan",
        "\u0131nf,0,1,1",  # a dotless i: like i when case is ignored, but no number
    ],
)
def test_anything_else_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(RegionError) as refused:
        parse_box(text)
    assert repr(text) in refused.value.problem
    assert "left,top,right,bottom" in refused.value.advice


@pytest.mark.parametrize("number", ["nan", "NaN", "-nan", "inf", "-inf", "Infinity", "1e999", "-1e999", "1" * 400])
@pytest.mark.parametrize("place", range(4))
def test_a_number_that_is_not_finite_is_refused(number: str, place: int) -> None:
    numbers = ["1", "2", "3", "4"]
    numbers[place] = number
    with pytest.raises(RegionError, match="not a finite number"):
        parse_box(",".join(numbers))


def test_a_long_wrong_text_is_refused_at_once() -> None:
    start_s = time.process_time()
    with pytest.raises(RegionError):
        parse_box("1" * 10_000 + "x")
    assert time.process_time() - start_s < 1


def test_an_integer_beyond_all_floats_is_refused() -> None:
    with pytest.raises(RegionError):
        Box(0, 0, 10**400, 1)


@pytest.mark.parametrize(
    ("text", "axis", "numbers"), [("220,60,40,310", "x", ("220", "40")), ("40,310,220,60", "y", ("310", "60"))]
)
def test_a_reversed_box_names_the_axis_and_both_numbers(text: str, axis: str, numbers: tuple[str, str]) -> None:
    with pytest.raises(RegionError, match=f"{axis}1 {numbers[0]} is greater than {axis}2 {numbers[1]}"):
        parse_box(text)


@pytest.mark.parametrize(("text", "axis"), [("40,60,40,310", "x"), ("40,60,220,60", "y"), ("0,0,0,0", "x")])
def test_a_box_without_area_is_refused(text: str, axis: str) -> None:
    with pytest.raises(RegionError, match=f"no area: {axis}1 and {axis}2"):
        parse_box(text)


def test_a_box_reads_as_a_person_types_it() -> None:
    assert str(Box(40.0, 60, 220.5, 310)) == "40,60,220.5,310"


@given(boxes())
@example(Box(0, 0, 1234567.5, 1))
@example(Box(0, 0, 640.0000001, 480))
def test_the_words_of_a_box_lose_nothing(box: Box) -> None:
    assert parse_box(str(box)) == box


@given(st.text(max_size=40))
def test_no_text_makes_anything_but_a_box_or_a_refusal(text: str) -> None:
    _parse_or_refuse(text)


@given(st.text(alphabet="0123456789.,+-eEnNaAiIfFtTyY \u0130\u0131\u017f\u0663", max_size=40))
def test_no_text_of_numbers_makes_anything_but_a_box_or_a_refusal(text: str) -> None:
    _parse_or_refuse(text)


def _parse_or_refuse(text: str) -> None:
    try:
        box = parse_box(text)
    except RegionError:
        return
    assert all(math.isfinite(value) for value in box.xyxy)


@pytest.mark.parametrize(
    "box",
    [Box(640, 0, 700, 10), Box(0, 480, 10, 500), Box(-20, 0, -10, 10), Box(0, -20, 10, 0), Box(9e5, 9e5, 1e6, 1e6)],
)
def test_a_box_beside_the_image_is_refused_with_both_sizes(box: Box) -> None:
    with pytest.raises(RegionError) as refused:
        normalise({7: box}, 640, 480)
    assert "region 7" in refused.value.problem
    assert str(box) in refused.value.problem
    assert "outside the image of 640 x 480" in refused.value.problem


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        (Box(600, 400, 700, 500), "600,400,640,480"),
        (Box(-5, -6, 10, 20), "0,0,10,20"),
        (Box(-5, -6, 1000, 1000), "0,0,640,480"),
        (Box(0, 0, 640.5, 480), "0,0,640,480"),
    ],
)
def test_a_box_partly_outside_is_refused_with_the_part_inside(box: Box, inside: str) -> None:
    with pytest.raises(RegionError) as refused:
        normalise({2: box}, 640, 480)
    assert f"region 2: box {box} reaches outside" in refused.value.problem
    assert inside in refused.value.advice


def test_the_part_inside_can_be_typed_back_for_any_image_size() -> None:
    with pytest.raises(RegionError) as refused:
        normalise({1: Box(0, 0, 1234568.5, 20)}, 1234567, 20)
    advised = refused.value.advice.removeprefix("The part on the image is ").removesuffix(".")
    normalise({1: parse_box(advised)}, 1234567, 20)


def test_a_box_a_hair_too_wide_does_not_read_like_one_that_fits() -> None:
    with pytest.raises(RegionError) as refused:
        normalise({1: Box(0, 0, 640.0000001, 480)}, 640, 480)
    assert "box 0,0,640,480 reaches" not in refused.value.problem


def test_the_whole_image_is_zero_to_one() -> None:
    np.testing.assert_array_equal(normalise({1: Box(0, 0, 640, 480)}, 640, 480), [[0, 0, 1, 1]])


def test_fractions_are_float32_rows_in_the_mappings_order() -> None:
    fractions = normalise({3: Box(64, 120, 320, 480), 1: Box(0, 0, 160, 48)}, 640, 480)
    assert fractions.dtype == np.float32
    np.testing.assert_array_equal(fractions, np.array([[0.1, 0.25, 0.5, 1.0], [0.0, 0.0, 0.25, 0.1]], dtype=np.float32))


def test_no_regions_are_no_rows() -> None:
    assert normalise({}, 640, 480).shape == (0, 4)


def test_a_box_too_thin_for_float32_is_refused() -> None:
    thin = Box(1000, 0, math.nextafter(1000, 2000), 10)
    with pytest.raises(RegionError, match=r"region 4: box .* too thin"):
        normalise({4: thin}, 2000, 1000)


def test_a_box_of_a_thousandth_of_a_pixel_is_wide_enough() -> None:
    fractions = normalise({1: Box(19999.0, 0, 19999.01, 1)}, 20000, 1)
    assert fractions[0, 0] < fractions[0, 2]


@given(boxes(0, 400), st.integers(400, 20000), st.integers(400, 20000))
def test_fractions_lead_back_to_the_pixels(box: Box, width_px: int, height_px: int) -> None:
    assume(box.x2 - box.x1 > 0.01 and box.y2 - box.y1 > 0.01)
    (fractions,) = normalise({1: box}, width_px, height_px)
    assert (fractions >= 0).all()
    assert (fractions <= 1).all()
    np.testing.assert_allclose(fractions * np.array([width_px, height_px] * 2), box.xyxy, rtol=1e-6, atol=1e-30)


@given(boxes(-100, 500), st.integers(1, 400), st.integers(1, 400))
def test_the_clipped_part_fits_and_lies_in_the_box(box: Box, width_px: int, height_px: int) -> None:
    part = box.clipped_to(width_px, height_px)
    if part is None:
        assert box.x1 >= width_px or box.y1 >= height_px or box.x2 <= 0 or box.y2 <= 0
        return
    assert box.x1 <= part.x1 < part.x2 <= box.x2
    assert box.y1 <= part.y1 < part.y2 <= box.y2
    assert part.clipped_to(width_px, height_px) == part
