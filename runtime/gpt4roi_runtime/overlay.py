"""Draws numbered boxes on a photo, in the colours that regions have everywhere; knows no model."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.errors import OutputError
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.storage import written_aside

REGION_COLOURS = ("#e6194b", "#0082c8", "#2f9a3f", "#dd6a12", "#911eb4", "#008080", "#8f8500", "#f032e6", "#8a4b1f")
"""Colour of region 1, 2, ...; after the last it begins again. All are dark enough for white digits."""

WRITABLE_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def region_colour(number: int) -> str:
    """Colour of ``<regionN>`` as ``#rrggbb``; numbers begin at 1."""
    return REGION_COLOURS[(number - 1) % len(REGION_COLOURS)]


def draw_regions(image: RgbImage, regions: Mapping[int, Box]) -> RgbImage:
    """A copy of the photo with every box outlined and its number in a tag at its top left corner.

    Args:
        image: UInt8 ``[h w 3]``.
        regions: Boxes in the photo's pixels, by number.

    Returns:
        UInt8 ``[h w 3]``.
    """
    return np.array(_drawn(image, regions), dtype=np.uint8)


def _drawn(image: RgbImage, regions: Mapping[int, Box]) -> Image.Image:
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    line_px = max(2, round(min(picture.size) / 200))
    font = ImageFont.load_default(size=max(12, round(min(picture.size) / 28)))
    for number, box in regions.items():
        colour = region_colour(number)
        pen.rectangle(box.xyxy, outline=colour, width=line_px)
        _, _, right, bottom = pen.textbbox((0, 0), str(number), font=font)
        width, height = right + 4 * line_px, bottom + 3 * line_px
        left = max(0, min(box.x1, picture.width - 1 - width))  # the whole tag stays on the photo
        top = max(0, min(box.y1, picture.height - 1 - height))
        pen.rectangle((left, top, left + width, top + height), fill=colour)
        pen.text((left + 2 * line_px, top + line_px), str(number), fill="white", font=font)
    return picture


def check_overlay_path(path: Path) -> None:
    """Refuse early, before a model is loaded, a target that could not be written later.

    Raises:
        OutputError: An ending that is no picture's, or a folder that is not there.
    """
    if path.suffix.lower() not in WRITABLE_FORMATS:
        raise OutputError(f"{path} does not end like a picture", f"Use one of {', '.join(WRITABLE_FORMATS)}.")
    try:
        has_folder, is_folder = path.parent.is_dir(), path.is_dir()
    except (OSError, ValueError) as error:  # a name that is too long, or holds a NUL
        raise OutputError(f"{path} cannot be a file: {error}", "Choose another name.") from error
    if not has_folder:
        raise OutputError(f"{path.parent} is not a folder", "Make it first, or choose another place.")
    if is_folder:
        raise OutputError(f"{path} is a folder", "Name a file.")


def save_overlay(path: Path, image: RgbImage, regions: Mapping[int, Box]) -> None:
    """Write the photo with its boxes; the file appears whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    check_overlay_path(path)
    picture = _drawn(image, regions)
    with written_aside(path) as file:
        try:
            picture.save(file, format=WRITABLE_FORMATS[path.suffix.lower()])
        except ValueError as error:  # WebP ends at 16383 pixels a side
            raise OutputError(f"cannot write {path}: {error}", "Name it .png, which has no limit of size.") from error
