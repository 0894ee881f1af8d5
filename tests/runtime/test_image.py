import io
import os
import struct
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from gpt4roi_runtime.errors import ImageError
from gpt4roi_runtime.image import DEFAULT_MAX_PIXELS, READABLE_FORMATS, load_image
from tests.helpers.photos import (
    EXTENSION,
    LOSSLESS,
    as_stored,
    encoded,
    noise,
    orientation_exif,
    png,
    png_chunk,
    quarters,
)

KINDS = tuple(EXTENSION)


def refused(source: Path | bytes, **options: int) -> ImageError:
    with pytest.raises(ImageError) as caught:
        loaded(source, **options) if isinstance(source, bytes) else load_image(source, **options)
    assert caught.value.advice
    return caught.value


def loaded(content: bytes, **options: int) -> np.ndarray:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        return load_image(file, **options)


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


# --- kinds ------------------------------------------------------------------------------------------------------------


def test_every_readable_kind_is_tested() -> None:
    assert sorted(KINDS) == sorted(READABLE_FORMATS)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_reads_from_a_path_and_from_a_stream(tmp_path: Path, kind: str) -> None:
    content = encoded(quarters(), kind)
    image = load_image(written(tmp_path, f"photo.{EXTENSION[kind]}", content))
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable
    np.testing.assert_allclose(image.astype(int), quarters(), atol=0 if kind in LOSSLESS else 8)
    np.testing.assert_array_equal(loaded(content), image)


def test_the_content_decides_and_not_the_ending(tmp_path: Path) -> None:
    np.testing.assert_array_equal(load_image(written(tmp_path, "photo.jpg", encoded(quarters(), "PNG"))), quarters())


@pytest.mark.parametrize("kind", ["PPM", "ICO", "TGA", "PDF", "EPS"])
def test_other_kinds_are_refused_with_the_known_ones(kind: str) -> None:
    assert "JPEG" in refused(encoded(quarters(), kind)).advice


def test_bytes_in_memory_are_a_stream_as_well() -> None:
    np.testing.assert_array_equal(load_image(io.BytesIO(encoded(quarters(), "PNG"))), quarters())


# --- files that are none ----------------------------------------------------------------------------------------------


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.jpg"
    assert refused(path).problem == f"{path} does not exist"


def test_a_folder_is_named(tmp_path: Path) -> None:
    assert str(tmp_path) in refused(tmp_path).problem


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_rights_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "photo.png", encoded(quarters(), "PNG"))
    path.chmod(0)
    assert str(path) in refused(path).problem


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that fails at the first read")
def test_a_file_that_cannot_be_read_says_why() -> None:
    error = refused(Path("/proc/self/mem"))
    assert "cannot be read" in error.problem


def test_a_name_too_long_or_impossible_is_refused() -> None:
    assert "cannot be read" in refused(Path("x" * 300)).problem
    refused(Path("a\0b.jpg"))


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"Dear diary,\n", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF"]
)
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path, "photo.jpg", content)
    assert str(path) in refused(path).problem


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused(kind: str, part: float) -> None:
    content = encoded(noise(64, 64), kind)
    refused(content[: int(len(content) * part)])


# --- more than one picture --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
@pytest.mark.parametrize("n_frames", [2, 3])
def test_several_frames_or_pages_are_refused_with_their_number(kind: str, n_frames: int) -> None:
    first, *others = (Image.fromarray(noise(16, 16, seed)) for seed in range(n_frames))
    assert f"{n_frames} frames or pages" in refused(encoded(first, kind, save_all=True, append_images=others)).problem


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_an_animation_of_one_frame_is_a_photo(kind: str) -> None:
    assert loaded(encoded(quarters(), kind, save_all=True)).shape == quarters().shape


def test_a_phones_mpo_gives_its_first_picture() -> None:
    other = Image.fromarray(np.zeros_like(quarters()))
    content = encoded(quarters(), "MPO", save_all=True, append_images=[other], quality=100, subsampling=0)
    with Image.open(io.BytesIO(content)) as opened:
        assert (opened.format, opened.n_frames) == ("MPO", 2)  # type: ignore[attr-defined]
    np.testing.assert_allclose(loaded(content).astype(int), quarters(), atol=8)


# --- too large --------------------------------------------------------------------------------------------------------


def _never(*_: object) -> NoReturn:
    pytest.fail("a pixel was decoded")


