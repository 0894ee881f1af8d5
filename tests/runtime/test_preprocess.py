from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpt4roi_runtime.arrays import PixelValues, RgbImage
from gpt4roi_runtime.bundle.manifest import Preprocessing, Resize
from gpt4roi_runtime.errors import ImageError
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.vision.preprocess import preprocess
from tests.helpers.photos import noise, quarters

GOLDEN = Path(__file__).parents[1] / "golden"

GPT4ROI = Preprocessing(
    resize=Resize(to="shortest_edge", side_px=224, filter="bicubic"),
    scale=1 / 255,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
    stretch=Resize(to="stretch", side_px=224, filter="bilinear"),
)
STRETCH = Preprocessing(
    resize=Resize(to="stretch", side_px=16, filter="bicubic"), scale=1 / 127, mean=(1.0, 0.5, 0.0), std=(1.0, 2.0, 4.0)
)


@pytest.mark.parametrize("name", ["landscape", "portrait", "large"])
def test_the_authors_pixels(name: str) -> None:
    with np.load(GOLDEN / "preprocess.npz") as stored:
        golden = stored[name]
    ours = preprocess(load_image(GOLDEN / f"preprocess_{name}.png"), GPT4ROI)[0, :, ::4, ::4]
    assert np.linalg.norm(ours - golden) / np.linalg.norm(golden) < 1e-4


@pytest.mark.parametrize("how", [GPT4ROI, STRETCH], ids=["shortest edge, stretched", "stretched at once"])
@pytest.mark.parametrize("size", [(1, 1), (1, 60), (60, 1), (3, 200), (7, 5), (480, 640)])
def test_any_shape_becomes_one_contiguous_float32_square(size: tuple[int, int], how: Preprocessing) -> None:
    pixels: PixelValues = preprocess(noise(*size), how)
    assert pixels.shape == (1, 3, how.side_px, how.side_px)
    assert pixels.dtype == np.float32
    assert pixels.flags.c_contiguous
    assert np.isfinite(pixels).all()


@pytest.mark.parametrize("how", [GPT4ROI, STRETCH], ids=["shortest edge, stretched", "stretched at once"])
def test_a_plain_colour_stays_plain_and_normalised(how: Preprocessing) -> None:
    image: RgbImage = np.full((30, 50, 3), (255, 127, 0), dtype=np.uint8)
    expected = (np.array([255, 127, 0]) * how.scale - how.mean) / how.std
    for channel, value in zip(preprocess(image, how)[0], expected, strict=True):
        np.testing.assert_allclose(channel, value, atol=2e-6)


def test_channels_rows_and_columns_stay_where_they_are() -> None:
    pixels = preprocess(quarters(), STRETCH)[0] * np.array(STRETCH.std).reshape(3, 1, 1)
    colours = (pixels + np.array(STRETCH.mean).reshape(3, 1, 1)) * 127
    for row, column, colour in (
        (2, 2, (255, 0, 0)),
        (2, -3, (0, 255, 0)),
        (-3, 2, (0, 0, 255)),
        (-3, -3, (255, 255, 255)),
    ):
        np.testing.assert_allclose(colours[:, row, column], colour, atol=5)


def test_an_image_of_the_right_size_is_only_normalised() -> None:
    image = noise(16, 16)
    expected = (image.transpose(2, 0, 1) / 127 - np.array(STRETCH.mean).reshape(3, 1, 1)) / np.array(
        STRETCH.std
    ).reshape(3, 1, 1)
    np.testing.assert_allclose(preprocess(image, STRETCH)[0], expected, atol=1e-5)


def test_the_first_resize_averages_what_it_shrinks() -> None:
    stripes = np.zeros((16, 1600, 3), dtype=np.uint8)
    stripes[:, ::2] = 254
    shrunk = preprocess(stripes, STRETCH)[0, 0] * STRETCH.std[0] + STRETCH.mean[0]
    np.testing.assert_allclose(shrunk * 127, 127, atol=3)


@pytest.mark.parametrize("size", [(1, 200_000), (200_000, 1), (30, 500_000)])
def test_a_thread_of_a_photo_is_refused_before_it_fills_the_memory(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its short side grows to the model's, and its long side with it: here to 40 gigabytes and more."""
    monkeypatch.setattr(Image.Image, "resize", lambda *_, **__: pytest.fail("it was resized"))
    height, width = size
    with pytest.raises(ImageError, match=f"{width} x {height}"):
        preprocess(np.zeros((height, width, 3), dtype=np.uint8), GPT4ROI)


def test_the_photo_is_not_changed() -> None:
    image = noise(20, 30)
    before = image.copy()
    preprocess(image, GPT4ROI)
    np.testing.assert_array_equal(image, before)


def test_a_read_only_or_sliced_photo_is_read_as_well() -> None:
    image = noise(40, 60)
    sliced = image[::2, ::3]
    image.flags.writeable = False
    np.testing.assert_array_equal(preprocess(sliced, STRETCH), preprocess(np.ascontiguousarray(sliced), STRETCH))
