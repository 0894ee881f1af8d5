"""A user's file of boxes: plain lists, or what `propose --json` and `ask --json` print; knows no photo and no model."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from gpt4roi_runtime.errors import RegionError
from gpt4roi_runtime.geometry import Box

MAX_BOXES = 10_000
_MAX_FILE_BYTES = 16 << 20
_EXPECTED = 'Write a JSON list of [left, top, right, bottom] in pixels, or give what "gpt4roi propose --json" printed.'

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class NamedBox:
    """A box, and what a detector took it for.

    Attributes:
        box: In pixels of the photo.
        name: Its name, or None.
        score: How sure the detector was, 0..1, or None.
    """

    box: Box
    name: str | None = None
    score: float | None = None


class _Region(msgspec.Struct):
    box: Corners | None = None
    box_px: Corners | None = None
    name: str | None = None
    score: float | None = None


class _Account(msgspec.Struct):
    regions: list[Corners | _Region]


def read_boxes(path: Path) -> tuple[NamedBox, ...]:
    """Read a file of boxes, in its order.

    Raises:
        RegionError: The file is missing, too large, not such a list, or holds something that is not a box.
    """
    try:
        size_bytes = path.stat().st_size
        if size_bytes > _MAX_FILE_BYTES:
            raise RegionError(f"{path} has {size_bytes:,} bytes; the limit is {_MAX_FILE_BYTES:,}", _EXPECTED)
        content = path.read_bytes()
    except OSError as error:
        raise RegionError(f"cannot read {path}: {error.strerror or error}", _EXPECTED) from error
    try:
        found = msgspec.json.decode(content, type=list[Corners | _Region] | _Account)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RegionError(f"{path} is not a list of boxes: {error}", _EXPECTED) from error
    regions = found.regions if isinstance(found, _Account) else found
    if len(regions) > MAX_BOXES:
        raise RegionError(f"{path} holds {len(regions):,} boxes; the limit is {MAX_BOXES:,}", "Split it.")
    return tuple(_named(path, number, region) for number, region in enumerate(regions, start=1))


def _named(path: Path, number: int, region: "Corners | _Region") -> NamedBox:
    if not isinstance(region, _Region):
        return NamedBox(_box(path, number, region))
    corners = region.box if region.box_px is None else region.box_px
    if corners is None:
        raise RegionError(f"{path}: region {number} has no box", _EXPECTED)
    return NamedBox(_box(path, number, corners), region.name, region.score)


def _box(path: Path, number: int, corners: Corners) -> Box:
    try:
        return Box(*corners)
    except RegionError as error:
        raise RegionError(f"{path}: region {number}: {error.problem}", error.advice) from error
