"""Images within a budget."""

import numpy as np

from gpt4roi_runtime.asking import EncodedImage
from gpt4roi_runtime.vision.encoder import ImageFeatures
from gpt4roi_runtime.worker.kept_images import KeptImages, n_bytes


def image(n_rows: int = 2) -> EncodedImage:
    features = ImageFeatures(np.zeros((n_rows, 5), np.float32), (np.zeros((1, 3, 2, 2), np.float32),))
    return EncodedImage(8, 8, features, "0" * 16, {})


def test_the_bytes_of_an_image_are_those_of_its_arrays() -> None:
    assert n_bytes(image()) == 2 * 5 * 4 + 3 * 2 * 2 * 4


def test_the_least_used_makes_way() -> None:
    images = KeptImages(2 * n_bytes(image()))
    first, second, third = image(), image(), image()
    images.keep(1, first)
    images.keep(2, second)
    assert images.get(1) is first
    images.keep(3, third)
    assert [number in images for number in (1, 2, 3)] == [True, False, True]
    assert images.get(3) is third


def test_the_latest_stays_whatever_it_takes() -> None:
    images = KeptImages(n_bytes(image()))
    images.keep(1, image())
    images.keep(2, image(n_rows=100))
    assert [number in images for number in (1, 2)] == [False, True]


def test_a_number_that_is_used_again_is_one_image() -> None:
    images = KeptImages(2 * n_bytes(image()))
    for number in (1, 2, 2, 2):
        images.keep(number, image())
    assert 1 in images
