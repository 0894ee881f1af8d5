import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt4roi_desktop.shaping import Handle, Sheet, drawn, moved, pulled
from gpt4roi_runtime.geometry import Box

SHEET = Sheet(200, 100)
places = st.tuples(st.floats(-300, 500), st.floats(-300, 500))


def test_drawn_in_any_direction() -> None:
    assert drawn((10, 20), (60, 70), SHEET) == drawn((60, 70), (10, 20), SHEET) == Box(10, 20, 60, 70)


def test_a_slip_of_the_hand_is_no_box() -> None:
    assert drawn((10, 20), (13, 70), SHEET) is None
    assert drawn((10, 20), (14, 24), SHEET) == Box(10, 20, 14, 24)


def test_a_tiny_photo_can_have_a_box() -> None:
    assert drawn((0, 0), (2, 3), Sheet(2, 3)) == Box(0, 0, 2, 3)


@pytest.mark.parametrize("end", [(90, 30), (30, 90), (-40, 50), (190, 99)])
def test_square(end: tuple[float, float]) -> None:
    box = drawn((50, 50), end, SHEET, square=True)
    assert box is not None
    assert box.x2 - box.x1 == box.y2 - box.y1


@given(places, places, st.booleans())
def test_what_is_drawn_lies_on_the_photo(start: tuple[float, float], end: tuple[float, float], square: bool) -> None:
    start = (min(max(start[0], 0), 200), min(max(start[1], 0), 100))
    box = drawn(start, end, SHEET, square=square)
    assert box is None or box.clipped_to(200, 100) == box


@given(places)
def test_moving_keeps_the_size(by: tuple[float, float]) -> None:
    box = moved(Box(10, 20, 60, 70), *by, SHEET)
    assert (box.x2 - box.x1, box.y2 - box.y1) == (50, 50)
    assert box.clipped_to(200, 100) == box


@given(st.sampled_from(list(Handle)), places)
def test_pulling_never_turns_a_box_inside_out(handle: Handle, to: tuple[float, float]) -> None:
    box = pulled(Box(10, 20, 60, 70), handle, to, SHEET)
    assert box.x2 - box.x1 >= 4
    assert box.y2 - box.y1 >= 4
    assert box.clipped_to(200, 100) == box


def test_a_handle_moves_its_own_sides() -> None:
    box = Box(10, 20, 60, 70)
    assert pulled(box, Handle.NORTH, (999, 5), SHEET) == Box(10, 5, 60, 70)
    assert pulled(box, Handle.SOUTH_EAST, (80, 90), SHEET) == Box(10, 20, 80, 90)
    assert Handle.NORTH_WEST.place(box) == (10, 20)
    assert Handle.EAST.place(box) == (60, 45)
