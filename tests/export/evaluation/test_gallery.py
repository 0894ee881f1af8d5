from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpt4roi_export.evaluation.gallery import choose_wrong, write_gallery
from gpt4roi_export.evaluation.report import Record
from gpt4roi_runtime.errors import ImageError, OutputError


def _record(number: int, task: str, image: Path, *, right: bool = False) -> Record:
    words = "word " * 80
    return Record(
        str(number), "s", task, "a", str(image), {1: (2, 2, 30, 20)}, ("What is <region1>?",), (words,), "no", right,
        unsure=False,
    )  # fmt: skip


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "green.png"
    Image.new("RGB", (64, 48), (0, 200, 0)).save(path)
    return path


def test_sheets_show_pictures_with_boxes_and_words(image: Path, tmp_path: Path) -> None:
    sheets = write_gallery([_record(number, "name", image) for number in range(11)], tmp_path / "out", n=10)
    assert [path.name for path in sheets] == ["wrong-1.png", "wrong-2.png"]
    pixels = np.asarray(Image.open(sheets[0]))
    assert (pixels == (0, 200, 0)).all(axis=2).any()
    assert (pixels == (230, 25, 75)).all(axis=2).any()  # region 1 has this colour everywhere
    assert np.asarray(Image.open(sheets[1])).shape[1] * 3 == pixels.shape[1]


def test_tasks_take_turns_and_right_answers_are_left_out(image: Path) -> None:
    records = [_record(number, "name", image) for number in range(9)]
    records += [_record(20, "color", image), _record(21, "size", image, right=True)]
    chosen = choose_wrong(records, 4, seed=0)
    assert [record.task for record in chosen] == ["name", "color", "name", "name"]
    assert choose_wrong(records, 4, seed=0) == chosen


def test_nothing_wrong_makes_no_sheet(image: Path, tmp_path: Path) -> None:
    assert write_gallery([_record(1, "name", image, right=True)], tmp_path / "out") == ()


def test_a_picture_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.png"):
        write_gallery([_record(1, "name", tmp_path / "gone.png")], tmp_path / "out")


def test_a_file_is_no_folder(image: Path) -> None:
    with pytest.raises(OutputError, match="cannot make the folder"):
        write_gallery([], image)
