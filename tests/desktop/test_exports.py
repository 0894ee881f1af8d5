import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpt4roi_desktop import edits, talk
from gpt4roi_desktop.exports import export, with_ending
from gpt4roi_desktop.interchange import captions_of
from gpt4roi_desktop.session import Chip, Session, Timing
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


def test_jsonl(tmp_path: Path) -> None:
    export(tmp_path / "a.jsonl", full(), PHOTO)
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["answer"] for line in lines] == ["a cup", ""]
    assert lines[0]["box_px"] == [0, 0, 20, 20]
    assert lines[1]["stop_reason"] == "unanswered"


def test_coco(tmp_path: Path) -> None:
    export(tmp_path / "a.coco.json", full(), PHOTO)
    account = json.loads((tmp_path / "a.coco.json").read_text(encoding="utf-8"))
    assert account["images"][0]["width"] == 200
    assert account["annotations"][1]["bbox"] == [30, 30, 30, 30]
    assert account["annotations"][0]["caption"] == "a cup"


def test_labelme(tmp_path: Path) -> None:
    export(tmp_path / "a.labelme.json", full(), PHOTO)
    account = json.loads((tmp_path / "a.labelme.json").read_text(encoding="utf-8"))
    assert account["shapes"][1]["points"] == [[30, 30], [60, 60]]
    assert account["shapes"][0]["description"] == "a cup"
    assert (account["imageHeight"], account["imageWidth"], account["imageData"]) == (100, 200, None)
    assert (tmp_path / account["imagePath"]).resolve() == Path("photo.png").resolve()


def test_a_region_goes_with_the_last_answer_about_it_alone() -> None:
    session = edits.select(full(), ())

    def answered(session: Session, answer: str, *ids: int) -> Session:
        session, exchange = talk.ask(session, tuple(Chip(each) for each in ids))
        return talk.finish(session, exchange, answer, Timing(0.1, None, 4, 40))

    session = answered(answered(session, "a mug", 2), "both are cups", 2, 3)
    assert [each.answer for each in captions_of(session)] == ["a mug", ""]


def test_a_name_that_is_no_text_can_be_exported(tmp_path: Path) -> None:
    session = full()
    strange = replace(session, photo=replace(session.photo, path=Path("a\udcff.png")))
    for name in ("a.jsonl", "a.coco.json", "a.labelme.json"):
        export(tmp_path / name, strange, PHOTO)
        assert "a?.png" in (tmp_path / name).read_text(encoding="utf-8") or name == "a.jsonl"


def test_the_chosen_kind_gives_the_ending() -> None:
    assert with_ending(Path("a"), ".coco.json") == Path("a.coco.json")
    assert with_ending(Path("a.png"), ".csv") == Path("a.png")
    assert with_ending(Path("a.b"), ".md") == Path("a.b.md")


def test_labelmes_own_name_is_the_photos_with_json(tmp_path: Path) -> None:
    export(tmp_path / "a.json", full(), PHOTO, ".labelme.json")
    assert "shapes" in json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    export(tmp_path / "a.csv", full(), PHOTO, ".labelme.json")
    assert (tmp_path / "a.csv").read_text(encoding="utf-8").startswith("dialogue,")
