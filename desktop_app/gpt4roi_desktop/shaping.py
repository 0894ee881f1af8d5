"""How a hand shapes a box: drawn, moved, pulled by a handle; always on the photo, in whole pixels. Knows no Qt."""

from dataclasses import dataclass
from enum import Enum

from gpt4roi_runtime.geometry import Box

MIN_SIDE_PX = 4
"""A thinner box is a slip of the hand."""


@dataclass(frozen=True)
class Sheet:
    """The photo's size in pixels: boxes end where it ends."""

    width_px: int
    height_px: int

    @property
    def least_px(self) -> int:
        """The thinnest box that may be drawn here."""
        return min(MIN_SIDE_PX, self.width_px, self.height_px)


class Handle(Enum):
    """A place to pull at: -1 is the left or top side, 1 the right or bottom side, 0 neither."""

    NORTH_WEST = (-1, -1)
    NORTH = (0, -1)
    NORTH_EAST = (1, -1)
    EAST = (1, 0)
    SOUTH_EAST = (1, 1)
    SOUTH = (0, 1)
    SOUTH_WEST = (-1, 1)
    WEST = (-1, 0)

    def place(self, box: Box) -> tuple[float, float]:
        """Where it sits on a box."""
        dx, dy = self.value
        return ((box.x1 + box.x2 + dx * (box.x2 - box.x1)) / 2, (box.y1 + box.y2 + dy * (box.y2 - box.y1)) / 2)


def drawn(start: tuple[float, float], end: tuple[float, float], sheet: Sheet, *, square: bool = False) -> Box | None:
    """The box between two corners, or None where it is too thin to be meant."""
    (x0, y0), (x1, y1) = start, end
    if square:
        side = max(abs(x1 - x0), abs(y1 - y0))
        room_x = x0 if x1 < x0 else sheet.width_px - x0
        room_y = y0 if y1 < y0 else sheet.height_px - y0
        side = min(side, room_x, room_y)
        x1, y1 = x0 + (side if x1 >= x0 else -side), y0 + (side if y1 >= y0 else -side)
    left, right = sorted((_held(x0, sheet.width_px), _held(x1, sheet.width_px)))
    top, bottom = sorted((_held(y0, sheet.height_px), _held(y1, sheet.height_px)))
    if right - left < sheet.least_px or bottom - top < sheet.least_px:
        return None
    return Box(left, top, right, bottom)


def moved(box: Box, dx: float, dy: float, sheet: Sheet) -> Box:
    """The box elsewhere, of the same size, stopped at the photo's sides."""
    dx = min(max(round(dx), -box.x1), sheet.width_px - box.x2)
    dy = min(max(round(dy), -box.y1), sheet.height_px - box.y2)
    return Box(box.x1 + dx, box.y1 + dy, box.x2 + dx, box.y2 + dy)


def pulled(box: Box, handle: Handle, to: tuple[float, float], sheet: Sheet) -> Box:
    """The box with one side or corner elsewhere; it never turns inside out nor gets too thin."""
    dx, dy = handle.value
    x, y = _held(to[0], sheet.width_px), _held(to[1], sheet.height_px)
    least = sheet.least_px
    x1, y1, x2, y2 = box.xyxy
    if dx < 0:
        x1 = max(0.0, min(x, x2 - least))
    if dx > 0:
        x2 = min(float(sheet.width_px), max(x, x1 + least))
    if dy < 0:
        y1 = max(0.0, min(y, y2 - least))
    if dy > 0:
        y2 = min(float(sheet.height_px), max(y, y1 + least))
    return Box(x1, y1, x2, y2)


def _held(value: float, limit: int) -> float:
    """A whole pixel line, on the photo."""
    return float(min(max(round(value), 0), limit))