def test_a_picture_too_large_is_refused_before_a_pixel_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", _never)
    problem = refused(png(60_000, 60_000, 8, 2, None)).problem
    assert "60000 x 60000 = 3,600,000,000 pixels" in problem
    assert f"{DEFAULT_MAX_PIXELS:,}" in problem


def test_a_gif_whose_frame_outgrows_its_screen_is_measured_by_the_frame() -> None:
    screen = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    frame = b"," + struct.pack("<HHHHB", 0, 0, 50_000, 50_000, 0) + b"\x02\x02\x4c\x01\x00;"
    assert "pixels" in refused(screen + frame).problem


@pytest.mark.parametrize("kind", KINDS)
def test_the_limit_counts_the_last_pixel(kind: str) -> None:
    content = encoded(noise(20, 30), kind)
    assert loaded(content, max_pixels=600).shape == (20, 30, 3)
    assert "20 = 600 pixels; the limit is 599" in refused(content, max_pixels=599).problem


@pytest.mark.parametrize("kind", KINDS)
def test_pillows_own_limit_neither_counts_nor_changes(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert loaded(encoded(noise(20, 30), kind)).shape == (20, 30, 3)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_pillows_limit_is_put_back_after_an_error() -> None:
    before = Image.MAX_IMAGE_PIXELS
    assert before is not None
    refused(b"no picture")
    refused(encoded(quarters(), "PNG"), max_pixels=1)
    assert before == Image.MAX_IMAGE_PIXELS


def test_threads_do_not_disturb_each_other() -> None:
    before = Image.MAX_IMAGE_PIXELS
    contents = [encoded(noise(40, 40, seed), "PNG") for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        for seed, image in enumerate(pool.map(loaded, contents * 4)):
            np.testing.assert_array_equal(image, noise(40, 40, seed % 8))
    assert before == Image.MAX_IMAGE_PIXELS


# --- colours ----------------------------------------------------------------------------------------------------------


def _white_means_255(mode: str) -> Image.Image:
    return Image.fromarray(quarters()).convert(mode)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(kind: str) -> None:
    image = loaded(encoded(_white_means_255("CMYK"), kind, quality=100))
    np.testing.assert_allclose(image.astype(int), quarters(), atol=12)


def test_grey_becomes_three_equal_channels() -> None:
    grey = noise(6, 5)[:, :, 0]
    np.testing.assert_array_equal(loaded(encoded(Image.fromarray(grey), "PNG")), np.repeat(grey[:, :, None], 3, axis=2))


def test_one_bit_becomes_black_and_white() -> None:
    image = loaded(encoded(Image.fromarray(np.array([[True, False]])), "PNG"))
    np.testing.assert_array_equal(image, [[[255] * 3, [0] * 3]])


GREY_16 = np.array([[0x0000, 0x00FF, 0x0100], [0x8040, 0xFF00, 0xFFFF]], dtype=np.uint16)


def test_a_16_bit_grey_png_keeps_its_high_byte() -> None:
    image = loaded(png(3, 2, 16, 0, GREY_16))
    np.testing.assert_array_equal(image[:, :, 0], [[0, 0, 1], [0x80, 0xFF, 0xFF]])
    np.testing.assert_array_equal(image[:, :, 0], image[:, :, 2])


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_a_16_bit_grey_tiff_keeps_its_high_byte(byte_order: str) -> None:
    mode = "I;16" if byte_order == "<" else "I;16B"
    picture = Image.frombytes(mode, (3, 2), GREY_16.astype(f"{byte_order}u2").tobytes())
    np.testing.assert_array_equal(loaded(encoded(picture, "TIFF"))[:, :, 1], GREY_16 >> 8)


def test_a_16_bit_colour_png_keeps_its_high_bytes() -> None:
    samples = np.array([[0x80, 0x40, 0x00, 0xFF, 0xFF, 0xFF]], dtype=np.uint16) << 8 | 0x7F
    np.testing.assert_array_equal(loaded(png(2, 1, 16, 2, samples)), [[[0x80, 0x40, 0x00], [0xFF, 0xFF, 0xFF]]])


def test_a_palette_becomes_its_colours() -> None:
    np.testing.assert_array_equal(loaded(encoded(_white_means_255("P"), "PNG")), quarters())


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_palette_entry_is_white(kind: str) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putpixel((1, 0), 1)
    np.testing.assert_array_equal(loaded(encoded(picture, kind, transparency=0)), [[[255] * 3, [200, 100, 50]]])


def test_one_transparent_colour_is_white() -> None:
    samples = np.array([[10, 20, 30, 200, 100, 50]], dtype=np.uint8)
    transparent = png_chunk(b"tRNS", struct.pack(">HHH", 10, 20, 30))
    np.testing.assert_array_equal(loaded(png(2, 1, 8, 2, samples, transparent)), [[[255] * 3, [200, 100, 50]]])


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_laid_on_white(kind: str) -> None:
    pixels = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [200, 100, 0, 128]]], dtype=np.uint8)
    image = loaded(encoded(Image.fromarray(pixels), kind))
    np.testing.assert_allclose(image.astype(int), [[[255] * 3, [0] * 3, [227, 177, 127]]], atol=1)


