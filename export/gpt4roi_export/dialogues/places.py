"""Where a box is and how it compares with another, in words; None where people would disagree. Knows no names."""

from itertools import starmap
from typing import Literal

from gpt4roi_export.scene import RegionFacts, Scene

XyXy = tuple[float, float, float, float]

COLUMNS, ROWS = ("left", "center", "right"), ("top", "center", "bottom")
_PLACES = (
    ("in the top left", "at the top", "in the top right"),
    ("on the left", "in the center", "on the right"),
    ("in the bottom left", "at the bottom", "in the bottom right"),
)
PLACES = tuple(place for row in _PLACES for place in row)
"""The nine words for a place."""

Side = Literal["left of", "right of", "above", "below"]
OPPOSITE: dict[Side, Side] = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}

Size = Literal["small", "medium-sized", "large"]

_THIRDS_MARGIN = 0.04  # of the picture's side: as near to a border between two words, either may be said
_SMALL, _MEDIUM, _LARGE = 0.05, (0.08, 0.15), 0.2  # shares of the picture's area
AS_BIG, _BIGGER = 1.2, 1.6  # ratios of areas
_MAIN_AXIS = 1.8  # how much farther along one axis than along the other
_APART = 0.1  # of the picture's side
_LEVEL = 0.05  # of the picture's side
_OVERLAP = 0.3  # of the smaller box


def fractions(scene: Scene, region: RegionFacts) -> XyXy:
    """The region's box as fractions of the picture's sides."""
    width, height = scene.size
    x1, y1, x2, y2 = region.box
    return x1 / width, y1 / height, x2 / width, y2 / height


def center(box: XyXy) -> tuple[float, float]:
    """Middle of a box."""
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def area(box: XyXy) -> float:
    """Width times height."""
    return (box[2] - box[0]) * (box[3] - box[1])


def cell(box: XyXy) -> tuple[int, int] | None:
    """Row and column of the box's center among thirds of the picture; None near a border between thirds.

    Args:
        box: Fractions of the picture's sides.
    """
    x, y = center(box)
    borders = (1 / 3, 2 / 3)
    if any(abs(value - border) < _THIRDS_MARGIN for value in (x, y) for border in borders):
        return None
    return min(2, int(y * 3)), min(2, int(x * 3))


def place(box: XyXy) -> str | None:
    """Where the box is: "in the top left"."""
    found = cell(box)
    return None if found is None else _PLACES[found[0]][found[1]]


def true_places(cell: tuple[int, int]) -> frozenset[str]:
    """Every word of ``PLACES`` that a person would accept for a cell: the top left is also "at the top"."""
    row, column = cell
    true = {_PLACES[row][column]}
    if row != 1:
        true.add(_PLACES[row][1])
    if column != 1:
        true.add(_PLACES[1][column])
    return frozenset(true)


def size(box: XyXy) -> Size | None:
    """How much of the picture the box covers."""
    share = area(box)
    if share < _SMALL:
        return "small"
    if _MEDIUM[0] < share < _MEDIUM[1]:
        return "medium-sized"
    return "large" if share > _LARGE else None


def possible_places(box: XyXy) -> frozenset[str]:
    """Every word for a place that someone might choose: two or more near a border between thirds."""
    columns, rows = (
        {min(2, int(min(max(value + margin, 0), 1) * 3)) for margin in (-_THIRDS_MARGIN, _THIRDS_MARGIN)}
        for value in center(box)
    )
    return frozenset(_PLACES[row][column] for row in rows for column in columns)


def possible_sizes(box: XyXy) -> frozenset[str]:
    """Every word for a size that someone might choose, without "-sized"."""
    share = area(box)
    possible = {"small": share < _MEDIUM[0], "medium": _SMALL < share < _LARGE, "large": share > _MEDIUM[1]}
    return frozenset(word for word, fits in possible.items() if fits)


def bigger(first: XyXy, second: XyXy) -> Literal["bigger", "smaller", "same"] | None:
    """How the first box's area compares with the second's."""
    ratio = area(first) / area(second)
    if 1 / AS_BIG < ratio < AS_BIG:
        return "same"
    if ratio > _BIGGER:
        return "bigger"
    return "smaller" if ratio < 1 / _BIGGER else None


def relation(scene: Scene, first: RegionFacts, second: RegionFacts) -> Side | None:
    """Where the first region is, seen from the second.

    It has to hold in the picture and in the square that the picture is stretched to, which a model may see.
    """
    one, two = fractions(scene, first), fractions(scene, second)
    if _overlap(one, two) > _OVERLAP:
        return None
    in_picture = _main_side(first.box, second.box)
    in_square = _main_side(one, two)
    if in_picture is None or in_picture != in_square:
        return None
    axis = 0 if in_picture in ("left of", "right of") else 1
    return in_picture if abs(center(one)[axis] - center(two)[axis]) > _APART else None


def along(first: XyXy, second: XyXy, side: Side) -> bool | None:
    """Whether the first box's center is on that side of the second's; None where the two are near.

    Args:
        first: Fractions of the picture's sides.
        second: Fractions, too.
        side: Only its axis is looked at, so "left of" holds for what is also far above.
    """
    axis = 0 if side in ("left of", "right of") else 1
    offset = center(first)[axis] - center(second)[axis]
    if abs(offset) < _APART:
        return None
    return (offset < 0) == (side in ("left of", "above"))


def is_level(first: XyXy, second: XyXy, side: Side) -> bool:
    """Whether the two centers are so near along the side's axis that nobody would use its words."""
    axis = 0 if side in ("left of", "right of") else 1
    return abs(center(first)[axis] - center(second)[axis]) < _LEVEL


def _main_side(first: XyXy, second: XyXy) -> Side | None:
    (x1, y1), (x2, y2) = starmap(lambda *box: center(box), (first, second))
    dx, dy = x1 - x2, y1 - y2
    if abs(dx) > _MAIN_AXIS * abs(dy):
        return "left of" if dx < 0 else "right of"
    if abs(dy) > _MAIN_AXIS * abs(dx):
        return "above" if dy < 0 else "below"
    return None


def _overlap(first: XyXy, second: XyXy) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(0.0, width) * max(0.0, height) / min(area(first), area(second))
