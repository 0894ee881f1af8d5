import json
from pathlib import Path

import pytest
from PIL import Image

from gpt4roi_export.evaluation.suites import REAL_PHOTOS, read_real_photos, read_suite
from gpt4roi_export.scene import COLORS
from gpt4roi_export.vocabulary import read_vocabulary
from gpt4roi_runtime.errors import InputError
from gpt4roi_runtime.image import load_image
from tests.export.evaluation.made import SCENES, write_suite

RUNTIME = Path(__file__).parents[3] / "runtime"


def test_a_suite_knows_every_right_name(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "some")
    assert suite.name == "some"
    assert suite.scenes == SCENES
    assert suite.accepted["s0"] == (frozenset({"heron", "egret"}), frozenset({"apple"}))
    assert suite.accepted["s1"] == (frozenset({"heron"}), frozenset({"apple"}))
    assert load_image(suite.picture(SCENES[0])).shape == (100, 100, 3)


def test_names_are_given_for_named_regions_only(tmp_path: Path) -> None:
    line = {
        "id": "a",
        "size": [9, 9],
        "image": "a.png",
        "regions": [{"box": [0, 0, 4, 4]}, {"box": [0, 0, 4, 4], "name": "dog"}],
    }
    (tmp_path / "scenes.jsonl").write_text(json.dumps(line))
    (tmp_path / "accepted.json").write_text('{"a": [["puppy"]]}')
    assert read_suite(tmp_path).accepted["a"] == (frozenset(), frozenset({"dog", "puppy"}))


@pytest.mark.parametrize("image", ["../a.png", "/etc/passwd", None])
def test_pictures_lie_in_the_folder(tmp_path: Path, image: str | None) -> None:
    (tmp_path / "scenes.jsonl").write_text(json.dumps({"id": "a", "size": [9, 9], "regions": [], "image": image}))
    with pytest.raises(InputError, match="no picture in the folder"):
        read_suite(tmp_path)


def test_damaged_names_are_refused(tmp_path: Path) -> None:
    write_suite(tmp_path / "s")
    (tmp_path / "s" / "accepted.json").write_text('{"s0": ["heron"]}')
    with pytest.raises(InputError, match=r"accepted\.json"):
        read_suite(tmp_path / "s")


def test_real_photos_that_are_not_there_are_left_out() -> None:
    suite = read_real_photos([RUNTIME])
    assert [scene.id for scene in suite.scenes] == ["astronaut", "coffee"]
    for scene in suite.scenes:
        assert load_image(suite.picture(scene)).shape[1::-1] == scene.size


def test_no_photo_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of the photos"):
        read_real_photos([tmp_path])


def test_boxes_drawn_by_hand_are_sound(tmp_path: Path) -> None:
    vocabulary = read_vocabulary()
    lines = [json.loads(line) for line in REAL_PHOTOS.read_text().splitlines()]
    for photo in lines:
        path = tmp_path / photo["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", photo["size"]).save(path)
    suite = read_real_photos([tmp_path])
    assert len(suite.scenes) == len(lines) >= 12
    for scene in suite.scenes:
        width, height = scene.size
        for region, names in zip(scene.regions, suite.accepted[scene.id], strict=True):
            x1, y1, x2, y2 = region.box
            assert 0 <= x1 < x2 <= width, scene.id
            assert 0 <= y1 < y2 <= height, scene.id
            assert region.name in names
            assert names & set(vocabulary.names), names
            assert region.color in (None, *COLORS)
            assert region.kind in (None, *vocabulary.kinds)
