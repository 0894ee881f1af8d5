"""Small synthetic pictures: colored disks as objects, stripes as backdrops."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from gpt4roi_export.pictures.index import Backdrop, Boxed, Cutout, Named, Photo, Pictures, write_index

RED, BLUE, WHITE = (200, 20, 20), (20, 40, 210), (245, 245, 245)


def disk(color: tuple[int, int, int], side: int = 80) -> np.ndarray:
    """RGBA of a filled disk that touches all sides."""
    rgba = np.zeros((side, side, 4), np.uint8)
    cv2.circle(rgba, (side // 2, side // 2), side // 2 - 1, (*color, 255), -1)
    return rgba


def thing(name: str, kind: str = "mammal", *, known: bool = True) -> Named:
    return Named(name, kind, known, (name, f"small {name}"))


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture folder with every sort of picture in both splits."""
    folder = tmp_path_factory.mktemp("pictures")
    cutouts, photos, backdrops = [], [], []
    for number, (name, split, color) in enumerate(
        [("cow", "train", RED), ("pig", "train", BLUE), ("pig", "train", RED), ("yak", "held-out", BLUE)]
    ):
        path = f"disk-{number}.png"
        cv2.imwrite(str(folder / path), cv2.cvtColor(disk(color), cv2.COLOR_RGBA2BGRA))
        named = thing(name, known=name != "yak")
        cutouts.append(Cutout(path, named, "pics", "MIT", number % 2 == 0, split))  # type: ignore[arg-type]
    for number, split in enumerate(["train", "held-out"]):
        stripes = np.zeros((200, 300, 3), np.uint8)
        stripes[:, number * 30 :: 60] = 180
        cv2.imwrite(str(folder / f"stripes-{number}.jpg"), stripes)
        backdrops.append(Backdrop(f"stripes-{number}.jpg", "pics", "MIT", split))  # type: ignore[arg-type]
        photo = np.full((120, 200, 3), 90, np.uint8)
        photo[30:90, 40:100] = 250
        cv2.imwrite(str(folder / f"photo-{number}.jpg"), photo)
        regions = (Boxed(thing(f"box {number}", known=False), (0.2, 0.25, 0.5, 0.75)),)
        photos.append(Photo(f"photo-{number}.jpg", regions, "pics", "MIT", split))  # type: ignore[arg-type]
    write_index(folder, Pictures(tuple(cutouts), tuple(photos), tuple(backdrops)))
    return folder