def test_grey_with_alpha_is_laid_on_white() -> None:
    pixels = np.array([[[0, 0], [0, 255], [200, 128]]], dtype=np.uint8)
    image = loaded(encoded(Image.fromarray(pixels), "PNG"))
    np.testing.assert_allclose(image.astype(int), [[[255] * 3, [0] * 3, [227] * 3]], atol=1)


def test_floating_point_values_are_refused() -> None:
    assert "floating-point" in refused(encoded(Image.fromarray(np.ones((2, 2), dtype=np.float32)), "TIFF")).problem


# --- orientation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_gives_the_upright_picture(kind: str, orientation: int) -> None:
    stored = encoded(as_stored(quarters(), orientation), kind, exif=orientation_exif(orientation))
    np.testing.assert_allclose(loaded(stored).astype(int), quarters(), atol=0 if kind in LOSSLESS else 8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_16_bit_grey_is_turned_upright_as_well(orientation: int) -> None:
    samples = as_stored(quarters(), orientation)[:, :, 0].astype(np.uint16) << 8
    exif = png_chunk(b"eXIf", orientation_exif(orientation).tobytes().removeprefix(b"Exif\0\0"))
    content = png(samples.shape[1], samples.shape[0], 16, 0, samples, exif)
    np.testing.assert_array_equal(loaded(content)[:, :, 0], quarters()[:, :, 0])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif",
    [
        b"garbage",
        b"Exif\0\0",
        b"Exif\0\0\xde\xad\xbe\xef\xde\xad\xbe\xef",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x63\0\0\0\0\0\0",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x01AAAA\0\0\0\0",
    ],
    ids=["garbage", "empty", "no-header", "too-few-entries", "far-offset", "orientation-99", "orientation-text"],
)
def test_broken_exif_costs_the_orientation_and_not_the_photo(kind: str, exif: bytes) -> None:
    image = loaded(encoded(quarters(), kind, exif=exif))
    np.testing.assert_allclose(image.astype(int), quarters(), atol=0 if kind in LOSSLESS else 8)


# --- anything at all --------------------------------------------------------------------------------------------------

SMALL = {kind: encoded(noise(12, 10), kind) for kind in KINDS} | {
    "MPO": encoded(noise(12, 10), "MPO", save_all=True, append_images=[Image.fromarray(noise(12, 10, 1))]),
    "animation": encoded(noise(12, 10), "GIF", save_all=True, append_images=[Image.fromarray(noise(12, 10, 1))]),
    "exif": encoded(noise(12, 10), "PNG", exif=orientation_exif(6)),
    "palette": encoded(Image.fromarray(noise(12, 10)).convert("P"), "PNG"),
}


@pytest.mark.parametrize("kind", SMALL)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_damaged_file_gives_pixels_or_an_image_error(kind: str, data: st.DataObject) -> None:
    content = bytearray(SMALL[kind])
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(1, len(content))) :]
    _pixels_or_image_error(bytes(content))


@settings(max_examples=100)
@given(st.sampled_from([content[:12] for content in SMALL.values()]), st.binary(max_size=200))
def test_a_right_beginning_with_any_end_gives_pixels_or_an_image_error(start: bytes, end: bytes) -> None:
    _pixels_or_image_error(start + end)


def _pixels_or_image_error(content: bytes) -> None:
    try:
        image = loaded(content, max_pixels=1_000_000)
    except ImageError:
        return
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.dtype == np.uint8
