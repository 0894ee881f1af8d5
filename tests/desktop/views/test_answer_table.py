"""Answers side by side, in a real window."""

from pathlib import Path

import pytest

pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed", exc_type=ImportError)
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog

from gpt4roi_desktop.session import Chip
from gpt4roi_runtime.worker import messages as m
from tests.desktop.views.desk import CONTROL, LEFT, Desk

KEY = Qt.Key


@pytest.fixture
def two(desk: Desk) -> Desk:
    desk.draw((20, 10, 80, 60), (120, 40, 180, 90))
    return desk


def cells(desk: Desk, column: int) -> list[str]:
    model = desk.window.answers.table.model()
    return [model.index(row, column).data() for row in range(model.rowCount())]


def spoken(desk: Desk) -> list[str]:
    """The boxes of the rows, which are painted as chips."""
    model = desk.window.answers.table.model()
    return [model.index(row, 0).data(Qt.ItemDataRole.AccessibleTextRole) for row in range(model.rowCount())]


def answer(desk: Desk, text: str) -> None:
    """Answer the question that is being asked, and wait until that is known."""
    number = desk.worker.last(m.Ask).id
    desk.worker.answer(text)
    desk.qtbot.waitUntil(lambda: desk.worker.last(m.Ask).id != number or desk.window.controller.running is None)


def survey(desk: Desk) -> None:
    desk.chat.each.menu().actions()[0].trigger()


def answer_all(desk: Desk, *texts: str) -> None:
    """Answer the survey that is being asked, and wait until that is known."""
    desk.worker.answer_boxes(dict(enumerate(texts)))
    desk.qtbot.waitUntil(lambda: desk.window.controller.running is None)


def test_all_boxes_into_a_table(two: Desk) -> None:
    survey(two)
    assert two.window.answers.isVisible()
    assert cells(two, 3) == ["answering", "answering"]
    two.worker.answer_boxes({1: "region1 is a mug"}, complete=False)
    two.qtbot.waitUntil(lambda: cells(two, 2) == ["", "region2 is a mug"])
    assert two.window.answers.progress.text() == "1 of 2"
    two.worker.answer_boxes({0: "region1 is a cup"})
    two.qtbot.waitUntil(lambda: two.window.controller.running is None)
    assert cells(two, 2) == ["region1 is a cup", "region2 is a mug"]
    assert cells(two, 4) == ["0.75 s", "0.75 s"]
    assert two.window.answers.progress.text() == "2 of 2"
    assert not two.window.answers.stop_button.isEnabled()
    assert spoken(two) == ["Region: 1", "Region: 2"]
    assert two.chat.view_of(two.session.exchanges()[0].id) is None  # the chat is for what was typed


def test_the_typed_question_goes_to_every_box(two: Desk) -> None:
    assert not two.chat.each_typed.isEnabled()
    second = two.session.regions[1].id
    two.window.boxes.change(lambda session: type(session)(**{**session.__dict__, "draft": ("Where is ", Chip(second))}))
    assert two.chat.each_typed.isEnabled()
    two.press(KEY.Key_Return, CONTROL)
    assert two.worker.last(m.AskEach).question == "Where is <region1>"


def test_without_a_box_in_the_question_it_says_so(two: Desk) -> None:
    two.press(KEY.Key_Return, CONTROL)
    assert "mention one box" in two.window.notice.words.text()


@pytest.mark.parametrize("quick", [0, 1])
def test_hidden_boxes_are_not_asked_about(two: Desk, quick: int) -> None:
    first, second = two.session.regions
    two.window.boxes.hide({first.id})
    two.chat.each.menu().actions()[quick].trigger()
    assert spoken(two) == ["Region: 2"]
    answer_all(two, "a mug")
    two.window.boxes.hide({second.id})
    two.chat.each.menu().actions()[quick].trigger()
    assert "hidden" in two.window.notice.words.text()
    assert two.worker.count(m.AskEach) == 1
    assert two.window.answers.choice.count() == 1


def test_a_row_chooses_its_box(two: Desk) -> None:
    survey(two)
    table = two.window.answers.table
    two.qtbot.mouseClick(table.viewport(), LEFT, pos=table.visualRect(table.model().index(0, 2)).center())
    assert two.selected == [1]


def test_rows_are_sorted_by_numbers(two: Desk) -> None:
    survey(two)
    answer_all(two, "b", "a")
    table = two.window.answers.table
    table.sortByColumn(2, Qt.SortOrder.AscendingOrder)
    assert cells(two, 2) == ["a", "b"]
    table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
    assert cells(two, 2) == ["b", "a"]


def test_it_can_be_stopped(two: Desk) -> None:
    survey(two)
    two.qtbot.mouseClick(two.window.answers.stop_button, LEFT)
    two.worker.answer_boxes({0: "a cup"}, complete=False)
    two.worker.say(m.Stopped(two.worker.last(m.AskEach).id))
    two.qtbot.waitUntil(lambda: cells(two, 3) == ["done", "stopped"])


def test_a_death_is_said_in_the_rows_and_the_button_goes_on(two: Desk) -> None:
    survey(two)
    two.worker.answer_boxes({0: "a cup"}, complete=False)
    two.worker.say(m.Died(0, -9))
    two.qtbot.waitUntil(two.window.notice.isVisible)
    assert cells(two, 3) == ["done", "failed"]
    assert "Restart the model" in cells(two, 2)[1]
    two.qtbot.mouseClick(two.window.notice.button, LEFT)
    two.worker.open_model()
    two.qtbot.waitUntil(lambda: two.worker.count(m.OpenImage) == 1)
    two.worker.open_image()
    two.qtbot.waitUntil(lambda: two.worker.count(m.AskEach) == 1)
    answer_all(two, "region1 is a mug")
    assert cells(two, 2) == ["a cup", "region2 is a mug"]


def test_export(two: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    survey(two)
    answer_all(two, "a cup", "a mug")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "out"), "Table (*.csv)"))
    two.qtbot.mouseClick(two.window.answers.export_button, LEFT)
    two.qtbot.waitUntil((tmp_path / "out.csv").is_file)
    assert "a cup" in (tmp_path / "out.csv").read_text(encoding="utf-8")


def test_replay(two: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    two.click(50, 30)
    two.qtbot.mouseClick(two.chat.what, LEFT)
    answer(two, "a cup")
    two.window.actions_by_name["replay"].trigger()
    answer(two, "a mug")
    assert [cells(two, column) for column in range(4)] == [["What is [1]?"], ["a cup"], ["a mug"], ["different"]]
    survey(two)
    answer_all(two, "a cup", "a plate")
    assert two.window.answers.choice.count() == 2
    two.window.answers.choose_replay()
    assert cells(two, 3) == ["different"]
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "out.csv"), ""))
    two.qtbot.mouseClick(two.window.answers.export_button, LEFT)
    two.qtbot.waitUntil((tmp_path / "out.csv").is_file)
    assert "a mug" in (tmp_path / "out.csv").read_text(encoding="utf-8")


def test_a_deleted_box_leaves_its_row(two: Desk) -> None:
    survey(two)
    answer_all(two, "a cup", "a mug")
    two.click(50, 30)
    two.press(KEY.Key_Delete)
    assert spoken(two)[0] == "Region: \N{MULTIPLICATION SIGN}"
    assert cells(two, 2) == ["a cup", "a mug"]
