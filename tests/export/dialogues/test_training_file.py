from pathlib import Path

import pytest

from gpt4roi_export.dialogues.imagine import ImagineSettings
from gpt4roi_export.dialogues.names import NameIndex
from gpt4roi_export.dialogues.training_file import imagined_scenes, read_scenes, with_dialogues, write_scenes
from gpt4roi_export.dialogues.wordings import Phrasings
from gpt4roi_export.scene import RegionFacts, Scene
from gpt4roi_runtime.errors import InputError


def _write(path: Path, index: NameIndex, n: int, seed: int) -> bytes:
    scenes = imagined_scenes(index, n, seed, ImagineSettings())
    assert write_scenes(path, with_dialogues(scenes, index, seed)) == n
    return path.read_bytes()


def test_the_seed_decides_everything(index: NameIndex, tmp_path: Path) -> None:
    first = _write(tmp_path / "a.jsonl", index, 12, 1)
    assert _write(tmp_path / "b.jsonl", index, 12, 1) == first
    assert _write(tmp_path / "c.jsonl", index, 12, 2) != first
    assert first.startswith(_write(tmp_path / "d.jsonl", index, 4, 1))


def test_what_is_written_is_read(index: NameIndex, tmp_path: Path) -> None:
    scene = Scene("a", (10, 10), (RegionFacts((0, 0, 5, 5), "apple", "red", "fruit"),), Path("images/1.jpg"))
    (written,) = with_dialogues([scene], index, seed=3, phrasings=Phrasings.HELD_OUT)
    write_scenes(tmp_path / "a.jsonl", [written])
    assert list(read_scenes(tmp_path / "a.jsonl")) == [written]
    assert written.dialogues


def test_a_scene_gets_the_same_dialogues_whatever_stands_beside_it(index: NameIndex) -> None:
    scenes = list(imagined_scenes(index, 5, 4, ImagineSettings()))
    together = list(with_dialogues(scenes, index, seed=1))
    assert list(with_dialogues(scenes[3:4], index, seed=1)) == together[3:4]


@pytest.mark.parametrize("content", ["{", '{"id": 3}\n', '{"id":"a","size":[1,1],"regions":[],"more":1}\n', "[]\n"])
def test_a_damaged_line_is_named(tmp_path: Path, content: str) -> None:
    good = '{"id":"a","size":[1,1],"regions":[]}\n'
    (tmp_path / "s.jsonl").write_text(good + content)
    with pytest.raises(InputError, match=r"s\.jsonl:2 is not a scene"):
        list(read_scenes(tmp_path / "s.jsonl"))


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        list(read_scenes(tmp_path / "nothing.jsonl"))
