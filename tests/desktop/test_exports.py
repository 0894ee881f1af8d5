import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpt4roi_desktop.exports import export
from gpt4roi_runtime.errors import OutputError
from tests.desktop.test_session_file import full

PHOTO = np.zeros((100, 200, 3), dtype=np.uint8)


def test_json(tmp_path: Path) -> None:
    export(tmp_path / "a.json", full(), PHOTO)
    account = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert account["regions"][1] == {"number": 2, "box_px": [30, 30, 60, 60]}
    assert account["dialogues"][0][0]["question"] == "What is <region1>?"
    assert account["dialogues"][0][0]["answer"] == "a cup"


def test_csv(tmp_path: Path) -> None:
    export(tmp_path / "a.csv", full(), PHOTO)
    rows = list(csv.reader(io.StringIO((tmp_path / "a.csv").read_text(encoding="utf-8"))))
    assert rows[1] == ["1", "What is [1]?", "1: 0,0,20,20", "a cup", "done"]


def test_markdown(tmp_path: Path) -> None:
    export(tmp_path / "a.md", full(), PHOTO)
    text = (tmp_path / "a.md").read_text(encoding="utf-8")
    assert "| 2 | 30 | 30 | 60 | 60 |" in text
    assert "**What is \\[1\\]?**" in text


def test_picture(tmp_path: Path) -> None:
    export(tmp_path / "a.png", full(), PHOTO)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (200, 100)
        assert np.asarray(picture).any()


def test_another_ending(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a\.xyz"):
        export(tmp_path / "a.xyz", full(), PHOTO)
    assert not list(tmp_path.iterdir())
