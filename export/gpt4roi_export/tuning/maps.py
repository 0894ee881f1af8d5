"""The maps of the encoder's frozen front of every picture, computed once and kept as half floats in mapped files.

A file holds the maps of a number of pictures, so that a kill loses little. Does not know scenes, dialogues or losses.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gpt4roi_export.efficientnet_lite import PIXEL_MEAN, PIXEL_STD
from gpt4roi_export.modules.pyramid import Levels
from gpt4roi_runtime.arrays import PixelValues
from gpt4roi_runtime.bundle.manifest import Preprocessing, Resize
from gpt4roi_runtime.errors import ImageError, OutputError
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.storage import written_aside
from gpt4roi_runtime.vision.preprocess import preprocess

PICTURES_PER_FILE = 128

Halves = NDArray[np.float16]
Trunk = Callable[[torch.Tensor], Levels]
"""Pixels ``[1 3 side side]`` to maps, frozen."""


@dataclass(frozen=True)
class CachedMaps:
    """Maps of a data file's pictures.

    Attributes:
        files: Mapped arrays ``[pictures values]``, all but the last of the same length.
        broken: What is wrong with the pictures that have no maps, by index.
    """

    files: Sequence[Halves]
    broken: Mapping[int, str]

    def __getitem__(self, picture: int) -> Halves:
        """All values of one picture's maps."""
        file, row = divmod(picture, PICTURES_PER_FILE)
        values: Halves = self.files[file][row]
        return values


class PictureMaps:
    """Maps of a stage's pictures, by scene.

    Args:
        shapes: Of the maps of one picture.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]]) -> None:
        self._shapes = tuple(shapes)
        self._place: dict[int, tuple[CachedMaps, int]] = {}

    def add(self, scene: int, maps: CachedMaps, picture: int) -> None:
        """Say where the maps of a scene's picture are."""
        self._place[scene] = (maps, picture)

    def of(self, scenes: Sequence[int], device: torch.device) -> Levels:
        """Maps of these scenes' pictures, float32, each ``[b c h w]``."""
        rows = np.stack([maps[picture] for maps, picture in map(self._place.__getitem__, scenes)])
        values = torch.from_numpy(rows).to(device).float()
        parts = torch.split(values, [int(np.prod(shape)) for shape in self._shapes], dim=1)
        return tuple(part.reshape(-1, *shape) for part, shape in zip(parts, self._shapes, strict=True))


class MapsCache:
    """A folder of maps.

    Args:
        folder: Made if missing.
        trunk: Computes them.
        trunk_id: Changes with the trunk's weights; other weights' maps are not taken.
        side_px: Of the square picture that the trunk sees.
        device: Where the trunk computes.
        note: Told what takes long.
    """

    def __init__(
        self,
        folder: Path,
        trunk: Trunk,
        trunk_id: str,
        side_px: int,
        device: torch.device,
        note: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._folder, self._trunk, self._trunk_id, self._device, self._note = folder, trunk, trunk_id, device, note
        self._how = Preprocessing(
            resize=Resize(to="stretch", side_px=side_px, filter="bicubic"),
            scale=1.0 / 255.0,
            mean=(PIXEL_MEAN,) * 3,
            std=(PIXEL_STD,) * 3,
        )
        blank = np.zeros((1, 3, side_px, side_px), dtype=np.float32)
        self.shapes = tuple(tuple(level.shape[1:]) for level in self._maps(blank))
        self._n_values = sum(int(np.prod(shape)) for shape in self.shapes)

    def of_pictures(self, pictures: Sequence[Path]) -> CachedMaps:
        """Maps of these pictures, from the folder where they are there, and computed where not.

        Raises:
            OutputError: The disk refused.
        """
        files: list[Halves] = []
        broken: dict[int, str] = {}
        for start in range(0, len(pictures), PICTURES_PER_FILE):
            some = pictures[start : start + PICTURES_PER_FILE]
            values = self._file_of(some, start, len(pictures))
            files.append(values)
            for row in np.flatnonzero(np.isnan(values[:, 0])):
                broken[start + int(row)] = _what_is_wrong(some[int(row)])
        return CachedMaps(files, broken)

    def _file_of(self, pictures: Sequence[Path], start: int, n_all: int) -> Halves:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"maps-{self._key(pictures)}.npy"
            if (known := self._read(path, len(pictures))) is not None:
                return known
            self._note(f"computing the maps of pictures {start + 1} to {start + len(pictures)} of {n_all}")
            with written_aside(path) as file:
                np.save(file, np.stack([self._values_of(picture) for picture in pictures]), allow_pickle=False)
            written = self._read(path, len(pictures))
        except OSError as failed:
            raise OutputError(f"cannot keep maps in {self._folder}: {failed}", "Choose another cache.") from failed
        if written is None:
            raise OutputError(f"{path} changed while it was used", "Let no one else write there.")
        return written

    def _read(self, path: Path, n_pictures: int) -> Halves | None:
        """A file of the right size, or None."""
        try:
            values = np.load(path, mmap_mode="r", allow_pickle=False)
        except (FileNotFoundError, ValueError, EOFError):
            return None
        fits = values.dtype == np.float16 and values.shape == (n_pictures, self._n_values)
        return values if fits else None

    def _key(self, pictures: Sequence[Path]) -> str:
        digest = hashlib.sha256(self._trunk_id.encode())
        for picture in pictures:
            facts = picture.stat()
            digest.update(
                f"\n{picture.resolve()} {facts.st_size} {facts.st_mtime_ns}".encode("utf-8", "surrogateescape")
            )
        return digest.hexdigest()[:32]

    def _values_of(self, picture: Path) -> Halves:
        try:
            pixels = preprocess(load_image(picture), self._how)
        except ImageError:
            return np.full(self._n_values, np.nan, dtype=np.float16)
        maps = [level[0].flatten().cpu().numpy() for level in self._maps(pixels)]
        limit = float(np.finfo(np.float16).max)
        return np.concatenate(maps).clip(-limit, limit).astype(np.float16)

    def _maps(self, pixels: PixelValues) -> Levels:
        with torch.inference_mode():
            # On a CPU, convolutions are a third faster where a pixel's channels lie together.
            return self._trunk(torch.from_numpy(pixels).to(self._device, memory_format=torch.channels_last))


def state_id(module: nn.Module) -> str:
    """Hash of a module's weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _what_is_wrong(picture: Path) -> str:
    try:
        load_image(picture)
    except ImageError as broken:
        return broken.problem
    return f"{picture} could not be read before; remove the cached maps to try again"
