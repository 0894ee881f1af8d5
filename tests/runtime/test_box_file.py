"""A user's file of boxes: what is read, and what is refused."""

import json
from pathlib import Path

import pytest

from gpt4roi_runtime.box_file import MAX_BOXES, NamedBox, read_boxes
from gpt4roi_runtime.errors import RegionError
from gpt4roi_runtime.geometry import Box


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([[1, 2, 3, 4.5]], [NamedBox(Box(1, 2, 3, 4.5))]),
        ([], []),
        (
            {"regions": [{"number": 1, "box": [1, 2, 3, 4], "name": "cup", "score": 0.5}]},
            [NamedBox(Box(1, 2, 3, 4), "cup", 0.5)],
        ),
        ({"answer": "x", "regions": [{"number": 1, "box_px": [1, 2, 3, 4]}]}, [NamedBox(Box(1, 2, 3, 4))]),
        ([{"box": [1, 2, 3, 4]}, [5, 6, 7, 8]], [NamedBox(Box(1, 2, 3, 4)), NamedBox(Box(5, 6, 7, 8))]),
    ],
    ids=["lists", "none", "propose", "ask", "mixed"],
)
def test_boxes_are_read_in_order(tmp_path: Path, content: object, expected: list[NamedBox]) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert read_boxes(path) == tuple(expected)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a list"),
        (b"\xff", "not a list"),
        (b"{}", "regions"),
        (b'"boxes"', "not a list"),
        (b"[[1,2,3]]", "not a list"),
        (b"[[1,2,3,true]]", "not a list"),
        (b"[[1,2,3,1e999]]", "out of range"),
        (b"[[5,2,3,4]]", "region 1: .*reversed"),
        (b"[[1,2,3,4],[1,2,1,4]]", "region 2: .*no area"),
        (b'[{"name":"cup"}]', "region 1 has no box"),
        (b"[" * 100_000, "not a list"),
        (b"[" + b",".join([b"[1,2,3,4]"] * (MAX_BOXES + 1)) + b"]", "10,001 boxes"),
        (b" " * ((16 << 20) + 1), "16,777,217 bytes"),
    ],
    ids=range(13),
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "boxes.json"
    path.write_bytes(content)
    with pytest.raises(RegionError, match=words) as caught:
        read_boxes(path)
    assert str(path) in caught.value.problem
    assert caught.value.advice


def test_no_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(RegionError, match="cannot read"):
            read_boxes(path)
