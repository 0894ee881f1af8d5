"""A folder of composed scenes: JPEG files, facts about their regions, and the names that count as right.

Does not know how a scene is composed, or what is asked about it.
"""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import msgspec
import numpy as np

from gpt4roi_export import plain_paths
from gpt4roi_export.pictures.index import INDEX, read_index
from gpt4roi_export.scene import RegionFacts, Scene
from gpt4roi_export.scenes.choosing import choose_ground, choose_photo, choose_sprites, stock_of
from gpt4roi_export.scenes.compose import SceneSettings, compose
from gpt4roi_export.scenes.sprites import Rgb
from gpt4roi_runtime.errors import InputError, OutputError
from gpt4roi_runtime.storage import sha256_of, written_aside

SCENES, ACCEPTED, IMAGES, ORDER = "scenes.jsonl", "accepted.json", "images", "order.json"
_PHOTOS, _PHOTOS_TO_TRAIN_ON = 0.10, 0.25
"""Shares of scenes that are a part of a photo; real pictures are what training has least of."""
_PIECE = 64
_N_PROCESSES = 2

Progress = Callable[[str, float], None]
"""Told what is being done now, and which share (0..1) of the whole work lies before it."""


@dataclass(frozen=True)
class Order:
    """What to compose.

    Attributes:
        pictures: The picture folder.
        out: Folder to write.
        seed: With the number of a scene, all that chance depends on.
        split: "train", "held-out" or "trained-objects".
    """

    pictures: Path
    out: Path
    seed: int
    split: str


def compose_scenes(
    order: Order, count: int, progress: Progress = lambda _doing, _done: None, n_processes: int = _N_PROCESSES
) -> None:
    """Write ``images/*.jpg``, ``scenes.jsonl`` and ``accepted.json``.

    The same order gives the same scenes, whatever the number of processes. Pictures that are already there are kept,
    so that an interrupted run goes on where it was.

    Args:
        order: What to compose.
        count: How many scenes.
        progress: Told what is being done.
        n_processes: How many to work in; 1 is this one.

    Raises:
        InputError: The picture folder is missing, damaged or too poor, the split or the count makes no sense, or the
            folder holds scenes of another order.
        OutputError: The folder cannot be written.
    """
    if count < 1:
        raise InputError(f"{count} scenes", "Expected a number from 1 up.")
    stock_of(order.pictures, read_index(order.pictures), order.split)  # refuses before anything is written
    try:
        (order.out / IMAGES).mkdir(parents=True, exist_ok=True)
    except OSError as failed:
        raise OutputError(f"cannot make the folder {order.out}: {failed}", "Choose another one.") from failed
    _require_same_order(order)
    pieces = [range(start, min(start + _PIECE, count)) for start in range(0, count, _PIECE)]
    scenes: list[Scene] = []
    accepted: dict[str, list[tuple[str, ...]]] = {}
    for made in _made(order, pieces, n_processes):
        for scene, names in made:
            scenes.append(scene)
            accepted[scene.id] = names
        progress("composing scenes", len(scenes) / count)
    with written_aside(order.out / SCENES) as file:
        file.write(b"".join(msgspec.json.encode(scene, enc_hook=plain_paths.encoded) + b"\n" for scene in scenes))
    with written_aside(order.out / ACCEPTED) as file:
        file.write(json.dumps(accepted, indent=0).encode())


def _require_same_order(order: Order) -> None:
    """Pictures of an earlier run are kept, so they must be the ones that this run would write."""
    mine = {"seed": order.seed, "split": order.split, "pictures": sha256_of(order.pictures / INDEX)}
    path = order.out / ORDER
    try:
        theirs = json.loads(path.read_bytes()) if path.exists() else mine
    except (OSError, ValueError) as failed:
        raise InputError(f"cannot read {path}: {failed}", "Remove the folder, or choose another one.") from failed
    if theirs != mine:
        raise InputError(f"{order.out} holds scenes of {theirs}", f"Expected {mine}: choose another folder.")
    with written_aside(path) as file:
        file.write(json.dumps(mine).encode())


_Made = list[tuple[Scene, list[tuple[str, ...]]]]


def _made(order: Order, pieces: list[range], n_processes: int) -> Iterator[_Made]:
    if n_processes == 1:
        yield from map(partial(_piece, order), pieces)
        return
    with ProcessPoolExecutor(n_processes, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        yield from pool.map(partial(_piece, order), pieces)


def _one_thread() -> None:
    cv2.setNumThreads(1)  # the processes are the threads


def _piece(order: Order, numbers: range) -> _Made:
    """The scenes of some numbers; a picture that is there already is not written again."""
    stock = stock_of(order.pictures, read_index(order.pictures), order.split)
    photos = _PHOTOS_TO_TRAIN_ON if order.split == "train" else _PHOTOS
    on_photos = {region.named.name: region.named.accepted for photo in stock.photos for region in photo.regions}
    made: _Made = []
    for number in numbers:
        rng = np.random.default_rng([order.seed, number])
        accepted: list[tuple[str, ...]]
        if stock.photos and rng.random() < photos:
            picture, facts, _ = choose_photo(stock, rng)
            by_name = on_photos
        else:
            sprites = choose_sprites(stock, rng)
            by_name = {sprite.named.name: sprite.named.accepted for sprite in sprites}
            picture, facts = compose(sprites, choose_ground(stock, rng), rng, SceneSettings())
        accepted = [by_name[region.name] for region in facts if region.name is not None]
        image = Path(IMAGES) / f"{number:06d}.jpg"
        _write_picture(picture, order.out / image, int(rng.integers(40, 96)))
        made.append((_scene(order, number, picture, facts, image), accepted))
    return made


def _scene(order: Order, number: int, picture: Rgb, facts: tuple[RegionFacts, ...], image: Path) -> Scene:
    height, width = picture.shape[:2]
    return Scene(f"{order.split}-{order.seed}-{number:06d}", (width, height), facts, image)


def _write_picture(rgb: Rgb, path: Path, quality: int) -> None:
    if path.exists():
        return
    done, content = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise OutputError(f"cannot encode {path.name}", os.fspath(path))
    with written_aside(path) as file:
        file.write(content.tobytes())
