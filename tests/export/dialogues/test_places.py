import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt4roi_export.dialogues import places
from gpt4roi_export.dialogues.places import OPPOSITE, XyXy
from gpt4roi_export.scene import RegionFacts, Scene


def _around(x: float, y: float, side: float = 0.1) -> XyXy:
    return (x - side / 2, y - side / 2, x + side / 2, y + side / 2)


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (0.1, 0.1, "in the top left"),
        (0.5, 0.1, "at the top"),
        (0.9, 0.5, "on the right"),
        (0.5, 0.5, "in the center"),
        (0.1, 0.9, "in the bottom left"),
        (0.5, 0.9, "at the bottom"),
        (0.34, 0.5, None),
        (0.5, 0.64, None),
    ],
)
def test_places_by_thirds_with_a_margin(x: float, y: float, expected: str | None) -> None:
    assert places.place(_around(x, y)) == expected


def test_a_corner_is_at_two_sides_as_well() -> None:
    assert places.true_places((0, 2)) == {"in the top right", "at the top", "on the right"}
    assert places.true_places((1, 1)) == {"in the center"}


@pytest.mark.parametrize(("side", "expected"), [(0.1, "small"), (0.25, None), (0.33, "medium-sized"), (0.5, "large")])
def test_sizes_by_share_of_the_picture(side: float, expected: str | None) -> None:
    assert places.size(_around(0.5, 0.5, side)) == expected


@pytest.mark.parametrize(("ratio", "expected"), [(1.1, "same"), (1.4, None), (2.0, "bigger"), (0.5, "smaller")])
def test_bigger_leaves_out_what_people_would_not_agree_on(ratio: float, expected: str | None) -> None:
    assert places.bigger((0, 0, ratio / 2, 0.5), (0, 0, 0.5, 0.5)) == expected


def _scene(first: XyXy, second: XyXy, size: tuple[int, int]) -> Scene:
    return Scene("s", size, (RegionFacts(first), RegionFacts(second)))


def test_a_relation_needs_one_main_axis() -> None:
    left, right = (0.0, 40.0, 20.0, 60.0), (70.0, 45.0, 90.0, 65.0)
    assert places.relation(_scene(left, right, (100, 100)), RegionFacts(left), RegionFacts(right)) == "left of"
    diagonal = (70.0, 80.0, 90.0, 100.0)
    assert places.relation(_scene(left, diagonal, (100, 100)), RegionFacts(left), RegionFacts(diagonal)) is None


def test_a_relation_has_to_hold_in_the_stretched_picture_too() -> None:
    first, second = (0.0, 0.0, 100.0, 100.0), (400.0, 150.0, 500.0, 250.0)
    wide = _scene(first, second, (1000, 250))
    assert places.relation(wide, *wide.regions) is None


def test_overlapping_boxes_have_no_relation() -> None:
    first, second = (0.0, 0.0, 50.0, 50.0), (15.0, 0.0, 65.0, 50.0)
    both = _scene(first, second, (100, 100))
    assert places.relation(both, *both.regions) is None


_side = st.floats(1, 100)
_boxes = st.tuples(st.floats(0, 900), st.floats(0, 900), _side, _side).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)


@given(_boxes, _boxes)
def test_a_relation_agrees_with_the_centers_and_turns_round(first: XyXy, second: XyXy) -> None:
    scene = _scene(first, second, (1000, 1000))
    found = places.relation(scene, *scene.regions)
    back = places.relation(scene, *reversed(scene.regions))
    assert back == (None if found is None else OPPOSITE[found])
    dx = (first[0] + first[2] - second[0] - second[2]) / 2
    dy = (first[1] + first[3] - second[1] - second[3]) / 2
    if found is not None:
        assert {"left of": -dx, "right of": dx, "above": -dy, "below": dy}[found] >= max(abs(dx), abs(dy)) - 1e-6


def test_near_a_border_either_word_may_be_said() -> None:
    assert places.possible_places((0.1, 0.1, 0.2, 0.2)) == {"in the top left"}
    assert places.possible_places((0.28, 0.1, 0.38, 0.2)) == {"in the top left", "at the top"}
    assert places.possible_places((0.0, 0.0, 1.0, 1.0)) == {"in the center"}
    assert places.possible_sizes((0.0, 0.0, 0.1, 0.1)) == {"small"}
    assert places.possible_sizes((0.0, 0.0, 0.3, 0.2)) == {"small", "medium"}
    assert places.possible_sizes((0.0, 0.0, 0.4, 0.45)) == {"medium", "large"}
    assert places.possible_sizes((0.0, 0.0, 1.0, 1.0)) == {"large"}


@given(st.tuples(st.floats(0.02, 0.98), st.floats(0.02, 0.98), st.floats(0.02, 0.98)).map(lambda xys: _around(*xys)))
def test_the_word_that_is_said_is_among_those_that_may_be(box: XyXy) -> None:
    said_place, said_size = places.place(box), places.size(box)
    assert said_place is None or places.possible_places(box) == {said_place}
    assert said_size is None or places.possible_sizes(box) == {said_size.removesuffix("-sized")}
