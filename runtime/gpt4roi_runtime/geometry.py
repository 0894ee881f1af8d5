"""Boxes, and the only conversion between pixels and 0..1; knows neither graphs nor prompts.

Pixel frame: the photo as a person sees it (EXIF orientation applied), origin at the top left corner of the top left
pixel, x to the right, y down, so a box round the whole of a 640 x 480 photo is 0,0,640,480.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gpt4roi_runtime.arrays import Boxes
from gpt4roi_runtime.errors import RegionError

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|[-+]?nan|[-+]?inf(?:inity)?"
_BOX_TEXT = re.compile(
    rf"\s*({_NUMBER})\s*,\s*({_NUMBER})\s*,\s*({_NUMBER})\s*,\s*({_NUMBER})\s*", re.IGNORECASE | re.ASCII
)


@dataclass(frozen=True)
class Box:
    """A region's geometry: left, top, right, bottom in pixels of the photo.

    Raises:
        RegionError: A coordinate is NaN or infinite, or the box is reversed or has no area.
    """

    x1: float
    y1: float
    x2: float
    y2: float

    def __post_init__(self) -> None:
        try:
            finite = all(math.isfinite(value) for value in self.xyxy)
        except OverflowError as error:
            raise RegionError("a box has a coordinate that is too large for a number", _EXPECTED) from error
        if not finite:
            raise RegionError(f"box {self} has a coordinate that is not a finite number", _EXPECTED)
        for axis, low, high in (("x", self.x1, self.x2), ("y", self.y1, self.y2)):
            if low > high:
                raise RegionError(
                    f"box {self} is reversed: {axis}1 {_as_typed(low)} is greater than {axis}2 {_as_typed(high)}",
                    _EXPECTED,
                )
            if low == high:
                raise RegionError(f"box {self} has no area: {axis}1 and {axis}2 are both {_as_typed(low)}", _EXPECTED)

    def __str__(self) -> str:
        """The four numbers as a person types them."""
        return ",".join(map(_as_typed, self.xyxy))

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        return (self.x1, self.y1, self.x2, self.y2)

    def clipped_to(self, width_px: int, height_px: int) -> "Box | None":
        """The part of the box on the photo, or None where there is none."""
        x1, x2 = max(self.x1, 0.0), min(self.x2, float(width_px))
        y1, y2 = max(self.y1, 0.0), min(self.y2, float(height_px))
        return Box(x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def _as_typed(value: float) -> str:
    """Every digit, and no more than a person would type: read back, it is the same number."""
    return repr(float(value)).removesuffix(".0")


_EXPECTED = "Give left,top,right,bottom in pixels of the photo, for example 40,60,220,310."


def parse_box(text: str) -> Box:
    """Read ``x1,y1,x2,y2``.

    Raises:
        RegionError: Not four numbers with commas between, or not a box.
    """
    match = _BOX_TEXT.fullmatch(text)
    if match is None:
        raise RegionError(f"{text!r} is not a box", _EXPECTED)
    x1, y1, x2, y2 = (float(number) for number in match.groups())
    return Box(x1, y1, x2, y2)


def normalise(regions: Mapping[int, Box], width_px: int, height_px: int) -> Boxes:
    """Boxes by region number, in pixels of a ``width_px`` x ``height_px`` photo -> float32 ``[n 4]``, xyxy in 0..1.

    The rows stand in the mapping's order. The graphs see the photo stretched to a square; fractions of its sides are
    the same before and after.

    Raises:
        RegionError: A box is not wholly on the photo, or is thinner than float32 can tell from a line.
    """
    for number, box in regions.items():
        inside = box.clipped_to(width_px, height_px)
        if inside is None:
            raise RegionError(
                f"region {number}: box {box} lies outside the image of {width_px} x {height_px} pixels", _EXPECTED
            )
        if inside != box:
            raise RegionError(
                f"region {number}: box {box} reaches outside the image of {width_px} x {height_px} pixels",
                f"The part on the image is {inside}.",
            )
    sides = np.array([width_px, height_px, width_px, height_px], dtype=np.float64)
    corners = np.array([box.xyxy for box in regions.values()], dtype=np.float64).reshape(-1, 4)
    fractions = (corners / sides).astype(np.float32)
    for (number, box), (x1, y1, x2, y2) in zip(regions.items(), fractions, strict=True):
        if not (x1 < x2 and y1 < y2):
            raise RegionError(f"region {number}: box {box} is too thin to be told from a line", _EXPECTED)
    return fractions
