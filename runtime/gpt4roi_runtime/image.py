"""A user's picture file -> upright RGB pixels; knows nothing of models. Files are hostile until decoded."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.errors import ImageError

DEFAULT_MAX_PIXELS = 178_000_000
"""Some 0.5 GB as RGB; larger pictures are more often an attack or a mistake than a photo."""

READABLE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")
"""The only decoders that are tried, in Pillow's names."""

_STRIP_PIXELS = 1 << 20

_CONVERT = "Convert it to JPEG or PNG first."


def load_image(source: Path | BinaryIO | BytesIO, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> RgbImage:
    """Decode a photo.

    EXIF orientation is applied. Transparent pixels are laid on white, CMYK, grey and palette pictures become RGB,
    and 16-bit values keep their high byte.

    Args:
        source: A path, or a binary file at the start of the picture.
        max_pixels: Larger pictures are refused before a pixel is decoded.

    Returns:
        UInt8 ``[h w 3]``, RGB.

    Raises:
        ImageError: Missing, unreadable, truncated, of an unknown kind, animated, or too large.
    """
    name = str(source) if isinstance(source, Path) else "the picture"
    with _pillow_alone():
        try:
            # Opened here, because Pillow leaves a file open whose first read fails.
            opened = source.open("rb") if isinstance(source, Path) else nullcontext(source)
            with opened as file, Image.open(file, formats=READABLE_FORMATS) as picture:
                _refuse_too_large(name, picture, max_pixels)
                _refuse_animated(name, picture)
                picture.load()
                return _upright_rgb(name, picture)
        except ImageError:
            raise
        except UnidentifiedImageError as error:
            raise ImageError(
                f"{name} is not a picture of a known kind", f"Known kinds: {', '.join(READABLE_FORMATS)}. {_CONVERT}"
            ) from error
        except FileNotFoundError as error:
            raise ImageError(f"{name} does not exist", "Check the path.") from error
        except OSError as error:
            if error.errno is not None:
                raise ImageError(
                    f"{name} cannot be read: {error.strerror}", "Check the path and its rights."
                ) from error
            raise _damaged(name, error) from error
        except MemoryError as error:
            raise ImageError(f"{name} does not fit in memory", "Make it smaller.") from error
        except Exception as error:
            raise _damaged(name, error) from error


_pillow_lock = threading.Lock()


@contextmanager
def _pillow_alone() -> Iterator[None]:
    """Pillow's own pixel limit is a global and would override ours; lift it for as long as we decode.

    Its warnings are about metadata or about that limit; what matters of them is an error here.
    """
    with _pillow_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _refuse_too_large(name: str, picture: Image.Image, max_pixels: int) -> None:
    width, height = picture.size
    if width * height > max_pixels:
        raise ImageError(
            f"{name} has {width} x {height} = {width * height:,} pixels; the limit is {max_pixels:,}",
            "Make it smaller, or raise the limit (--max-pixels).",
        )


def _refuse_animated(name: str, picture: Image.Image) -> None:
    """A phone's MPO is a JPEG with further views behind it: its first picture is the photo."""
    n_frames = int(getattr(picture, "n_frames", 1))
    if n_frames > 1 and picture.format != "MPO":
        raise ImageError(f"{name} has {n_frames} frames or pages", "Save the one you mean as a picture of its own.")


def _upright_rgb(name: str, picture: Image.Image) -> RgbImage:
    _turn(picture)
    if picture.mode in ("F", "I"):
        kind = "floating-point" if picture.mode == "F" else "32-bit"
        raise ImageError(f"{name} holds {kind} values, which have no agreed white", _CONVERT)
    if picture.mode.startswith("I;16"):
        grey = (np.asarray(picture).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)
        return np.ascontiguousarray(np.repeat(grey[:, :, None], 3, axis=2))
    if picture.has_transparency_data:
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA"))
    return _pixels_of(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _pixels_of(picture: Image.Image) -> RgbImage:
    """An RGB picture as an array, strip by strip: Pillow copies under Python's lock, and a window would stand still."""
    width, height = picture.size
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    n_rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, n_rows):
        bottom = min(height, top + n_rows)
        pixels[top:bottom] = np.asarray(picture.crop((0, top, width, bottom)))
    return pixels


def _turn(picture: Image.Image) -> None:
    """Turn the picture as its EXIF says; where that is broken, leave it as it is stored, like every other viewer."""
    try:
        ImageOps.exif_transpose(picture, in_place=True)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001, S110 - Pillow's EXIF reader raises many kinds on damaged bytes
        pass


def _damaged(name: str, error: Exception) -> ImageError:
    return ImageError(f"{name} is damaged: {error}", "Copy or download it again; a part of it is missing or wrong.")
