"""Layouts of many answers, and the journal of an unfinished run."""

import csv
import io
import json
from pathlib import Path

import pytest

from gpt4roi_runtime.captions import Caption, Journal, Photo, as_file, as_line
from gpt4roi_runtime.errors import OutputError

CUP = Caption(1, (10, 20, 50, 60), 'a "red"\ncup, hot', "end", 4, "cup", 0.5)
DOG = Caption(2, (0, 0, 5.5, 8), "ein Bär", "max_tokens", 2)
PHOTO = Photo("photo.jpg", 100, 80)


def test_lines() -> None:
    assert as_line(CUP, "text") == '   1  10,20,50,60  a "red" cup, hot'
    assert json.loads(as_line(CUP, "jsonl")) == {
        "number": 1,
        "box_px": [10, 20, 50, 60],
        "answer": 'a "red"\ncup, hot',
        "stop_reason": "end",
        "n_tokens": 4,
        "name": "cup",
        "score": 0.5,
    }
    assert "name" not in json.loads(as_line(DOG, "jsonl"))
    for layout in ("text", "jsonl"):
        assert as_file([CUP, DOG], layout, PHOTO, "What?") == f"{as_line(CUP, layout)}\n{as_line(DOG, layout)}\n"


def test_a_table_reads_back() -> None:
    rows = list(csv.DictReader(io.StringIO(as_file([CUP, DOG], "csv", PHOTO, "What?"), newline="")))
    assert [row["answer"] for row in rows] == [CUP.answer, DOG.answer]
    assert [float(rows[1][side]) for side in ("x1", "y1", "x2", "y2")] == [0, 0, 5.5, 8]
    assert (rows[0]["name"], rows[1]["name"]) == ("cup", "")


def test_one_object() -> None:
    account = json.loads(as_file([CUP, DOG], "json", PHOTO, "What?", {"seconds": {"load": 1.5}}))
    assert account["photo"] == {"path": "photo.jpg", "width_px": 100, "height_px": 80}
    assert account["question"] == "What?"
    assert [region["number"] for region in account["regions"]] == [1, 2]
    assert account["seconds"] == {"load": 1.5}


def test_coco() -> None:
    account = json.loads(as_file([CUP, DOG], "coco", PHOTO, "What?"))
    assert account["images"] == [{"id": 1, "file_name": "photo.jpg", "width": 100, "height": 80}]
    assert account["categories"] == [{"id": 1, "name": "cup"}, {"id": 2, "name": "region"}]
    first, second = account["annotations"]
    assert (first["bbox"], first["area"], first["category_id"]) == ([10, 20, 40, 40], 1600, 1)
    assert (second["bbox"], second["caption"], second["category_id"]) == ([0, 0, 5.5, 8], "ein Bär", 2)


def test_a_journal_goes_on_where_it_was_left(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    with Journal(target, "key") as journal:
        assert journal.captions == ()
        journal.add(CUP)
    with Journal(target, "key") as journal:
        assert journal.captions == (CUP,)
        journal.add(DOG)
    with Journal(target, "key") as journal:
        assert journal.captions == (CUP, DOG)
        journal.finish()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n_cut", [1, 5, 40])
def test_a_line_that_a_crash_cut_is_written_again(tmp_path: Path, n_cut: int) -> None:
    target = tmp_path / "out.json"
    with Journal(target, "key") as journal:
        journal.add(CUP)
        journal.add(DOG)
    journal.path.write_bytes(journal.path.read_bytes()[:-n_cut])
    with Journal(target, "key") as journal:
        assert journal.captions == (CUP,)
        journal.add(DOG)
    with Journal(target, "key") as journal:
        assert journal.captions == (CUP, DOG)


def test_a_journal_cut_in_its_first_line_begins_anew(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    Journal(target, "key").__exit__(None, None, None)
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:-3])
    with Journal(target, "key") as journal:
        journal.add(CUP)
    with Journal(target, "key") as journal:
        assert journal.captions == (CUP,)


def test_a_journal_of_another_run_is_refused_and_stays(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    with Journal(target, "key") as journal:
        journal.add(CUP)
    before = journal.path.read_bytes()
    with pytest.raises(OutputError, match="another photo"):
        Journal(target, "other")
    assert journal.path.read_bytes() == before


def test_a_damaged_journal_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "out.json.unfinished.jsonl").write_bytes(b"no json\n")
    with pytest.raises(OutputError, match="damaged"):
        Journal(tmp_path / "out.json", "key")
    with pytest.raises(OutputError, match="cannot write"):
        Journal(tmp_path / "nowhere" / "out.json", "key")


def test_a_chosen_answer_says_how_likely_it_is() -> None:
    chosen = Caption(3, (1, 2, 3, 4), "red", "chosen", 0, probability=0.9, choices={"red": 0.9, "blue": 0.1})
    assert as_line(chosen, "text") == "   3  1,2,3,4  red  0.90"
    assert json.loads(as_line(chosen, "jsonl"))["choices"] == {"red": 0.9, "blue": 0.1}
    assert "choices" not in json.loads(as_line(CUP, "jsonl"))
    rows = list(csv.DictReader(io.StringIO(as_file([CUP, chosen], "csv", PHOTO, "What?"), newline="")))
    assert [row["probability"] for row in rows] == ["", "0.9"]
