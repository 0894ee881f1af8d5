"""A photo's file, read once for the screen, the model and the session. Knows no window and no model."""

import hashlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from gpt4roi_desktop.session import Photo
from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.errors import ImageError
from gpt4roi_runtime.image import load_image

MAX_FILE_BYTES = 1 << 30
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif")


@dataclass(frozen=True)
class OpenedPhoto:
    """A photo and its pixels, uint8 ``[h w 3]``, upright."""

    photo: Photo
    pixels: RgbImage


def read_photo(path: Path) -> OpenedPhoto:
    """Read and decode a photo; the hash is of the very bytes that were decoded.

    Raises:
        ImageError: Missing, not a file, too large, or not a picture.
    """
    try:
        if path.exists() and not path.is_file():
            raise ImageError(f"{path} is not a file", "Choose a picture.")
        if path.is_file() and path.stat().st_size > MAX_FILE_BYTES:
            raise ImageError(f"{path} is larger than {MAX_FILE_BYTES} bytes", "Make it smaller.")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"{path} does not exist", "Check the path.") from error
    except (OSError, ValueError) as error:
        raise ImageError(f"{path} cannot be read: {error}", "Check the path and its rights.") from error
    try:
        pixels = np.ascontiguousarray(load_image(BytesIO(content)))
    except ImageError as error:
        problem = error.problem.replace("the picture", path.name, 1)
        raise ImageError(
            problem, error.advice.replace(" (--max-pixels)", "").replace(", or raise the limit", "")
        ) from error
    height_px, width_px = pixels.shape[:2]
    return OpenedPhoto(Photo(path, hashlib.sha256(content).hexdigest(), width_px, height_px), pixels)


def is_there(path: Path) -> bool:
    """Whether a file may be read at a path that others wrote: a locked folder or an endless name is no file."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def neighbour(path: Path, step: int) -> Path | None:
    """The next (1) or previous (-1) photo of the same folder by name, or None behind the last.

    Raises:
        ImageError: The folder cannot be read.
    """
    try:
        names = {each.name for each in path.parent.iterdir() if each.suffix.lower() in SUFFIXES and each.is_file()}
    except OSError as error:
        raise ImageError(
            f"{path.parent} cannot be read: {error.strerror}", "Check the folder and its rights."
        ) from error
    ordered = sorted(names | {path.name}, key=lambda name: (name.lower(), name))
    place = ordered.index(path.name) + step
    return path.with_name(ordered[place]) if 0 <= place < len(ordered) else None
