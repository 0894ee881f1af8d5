"""Picture files made on the spot, good and bad."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gpt4roi_runtime.arrays import RgbImage

EXTENSION = {
    "JPEG": "jpg",
    "PNG": "png",
    "WEBP": "webp",
    "BMP": "bmp",
    "TIFF": "tif",
    "GIF": "gif",
    "AVIF": "avif",
}
LOSSLESS: dict[str, dict[str, Any]] = {"PNG": {}, "WEBP": {"lossless": True}, "BMP": {}, "TIFF": {}}
SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    **LOSSLESS,
    "JPEG": {"quality": 100, "subsampling": 0},
    "GIF": {},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}


def quarters(height: int = 32, width: int = 48) -> RgbImage:
    """Four colours, one in each quarter, so that every flip and every turn shows."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    top, left = slice(None, height // 2), slice(None, width // 2)
    bottom, right = slice(height // 2, None), slice(width // 2, None)
    image[top, left] = (255, 0, 0)
    image[top, right] = (0, 255, 0)
    image[bottom, left] = (0, 0, 255)
    image[bottom, right] = (255, 255, 255)
    return image


def noise(height: int, width: int, seed: int = 0) -> RgbImage:
    """Any colours, the same for the same seed."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(picture: Image.Image | RgbImage, kind: str, **options: Any) -> bytes:
    """The bytes of a file of that kind, as near to lossless as it goes."""
    image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    file = io.BytesIO()
    image.save(file, format=kind, **{**SAVE_OPTIONS.get(kind, {}), **options})
    return file.getvalue()


def as_stored(upright: RgbImage, orientation: int) -> RgbImage:
    """What a camera stores with this EXIF orientation so that ``upright`` is what a person should see.

    By the EXIF standard's own words: which side of the scene the first stored row and the first stored column are.
    """
    turned = upright.transpose(1, 0, 2)
    stored = {
        1: upright,  # row 0 top, column 0 left
        2: upright[:, ::-1],  # top, right
        3: upright[::-1, ::-1],  # bottom, right
        4: upright[::-1],  # bottom, left
        5: turned,  # left, top
        6: turned[::-1],  # right, top
        7: turned[::-1, ::-1],  # right, bottom
        8: turned[:, ::-1],  # left, bottom
    }[orientation]
    return np.ascontiguousarray(stored)


def orientation_exif(orientation: int) -> Image.Exif:
    """EXIF with nothing but an orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def png(
    width: int, height: int, depth: int, colour_type: int, samples: NDArray[np.generic] | None, *extra: bytes
) -> bytes:
    """A PNG written by hand: also 16-bit colours, which Pillow reads but does not write, and sizes that are a lie.

    ``extra`` chunks stand before the pixels; without ``samples`` there are none.
    """
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    rows = b""
    if samples is not None:
        rows = b"".join(b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in samples)
    chunks = (png_chunk(b"IHDR", header), *extra, png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """One chunk of a PNG with its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
