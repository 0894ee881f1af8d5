"""Boxes without names on real pictures: regions in which the region module is to stay what the encoder is.

Does not know what is in them.
"""

from pathlib import Path

import msgspec
import numpy as np

from gpt4roi_export import plain_paths
from gpt4roi_export.pictures.index import read_index
from gpt4roi_export.scene import RegionFacts, Scene
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.storage import written_aside

_SIDES = (0.15, 0.9)


def write_unnamed(pictures: Path, target: Path, per_picture: int, seed: int) -> int:
    """Write a JSONL file of scenes on the photos and backdrops that may be trained on.

    Args:
        pictures: The picture folder.
        target: File to write, in that folder, so that the pictures lie beside it.
        per_picture: Boxes on each.
        seed: The same seed draws the same boxes.

    Returns:
        How many pictures there are.

    Raises:
        InputError: The folder is missing or damaged.
        OutputError: The file cannot be written.
    """
    index = read_index(pictures)
    paths = [photo.path for photo in index.photos if photo.split == "train"]
    paths += [backdrop.path for backdrop in index.backdrops if backdrop.split == "train"]
    with written_aside(target) as file:
        for number, path in enumerate(paths):
            height, width = load_image(pictures / path).shape[:2]
            boxes = _boxes(np.random.default_rng([seed, number]), per_picture) * (width, height, width, height)
            regions = tuple(RegionFacts(box=(x1, y1, x2, y2)) for x1, y1, x2, y2 in boxes.round(1).tolist())
            scene = Scene(f"unnamed-{seed}-{number:06d}", (width, height), regions, Path(path))
            file.write(msgspec.json.encode(scene, enc_hook=plain_paths.encoded) + b"\n")
    return len(paths)


def _boxes(rng: np.random.Generator, n: int) -> np.ndarray:
    sides = rng.uniform(*_SIDES, (n, 2))
    corners = rng.uniform(0.0, 1.0, (n, 2)) * (1.0 - sides)
    return np.concatenate([corners, corners + sides], axis=1)
