"""JSONL files of scenes, line by line; what cannot be used is skipped, counted and said.

Does not know what scenes are used for, and decodes no picture.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from gpt4roi_export import plain_paths
from gpt4roi_export.scene import COLORS, RegionFacts, Scene
from gpt4roi_runtime.errors import InputError, SettingsError
from gpt4roi_runtime.storage import sha256_of

MAX_LINE_BYTES = 1 << 20

Check = Callable[[Scene, Path], None]
"""Raises InputError for a scene that its user cannot use; told the folder that the scene's picture lies in."""


@dataclass(frozen=True)
class Complaint:
    """One line that was skipped.

    Attributes:
        file: Where it stands.
        line: Its number, from 1.
        problem: Why.
    """

    file: Path
    line: int
    problem: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.problem}"


@dataclass
class SceneFile:
    """The usable scenes of one file.

    Attributes:
        path: Of the file.
        sha256: Of its content.
        scenes: In the file's order.
        lines: The line of each, from 1.
        complaints: What was skipped.
    """

    path: Path
    sha256: str
    scenes: list[Scene] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)


def read_scenes(path: Path, check: Check) -> SceneFile:
    """Read one file.

    Args:
        path: JSONL, one ``Scene`` a line; empty lines are passed over.
        check: What else a scene must fulfil.

    Raises:
        SettingsError: The file cannot be read, or no line of it can be used.
    """
    try:
        found = SceneFile(path, sha256_of(path))
        for number, line in _lines(path):
            try:  # every line for itself
                scene = _scene(line)
                check(scene, path.parent)
            except InputError as unusable:  # noqa: PERF203 - a bad line must not hide the good ones
                found.complaints.append(Complaint(path, number, unusable.problem))
            else:
                found.scenes.append(scene)
                found.lines.append(number)
    except OSError as failed:
        raise SettingsError(f"cannot read {path}: {failed.strerror}", "Check the recipe's data files.") from failed
    if not found.scenes:
        first = f"; the first: {found.complaints[0]}" if found.complaints else ""
        raise SettingsError(
            f"{path} holds no usable scene among {len(found.complaints)} lines{first}", "Make the data again."
        )
    return found


def picture_path(scene: Scene, folder: Path) -> Path | None:
    """Where the scene's picture lies; None if it has none.

    Raises:
        InputError: The path leads out of the folder, or nothing is there.
    """
    if scene.image is None:
        return None
    path = folder / scene.image
    try:
        inside = not scene.image.is_absolute() and path.resolve().is_relative_to(folder.resolve())
        present = inside and path.is_file()
    except (OSError, ValueError) as strange:  # a NUL, a loop of links, a name too long
        raise InputError(f"the picture {str(scene.image)!r} is not a path: {strange}") from strange
    if not inside:
        raise InputError(f"the picture {str(scene.image)!r} is outside the data's folder")
    if not present:
        raise InputError(f"the picture {str(scene.image)!r} does not exist")
    return path


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Numbered lines that hold something; of one that is too long, only the beginning."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES):
            number += 1
            rest = line
            while not rest.endswith(b"\n") and (rest := file.readline(MAX_LINE_BYTES)):
                pass
            if line.strip():
                yield number, line


def _scene(line: bytes) -> Scene:
    try:
        scene = msgspec.json.decode(line, type=Scene, dec_hook=plain_paths.decoded)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as wrong:
        raise InputError(str(wrong)) from wrong
    width, height = scene.size
    if width < 1 or height < 1:
        raise InputError(f"the size {width} x {height} is not a picture's")
    for number, region in enumerate(scene.regions, 1):
        _check_region(number, region, width, height)
    for dialogue in scene.dialogues:
        if not dialogue:
            raise InputError("a dialogue has no turn")
        for exchange in dialogue:
            if not exchange.question.strip() or not exchange.answer.strip():
                raise InputError("a question or an answer is empty")
    return scene


def _check_region(number: int, region: RegionFacts, width: int, height: int) -> None:
    x1, y1, x2, y2 = region.box
    if not (0.0 <= x1 < x2 <= width and 0.0 <= y1 < y2 <= height):
        raise InputError(f"the box {list(region.box)} of region {number} is not inside {width} x {height}")
    if region.name is not None and not region.name.strip():
        raise InputError(f"the name of region {number} is empty")
    if region.color is not None and region.color not in COLORS:
        raise InputError(f"the color {region.color!r} of region {number} is none of {', '.join(COLORS)}")
