import io

import numpy as np
import pytest
from PIL import Image

from gpt4roi_export.pictures.cutting import MOST_SIDE_PX, clear_ground, decode_rgba, tight
from gpt4roi_runtime.errors import ImageError


def ring(ground: int) -> np.ndarray:
    """A red ring on a plain ground, with the same plain color inside."""
    rgba = np.full((80, 100, 4), ground, np.uint8)
    rgba[20:60, 30:70, :3] = (200, 30, 30)
    rgba[35:45, 45:55, :3] = ground
    rgba[..., 3] = 255
    return rgba


@pytest.mark.parametrize(("ground", "dark"), [(255, False), (0, True), (240, False)])
def test_the_ground_goes_as_far_as_it_reaches_in_from_the_edge(ground: int, *, dark: bool) -> None:
    alpha = clear_ground(ring(ground), dark=dark)[..., 3]
    assert alpha[:18].max() == 0
    assert alpha[25:55, 35:65].min() == 255  # the inside too, although it looks like the ground


def test_a_picture_without_such_a_ground_stays() -> None:
    rgba = ring(128)
    assert np.array_equal(clear_ground(rgba, dark=False), rgba)


def test_the_crop_is_tight() -> None:
    rgba = np.zeros((90, 90, 4), np.uint8)
    rgba[10:50, 20:80] = 255
    cut = tight(rgba)
    assert cut is not None
    assert cut.shape == (40, 60, 4)


def test_large_cutouts_are_shrunk() -> None:
    rgba = np.zeros((900, 500, 4), np.uint8)
    rgba[10:-10, 10:-10] = 255
    cut = tight(rgba)
    assert cut is not None
    assert max(cut.shape) == MOST_SIDE_PX


@pytest.mark.parametrize("opacity", [0, 255])
def test_nothing_and_everything_are_no_cutouts(opacity: int) -> None:
    assert tight(np.full((60, 60, 4), opacity, np.uint8)) is None


def test_specks_are_no_cutouts() -> None:
    rgba = np.zeros((60, 60, 4), np.uint8)
    rgba[10:14, 10:40] = 255
    assert tight(rgba) is None


def test_palettes_with_transparency_are_decoded() -> None:
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([0, 0, 0, 255, 0, 0])
    picture.putpixel((0, 0), 0)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", transparency=0)
    rgba = decode_rgba(buffer.getvalue(), "a.png")
    assert rgba[0, 0, 3] == 0
    assert tuple(rgba[2, 2]) == (255, 0, 0, 255)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\nbroken", b"GIF89a" + bytes(40)])
def test_other_content_is_refused(content: bytes) -> None:
    with pytest.raises(ImageError, match="odd"):
        decode_rgba(content, "odd")
