"""Proposals that become labels, and the file of scenes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from gpt4roi_export.cli import commands
from gpt4roi_export.nanodet.pseudo_labels import (
    DETECTED,
    Strictness,
    label_pictures,
    left_out,
    overlap,
    pictures_in,
    scene_of,
)
from gpt4roi_runtime.errors import InputError
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.vision.proposals import Proposal
from tests.conftest import REPOSITORY

SAMPLES = REPOSITORY / "runtime" / "gpt4roi_runtime" / "samples"
PHOTO = np.zeros((100, 200, 3), dtype=np.uint8)


def names(*proposals: Proposal, strictness: Strictness | None = None) -> list[str | None]:
    scene = scene_of(Path("a.jpg"), PHOTO, proposals, strictness or Strictness(), {"tv": "television"})
    return [region.name for region in scene.regions]


def at(x: float, name: str, score: float = 0.9, width: float = 40, height: float = 40) -> Proposal:
    return Proposal(Box(x, 0, x + width, height), name, score)


def test_only_sure_large_and_free_boxes_become_labels() -> None:
    assert names(at(0, "cup"), at(100, "dog", 0.49)) == ["cup"]
    assert names(at(0, "cup", width=15.9), at(100, "dog", width=16)) == ["dog"]
    assert names(at(0, "cup", height=7.9), at(100, "dog", height=8)) == ["dog"]
    # a shift of s gives an overlap of (40 - s) / (40 + s): 0.63 for 9, 0.6 for 10
    assert names(at(0, "cup"), at(9, "dog")) == ["cup"]
    assert names(at(0, "cup"), at(10, "dog")) == ["cup", "dog"]


def test_labels_are_names_of_the_vocabulary() -> None:
    assert names(at(0, "tv"), at(100, "dog")) == ["television", "dog"]


def test_a_scene_has_no_more_regions_than_allowed_and_the_best_first() -> None:
    many = [at(30 * number, str(number), width=20) for number in range(6)]
    assert names(*many) == ["0", "1", "2", "3", "4"]
    assert names(*many, strictness=Strictness(max_regions=2)) == ["0", "1"]


def test_overlap_of_boxes() -> None:
    assert overlap(Box(0, 0, 2, 2), Box(0, 0, 2, 2)) == 1
    assert overlap(Box(0, 0, 2, 2), Box(1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert overlap(Box(0, 0, 2, 2), Box(5, 0, 6, 2)) == 0
    assert overlap(Box(0, 0, 2, 2), Box(5, 5, 6, 6)) == 0


def test_a_folder_becomes_a_file_of_scenes(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    shutil.copy(SAMPLES / "astronaut.jpg", folder)
    Image.new("RGB", (50, 50)).save(folder / "empty.png")
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "note.txt").write_text("no picture")
    scenes = label_pictures(pictures_in(folder), tmp_path / DETECTED)
    (line,) = (tmp_path / DETECTED).read_text().splitlines()
    scene = json.loads(line)
    assert len(scenes) == 1
    assert scene["image"] == scene["id"] == "images/astronaut.jpg"
    assert scene["size"] == [512, 512]
    (region,) = scene["regions"]
    assert region["name"] == "person"
    np.testing.assert_allclose(region["box"], [16, 15, 365, 508], atol=12)


def test_a_picture_is_left_out_by_its_name_alone() -> None:
    left = [name for name in map(str, range(2000)) if left_out(name, 0.15)]
    assert 250 < len(left) < 350
    assert left_out(left[0], 0.15)
    assert not left_out(left[0], 0.0)


def test_the_command_names_people_on_pictures_of_any_origin(tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "astronaut.jpg", tmp_path / "a.jpg")
    Image.new("RGB", (64, 48)).save(tmp_path / "b.png")
    done = CliRunner().invoke(commands, ["detected", "--pictures", str(tmp_path), "--keep-out", "0"])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("wrote 1 boxes on 1 of 2 pictures")
    assert json.loads((tmp_path / DETECTED).read_text())["regions"][0]["name"] == "person"


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    refused = CliRunner().invoke(commands, ["detected", "--pictures", str(tmp_path)]).exception
    assert isinstance(refused, InputError)
    assert str(tmp_path) in refused.problem
