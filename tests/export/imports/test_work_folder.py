from pathlib import Path

import pytest

from gpt4roi_export.imports.work_folder import WorkFolder
from gpt4roi_runtime.errors import OutputError


def writes(folder: WorkFolder, name: str, log: list[str]) -> None:
    def act() -> None:
        log.append(name)
        (folder.path / name).write_text(name)

    folder.step(name, act)


def test_a_killed_import_goes_on_behind_its_last_whole_step(tmp_path: Path) -> None:
    log: list[str] = []
    first = WorkFolder(tmp_path / "bundle", "a")
    assert not first.open()
    writes(first, "one", log)

    def killed() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        first.step("two", killed)
    again = WorkFolder(tmp_path / "bundle", "a")
    assert again.open()
    writes(again, "one", log)
    writes(again, "two", log)
    assert log == ["one", "two"]
    assert not (tmp_path / "bundle").exists()
    again.become(tmp_path / "bundle", without=("one",))
    assert [path.name for path in (tmp_path / "bundle").iterdir()] == ["two"]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize("left", [b"", b"{", b'{"key": "b", "steps": ["one"]}', b'{"key": 3}'])
def test_what_another_import_left_is_thrown_away(tmp_path: Path, left: bytes) -> None:
    folder = WorkFolder(tmp_path / "bundle", "a")
    folder.path.mkdir()
    (folder.path / "steps.json").write_bytes(left)
    (folder.path / "half").write_text("")
    assert not folder.open()
    assert not (folder.path / "half").exists()


def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make"):
        WorkFolder(tmp_path / "file" / "bundle", "a").open()


def test_a_bundle_that_appeared_meanwhile_stays(tmp_path: Path) -> None:
    folder = WorkFolder(tmp_path / "bundle", "a")
    folder.open()
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "photo.jpg").write_text("")
    with pytest.raises(OutputError, match="already there"):
        folder.become(tmp_path / "bundle")
    assert (tmp_path / "bundle" / "photo.jpg").exists()
