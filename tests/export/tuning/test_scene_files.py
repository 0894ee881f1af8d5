import json
import re
from pathlib import Path
from typing import Any

import pytest

from gpt4roi_export.scene import Scene
from gpt4roi_export.tuning.scene_files import MAX_LINE_BYTES, picture_path, read_scenes
from gpt4roi_runtime.errors import InputError, SettingsError

REGION: dict[str, Any] = {"box": [0, 0, 50, 40], "name": "cat", "color": "red"}
GOOD: dict[str, Any] = {
    "id": "a",
    "size": [100, 80],
    "regions": [REGION],
    "dialogues": [[{"question": "What is <region1>?", "answer": "a cat"}]],
}


def anything(scene: Scene, folder: Path) -> None:
    pass


def write(folder: Path, *lines: object) -> Path:
    path = folder / "scenes.jsonl"
    path.write_bytes(
        b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    )
    return path


def with_region(**changes: object) -> dict[str, Any]:
    return {**GOOD, "regions": [{**REGION, **changes}]}


def with_turn(question: str, answer: str) -> dict[str, Any]:
    return {**GOOD, "dialogues": [[{"question": question, "answer": answer}]]}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{", "truncated"),
        (b"\xff\xfe\x00", "JSON|utf-8|malformed"),
        (b"[]", "object"),
        ({**GOOD, "mood": "good"}, "mood"),
        ({**GOOD, "image": 3}, "path|str|int"),
        ({**GOOD, "size": [0, 80]}, "0 x 80"),
        (with_region(box=[50, 0, 40, 40]), "is not inside"),
        (with_region(box=[0, 0, 101, 40]), "is not inside"),
        (with_region(box=[-1, 0, 10, 40]), "is not inside"),
        (with_region(box=[5, 5, 5, 40]), "is not inside"),
        (with_region(box=[0, 0, 10]), "length"),
        (with_region(name=" "), "name"),
        (with_region(color="mauve"), "mauve"),
        (with_turn(" ", "a cat"), "empty"),
        (with_turn("What is <region1>?", ""), "empty"),
        ({**GOOD, "dialogues": [[]]}, "no turn"),
        (b'{"id": "' + b"x" * MAX_LINE_BYTES + b'"}', "truncated|JSON"),
    ],
)
def test_a_bad_line_is_skipped_and_said(tmp_path: Path, line: object, problem: str) -> None:
    path = write(tmp_path, GOOD, line, {**GOOD, "id": "b"})
    found = read_scenes(path, anything)
    assert [scene.id for scene in found.scenes] == ["a", "b"]
    assert found.lines == [1, 3]
    (complaint,) = found.complaints
    assert complaint.line == 2
    assert re.search(problem, complaint.problem)
    assert str(complaint).startswith(f"{path}:2: ")


def test_empty_lines_are_passed_over(tmp_path: Path) -> None:
    found = read_scenes(write(tmp_path, b"", GOOD, b"  "), anything)
    assert (len(found.scenes), found.lines, found.complaints) == (1, [2], [])


def test_what_the_reader_refuses_is_said(tmp_path: Path) -> None:
    def refuse_b(scene: Scene, folder: Path) -> None:
        assert folder == tmp_path
        if scene.id == "b":
            raise InputError("no b")

    found = read_scenes(write(tmp_path, GOOD, {**GOOD, "id": "b"}), refuse_b)
    assert [complaint.problem for complaint in found.complaints] == ["no b"]


def test_nothing_left_is_an_error_with_the_first_reason(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no usable scene among 2 lines.*mood"):
        read_scenes(write(tmp_path, {**GOOD, "mood": 1}, b"{"), anything)


def test_a_missing_file_is_no_traceback(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read"):
        read_scenes(tmp_path / "none.jsonl", anything)


def test_the_hash_is_the_files(tmp_path: Path) -> None:
    first = read_scenes(write(tmp_path, GOOD), anything).sha256
    assert read_scenes(write(tmp_path, GOOD), anything).sha256 == first
    assert read_scenes(write(tmp_path, {**GOOD, "id": "b"}), anything).sha256 != first


def scene_with(image: str | None) -> Scene:
    return Scene("a", (10, 10), (), None if image is None else Path(image))


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        ("../b.png", "outside"),
        ("/etc/passwd", "outside"),
        ("link.png", "outside"),
        ("none.png", "exist"),
        ("a\0", "path"),
    ],
)
def test_a_picture_elsewhere_is_refused(tmp_path: Path, image: str, problem: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "b.png").write_bytes(b"")
    (folder / "link.png").symlink_to(tmp_path / "b.png")
    with pytest.raises(InputError, match=problem):
        picture_path(scene_with(image), folder)


def test_a_picture_in_the_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(b"")
    assert picture_path(scene_with("b.png"), tmp_path) == tmp_path / "b.png"
    assert picture_path(scene_with(None), tmp_path) is None
