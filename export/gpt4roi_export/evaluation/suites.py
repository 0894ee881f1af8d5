"""Pictures whose regions are known: composed scenes and photos labelled by hand. Knows no question and no model."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gpt4roi_export.dialogues.training_file import read_scenes
from gpt4roi_export.scene import RegionFacts, Scene
from gpt4roi_runtime.errors import InputError

SCENES, ACCEPTED = "scenes.jsonl", "accepted.json"
REAL_PHOTOS = Path(__file__).with_name("real_photos.jsonl")
"""Boxes drawn by hand on photos that Python packages bring along: this one, scikit-image, scikit-learn, Matplotlib and
Gradio. A photo whose package is not installed is left out."""


@dataclass(frozen=True)
class Suite:
    """Scenes to ask about.

    Attributes:
        name: What reports call it.
        folder: What the scenes' pictures are relative to.
        scenes: Facts; every scene has a picture.
        accepted: By scene, the names that are right for each of its regions; empty for a region without a name.
    """

    name: str
    folder: Path
    scenes: tuple[Scene, ...]
    accepted: Mapping[str, tuple[frozenset[str], ...]]

    def picture(self, scene: Scene) -> Path:
        """Where the scene's picture is."""
        return self.folder / (scene.image or "")


class _PhotoRegion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A box on a photo, and every name that is right for what is in it, the best one first."""

    box: tuple[float, float, float, float]
    names: tuple[str, ...]
    color: str | None = None
    kind: str | None = None


class _Photo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A photo of a Python package, by its path in the folder that packages are installed in."""

    id: str
    path: str
    size: tuple[int, int]
    regions: tuple[_PhotoRegion, ...]


def read_suite(folder: Path, name: str = "") -> Suite:
    """The scenes of a folder with ``scenes.jsonl`` and, where things have more than one right name, ``accepted.json``.

    Args:
        folder: As written by the composer of scenes.
        name: What reports call it; the folder's name if empty.

    Raises:
        InputError: A file is missing or is not what it should be.
    """
    scenes = tuple(read_scenes(folder / SCENES))
    for scene in scenes:
        if scene.image is None or not (folder / scene.image).resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{folder / SCENES}: scene {scene.id} has no picture in the folder", "Compose it anew.")
    given = _read_accepted(folder / ACCEPTED)
    accepted = {scene.id: _per_region(scene, given.get(scene.id, ())) for scene in scenes}
    return Suite(name or folder.resolve().name, folder, scenes, accepted)


def read_real_photos(roots: Sequence[Path] | None = None, labels: Path = REAL_PHOTOS) -> Suite:
    """The photos labelled by hand, as far as they are there.

    Args:
        roots: Folders that packages are installed in; None takes Python's own.
        labels: JSONL file of photos and boxes.

    Raises:
        InputError: The file is damaged, or no photo was found.
    """
    places = [Path(place) for place in sys.path] if roots is None else roots
    found = [(photo, path) for photo in _read_photos(labels) if (path := _find(photo.path, places)) is not None]
    if not found:
        raise InputError(
            f"none of the photos of {labels} was found", "Install scikit-image, scikit-learn or matplotlib."
        )
    scenes = tuple(
        Scene(
            photo.id,
            photo.size,
            tuple(RegionFacts(region.box, region.names[0], region.color, region.kind) for region in photo.regions),
            path,
        )
        for photo, path in found
    )
    accepted = {photo.id: tuple(frozenset(region.names) for region in photo.regions) for photo, _ in found}
    return Suite("real-photos", Path(), scenes, accepted)


def _find(path: str, places: Sequence[Path]) -> Path | None:
    return next((place / path for place in places if (place / path).is_file()), None)


def _read_photos(labels: Path) -> list[_Photo]:
    try:
        lines = labels.read_bytes().splitlines()
        return [msgspec.json.decode(line, type=_Photo) for line in lines]
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"cannot read {labels}: {error}", "Expected a JSONL file of photos and boxes.") from error


def _read_accepted(path: Path) -> Mapping[str, tuple[tuple[str, ...], ...]]:
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, tuple[tuple[str, ...], ...]])
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(
            f"cannot read {path}: {error}", "Expected a JSON object: by scene, the right names of each named region."
        ) from error


def _per_region(scene: Scene, given: Sequence[Sequence[str]]) -> tuple[frozenset[str], ...]:
    """The right names of every region: those given, which leave out regions without a name, and its own."""
    left = iter(given)
    return tuple(
        frozenset() if region.name is None else frozenset((region.name, *next(left, ()))) for region in scene.regions
    )
