import itertools
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from gpt4roi_runtime.errors import OutputError
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.overlay import (
    REGION_COLOURS,
    WRITABLE_FORMATS,
    check_overlay_path,
    draw_regions,
    region_colour,
    save_overlay,
)
from tests.helpers.photos import noise
from tests.helpers.reference import contrast_ratio

GREY = np.full((200, 300, 3), 128, dtype=np.uint8)
BOX = Box(50, 40, 200, 160)


def rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue


def n_white(image: np.ndarray) -> int:
    """Pixels nearer to white than to any colour or to the photo; small digits are smoothed."""
    return int((image > 160).all(axis=2).sum())


# --- colours ----------------------------------------------------------------------------------------------------------


def test_colours_are_told_apart() -> None:
    for one, other in itertools.combinations(REGION_COLOURS, 2):
        assert np.linalg.norm(np.subtract(rgb(one), rgb(other))) > 60, (one, other)


@pytest.mark.parametrize("colour", REGION_COLOURS)
def test_white_digits_can_be_read_on_every_colour(colour: str) -> None:
    assert contrast_ratio(colour, "#ffffff") >= 3


def test_the_measure_of_contrast_is_right_at_its_ends() -> None:
    assert contrast_ratio("#000000", "#ffffff") == pytest.approx(21)
    assert contrast_ratio("#123456", "#123456") == pytest.approx(1)


def test_colours_go_round() -> None:
    n = len(REGION_COLOURS)
    assert [region_colour(number) for number in range(1, n + 1)] == list(REGION_COLOURS)
    assert region_colour(n + 1) == region_colour(1)
    assert region_colour(9999) in REGION_COLOURS


# --- drawing ----------------------------------------------------------------------------------------------------------


def test_a_box_is_outlined_in_its_colour_and_its_inside_is_left() -> None:
    image = draw_regions(GREY, {2: BOX})
    colour = rgb(region_colour(2))
    for y, x in ((100, 50), (100, 200), (40, 150), (160, 150)):
        assert tuple(image[y, x]) == colour
    np.testing.assert_array_equal(image[130, 150], GREY[130, 150])
    np.testing.assert_array_equal(image[:39], GREY[:39])
    np.testing.assert_array_equal(image[:, :49], GREY[:, :49])


def test_a_number_is_written_in_white() -> None:
    assert n_white(draw_regions(GREY, {1: BOX})) > 5
    assert n_white(draw_regions(GREY, {88: BOX})) > n_white(draw_regions(GREY, {1: BOX}))


def test_the_photo_is_not_changed() -> None:
    image = noise(60, 80)
    before = image.copy()
    draw_regions(image, {1: Box(0, 0, 80, 60)})
    np.testing.assert_array_equal(image, before)


def test_no_regions_are_the_photo_itself() -> None:
    np.testing.assert_array_equal(draw_regions(GREY, {}), GREY)


def test_more_regions_than_colours_are_drawn() -> None:
    regions = {number: Box(number * 10, number * 5, number * 10 + 30, number * 5 + 40) for number in range(1, 21)}
    image = draw_regions(GREY, regions)
    assert all((image == rgb(colour)).all(axis=2).any() for colour in REGION_COLOURS)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (2, 2), (3000, 20)])
def test_any_photo_has_an_overlay_of_its_own_size(size: tuple[int, int]) -> None:
    height, width = size
    assert draw_regions(noise(height, width), {1: Box(0, 0, width, height)}).shape == (height, width, 3)


@pytest.mark.parametrize(
    "box",
    [
        Box(0, 0, 10, 10),
        Box(290, 0, 300, 10),
        Box(0, 190, 10, 200),
        Box(290, 190, 300, 200),
        Box(299.5, 199.5, 300, 200),
    ],
    ids=["top left", "top right", "bottom left", "bottom right", "last half pixel"],
)
@pytest.mark.parametrize("number", [1, 88])
def test_a_number_can_be_read_at_every_edge(box: Box, number: int) -> None:
    in_the_middle = Box(140, 90, 140 + box.x2 - box.x1, 90 + box.y2 - box.y1)
    assert n_white(draw_regions(GREY, {number: box})) == n_white(draw_regions(GREY, {number: in_the_middle}))


# --- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [*WRITABLE_FORMATS, ".PNG", ".Jpg"])
def test_each_ending_writes_its_kind(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    save_overlay(path, GREY, {1: BOX})
    drawn = load_image(path).astype(int)
    assert drawn.shape == GREY.shape
    assert np.abs(drawn - draw_regions(GREY, {1: BOX})).mean() < 4


@pytest.mark.parametrize("name", ["out", "out.gif", "out.txt", "out.png.bak", ".png"])
def test_another_ending_is_refused_with_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError) as refused:
        check_overlay_path(tmp_path / name)
    assert ".png" in refused.value.advice


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="none is not a folder"):
        save_overlay(tmp_path / "none" / "out.png", GREY, {})


def test_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out.png").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        check_overlay_path(tmp_path / "out.png")


def test_a_name_too_long_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / f"{'x' * 300}.png", tmp_path / ("x" * 300) / "out.png"):
        with pytest.raises(OutputError):
            save_overlay(path, GREY, {})


def test_an_older_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"old")
    save_overlay(path, GREY, {1: BOX})
    assert load_image(path).shape == GREY.shape


def test_a_full_disk_leaves_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> NoReturn:
        raise OSError(28, "No space left on device")

    path = tmp_path / "out.png"
    path.write_bytes(b"old")
    monkeypatch.setattr("gpt4roi_runtime.storage.os.fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        save_overlay(path, GREY, {1: BOX})
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("ending", "width"), [(".webp", 16_384), (".jpg", 65_501)])
def test_a_photo_too_wide_for_the_kind_is_refused(tmp_path: Path, ending: str, width: int) -> None:
    with pytest.raises(OutputError):
        save_overlay(tmp_path / f"out{ending}", np.zeros((2, width, 3), dtype=np.uint8), {})
    assert list(tmp_path.iterdir()) == []
