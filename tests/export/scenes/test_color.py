import numpy as np
import pytest

from gpt4roi_export.scene import COLORS
from gpt4roi_export.scenes.color import dominant_color

RNG = np.random.default_rng(3)

PATCHES = {
    "red": [(255, 0, 0), (200, 20, 20), (140, 10, 15), (220, 20, 60)],
    "orange": [(255, 140, 0), (255, 165, 0), (240, 120, 20)],
    "yellow": [(255, 255, 0), (255, 215, 0), (230, 210, 40), (250, 240, 120)],
    "green": [(0, 255, 0), (30, 120, 30), (107, 142, 35), (140, 200, 110), (0, 60, 20)],
    "blue": [(0, 0, 255), (30, 60, 160), (135, 206, 235), (0, 0, 110), (70, 130, 180)],
    "purple": [(128, 0, 128), (138, 43, 226), (147, 112, 219), (75, 0, 130)],
    "pink": [(255, 192, 203), (255, 105, 180), (255, 150, 170)],
    "brown": [(139, 69, 19), (101, 67, 33), (160, 82, 45), (120, 80, 50)],
    "black": [(0, 0, 0), (25, 25, 25), (20, 18, 30), (40, 40, 42)],
    "white": [(255, 255, 255), (240, 240, 240), (250, 248, 240)],
    "gray": [(128, 128, 128), (90, 92, 95), (180, 180, 180), (112, 128, 144)],
}


def patch(rgb: tuple[int, int, int], n_pixels: int = 400) -> np.ndarray:
    """Pixels of one color with a little noise, as a camera adds."""
    noisy = np.array(rgb) + RNG.normal(0, 2, (n_pixels, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("term", "rgb"), [(term, rgb) for term, patches in PATCHES.items() for rgb in patches])
def test_what_people_agree_on(term: str, rgb: tuple[int, int, int]) -> None:
    assert dominant_color(patch(rgb)) == term


def test_every_term_is_tried() -> None:
    assert set(PATCHES) == set(COLORS)


@pytest.mark.parametrize("rgb", [(64, 224, 208), (0, 160, 160)])
def test_what_people_disagree_on_has_no_term(rgb: tuple[int, int, int]) -> None:
    assert dominant_color(patch(rgb)) is None


def test_half_is_enough_if_the_next_is_far_behind() -> None:
    little = np.concatenate([patch((255, 0, 0), 600), patch((0, 0, 255), 280), patch((255, 255, 0), 120)])
    much = np.concatenate([patch((255, 0, 0), 600), patch((0, 0, 255), 320), patch((255, 255, 0), 80)])
    assert dominant_color(little) == "red"
    assert dominant_color(much) is None


def test_many_colors_are_none() -> None:
    terms = [(255, 0, 0), (0, 0, 255), (255, 255, 0), (0, 200, 0)]
    assert dominant_color(np.concatenate([patch(rgb) for rgb in terms])) is None


def test_a_few_pixels_have_no_color() -> None:
    assert dominant_color(patch((255, 0, 0), 10)) is None
    assert dominant_color(np.zeros((0, 3), np.uint8)) is None
