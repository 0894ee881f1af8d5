"""Everything a stage learns from, read and checked: scenes, the rows of their dialogues, and what each names.

Does not know how pictures or dialogues enter a loss.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpt4roi_export.scene import Scene
from gpt4roi_export.tuning.batches import Items
from gpt4roi_export.tuning.imagined import Vocabulary
from gpt4roi_export.tuning.maps import MapsCache, PictureMaps
from gpt4roi_export.tuning.recipe import Stage
from gpt4roi_export.tuning.scene_files import Complaint, picture_path, read_scenes
from gpt4roi_export.tuning.sequences import SequenceMaker, TalkRows
from gpt4roi_runtime.errors import InputError, SettingsError


@dataclass(frozen=True)
class PlacedScene:
    """A scene and where its picture lies.

    Attributes:
        scene: As read.
        picture: Its picture's path, or None.
    """

    scene: Scene
    picture: Path | None


@dataclass(frozen=True)
class Item:
    """One thing to learn from: a dialogue, or a scene without words.

    Attributes:
        scene: Its place among the stage's scenes.
        talk: The dialogue; None where only the region module learns.
    """

    scene: int
    talk: TalkRows | None


@dataclass(frozen=True)
class StageData:
    """What a stage learns from.

    Attributes:
        scenes: All of them.
        items: All of them.
        sizes: Of the items, for making steps.
        hashes: SHA-256 of each file, in the recipe's order.
        complaints: What was skipped.
        maps: Of the scenes' pictures.
    """

    scenes: Sequence[PlacedScene]
    items: Sequence[Item]
    sizes: Items
    hashes: tuple[str, ...]
    complaints: tuple[Complaint, ...]
    maps: PictureMaps

    def shown_names(self) -> set[str]:
        """Names of what pictures show."""
        regions = (region for placed in self.scenes if placed.picture for region in placed.scene.regions)
        return {region.name for region in regions if region.name is not None}


def read_stage(stage: Stage, vocabulary: Vocabulary, maker: SequenceMaker | None, cache: MapsCache) -> StageData:
    """Read a stage's files.

    Args:
        stage: Of the recipe.
        vocabulary: Names that can be told.
        maker: Lays dialogues out; None where the language model takes no part, and every pictured scene is an item.
        cache: Gives the maps of pictures.

    Raises:
        SettingsError: A file cannot be read, or nothing in it can be used.
        OutputError: The cache's disk refused.
    """
    reader = _Reader(vocabulary, maker, cache)
    for file in stage.data:
        reader.read(file.path, file.weight)
    return reader.result()


class _Reader:
    def __init__(self, vocabulary: Vocabulary, maker: SequenceMaker | None, cache: MapsCache) -> None:
        self._vocabulary, self._maker, self._cache = vocabulary, maker, cache
        self._scenes: list[PlacedScene] = []
        self._items: list[Item] = []
        self._weights: list[float] = []
        self._hashes: list[str] = []
        self._complaints: list[Complaint] = []
        self._maps = PictureMaps(cache.shapes)

    def read(self, path: Path, weight: float) -> None:
        """Add one file."""
        placed: list[tuple[PlacedScene, list[TalkRows | None]]] = []

        def check(scene: Scene, folder: Path) -> None:
            placed.append(self._placed(scene, folder))

        found = read_scenes(path, check)
        self._hashes.append(found.sha256)
        self._complaints += found.complaints
        pictures = [scene.picture for scene, _ in placed if scene.picture is not None]
        maps = self._cache.of_pictures(pictures)
        picture = -1
        for (scene, talks), line in zip(placed, found.lines, strict=True):
            if scene.picture is not None:
                picture += 1
                if picture in maps.broken:
                    self._complaints.append(Complaint(path, line, maps.broken[picture]))
                    continue
                self._maps.add(len(self._scenes), maps, picture)
            self._items += [Item(len(self._scenes), talk) for talk in talks]
            self._weights += [weight] * len(talks)
            self._scenes.append(scene)

    def result(self) -> StageData:
        """All that was read."""
        if not self._items:
            raise SettingsError("the stage's files hold nothing to learn from", "They need dialogues, or pictures.")
        lengths = [1 if item.talk is None else len(item.talk) for item in self._items]
        pictures = [-1 if self._scenes[item.scene].picture is None else item.scene for item in self._items]
        sizes = Items(np.array(lengths), np.array(pictures), np.array(self._weights))
        return StageData(self._scenes, self._items, sizes, tuple(self._hashes), tuple(self._complaints), self._maps)

    def _placed(self, scene: Scene, folder: Path) -> tuple[PlacedScene, list[TalkRows | None]]:
        picture = picture_path(scene, folder)
        for region in scene.regions:
            if region.name is not None and region.name not in self._vocabulary.index:
                raise InputError(f"the name {region.name!r} is not in the vocabulary")
        if self._maker is None:
            if picture is None:
                raise InputError("there is no picture, and this stage learns from pictures only")
            return PlacedScene(scene, picture), [None]
        if not scene.dialogues:
            raise InputError("there is no dialogue")
        return PlacedScene(scene, picture), [self._maker.rows_of(scene, dialogue) for dialogue in scene.dialogues]


def fingerprint(stages: Sequence[StageData]) -> str:
    """One hash for the data of a whole run."""
    return hashlib.sha256("\n".join(digest for stage in stages for digest in stage.hashes).encode()).hexdigest()
