import json
from pathlib import Path

import cv2
import msgspec
import pytest

from gpt4roi_export.scene import Scene
from gpt4roi_export.scenes.write_scenes import ACCEPTED, SCENES, Order, compose_scenes
from gpt4roi_runtime.errors import InputError, OutputError


def read(out: Path) -> list[Scene]:
    lines = (out / SCENES).read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Scene, dec_hook=lambda kind, value: kind(value)) for line in lines]


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize("split", ["train", "trained-objects", "held-out"])
def test_scenes_and_pictures_belong_together(split: str, picture_folder: Path, tmp_path: Path) -> None:
    compose_scenes(Order(picture_folder, tmp_path, 5, split), 12, n_processes=1)
    scenes = read(tmp_path)
    accepted = json.loads((tmp_path / ACCEPTED).read_bytes())
    assert len({scene.id for scene in scenes}) == 12
    assert set(accepted) == {scene.id for scene in scenes}
    for scene in scenes:
        assert scene.image is not None
        picture = cv2.imread(str(tmp_path / scene.image))
        assert picture is not None
        assert (picture.shape[1], picture.shape[0]) == scene.size
        assert scene.regions
        assert scene.dialogues == ()
        assert [names[0] for names in accepted[scene.id]] == [region.name for region in scene.regions]
        held_out = {"yak", "box 1"}
        assert {region.name for region in scene.regions} <= held_out or split != "held-out"
        assert not {region.name for region in scene.regions} & held_out or split == "held-out"
        assert all(region.sure == (split != "held-out") for region in scene.regions)


def test_an_interrupted_run_goes_on_to_the_same_end(picture_folder: Path, tmp_path: Path) -> None:
    whole, parts = Order(picture_folder, tmp_path / "a", 1, "train"), Order(picture_folder, tmp_path / "b", 1, "train")
    compose_scenes(whole, 8, n_processes=1)
    compose_scenes(parts, 3, n_processes=1)
    (tmp_path / "b" / SCENES).unlink()
    kept = (tmp_path / "b" / "images" / "000001.jpg").stat().st_mtime_ns
    compose_scenes(parts, 8, n_processes=1)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert (tmp_path / "b" / "images" / "000001.jpg").stat().st_mtime_ns == kept


def test_two_processes_give_the_same(picture_folder: Path, tmp_path: Path) -> None:
    compose_scenes(Order(picture_folder, tmp_path / "a", 1, "train"), 3, n_processes=1)
    compose_scenes(Order(picture_folder, tmp_path / "b", 1, "train"), 3, n_processes=2)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_progress_is_told(picture_folder: Path, tmp_path: Path) -> None:
    told: list[float] = []
    order = Order(picture_folder, tmp_path, 1, "train")
    compose_scenes(order, 2, lambda _, done: told.append(done), n_processes=1)
    assert told == [1.0]


def test_scenes_of_another_order_are_not_mixed_in(picture_folder: Path, tmp_path: Path) -> None:
    compose_scenes(Order(picture_folder, tmp_path, 1, "train"), 1, n_processes=1)
    with pytest.raises(InputError, match="choose another folder"):
        compose_scenes(Order(picture_folder, tmp_path, 2, "train"), 1, n_processes=1)


def test_nonsense_is_refused_before_anything_is_written(picture_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for order, count in (
        (Order(picture_folder, out, 1, "test"), 1),
        (Order(picture_folder, out, 1, "train"), 0),
        (Order(tmp_path / "none", out, 1, "train"), 1),
    ):
        with pytest.raises(InputError):
            compose_scenes(order, count, n_processes=1)
    assert not out.exists()
    out.write_bytes(b"")
    with pytest.raises(OutputError, match="cannot make the folder"):
        compose_scenes(Order(picture_folder, out, 1, "train"), 1, n_processes=1)
