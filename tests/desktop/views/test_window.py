"""The whole window with a fake model: questions with chips, streamed answers, files, failures."""

import json
from pathlib import Path

import pytest

pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed", exc_type=ImportError)
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication, QImage
from PySide6.QtWidgets import QAbstractButton, QFileDialog, QLabel, QListView, QTextEdit

from gpt4roi_desktop.session import Chip
from gpt4roi_desktop.views.shortcuts import ShortcutSheet
from gpt4roi_runtime.worker import messages as m
from tests.desktop.fakes import photo_file
from tests.desktop.views.desk import CONTROL, LEFT, Desk

KEY = Qt.Key


def type_at(desk: Desk, text: str) -> None:
    desk.chat.box.setFocus()
    desk.qtbot.keyClicks(desk.chat.box, text)


def choose(desk: Desk, number: int) -> None:
    """Type ``@`` and choose a region from the menu."""
    type_at(desk, "@")
    menu = desk.chat.box.menu
    assert menu is not None
    desk.qtbot.keyClicks(menu, str(number))
    desk.qtbot.waitUntil(lambda: desk.chat.box.menu is None)


@pytest.fixture
def two(desk: Desk) -> Desk:
    desk.draw((20, 10, 80, 60), (120, 40, 180, 90))
    return desk


class TestQuestions:
    def test_chips_from_the_menu(self, two: Desk) -> None:
        first, second = (region.id for region in two.session.regions)
        type_at(two, "Is ")
        choose(two, 2)
        type_at(two, "like ")
        choose(two, 1)
        type_at(two, "?")
        assert two.session.draft == ("Is ", Chip(second), " like ", Chip(first), "?")

    def test_an_at_sign_that_is_meant_stays(self, two: Desk) -> None:
        type_at(two, "@")
        menu = two.chat.box.menu
        assert menu is not None
        two.qtbot.keyClick(menu, KEY.Key_Escape)
        two.qtbot.waitUntil(lambda: two.session.draft == ("@",))

    def test_a_click_on_a_box_while_typing_is_a_chip(self, two: Desk) -> None:
        type_at(two, "What is")
        two.click(50, 30)
        assert two.chat.box.hasFocus()
        type_at(two, "?")
        assert two.session.draft == ("What is ", Chip(two.session.regions[0].id), "?")

    def test_a_box_drawn_while_typing_is_a_chip(self, two: Desk) -> None:
        type_at(two, "What is")
        two.draw((85, 70, 110, 95))
        assert two.session.draft == ("What is ", Chip(two.session.regions[2].id))

    def test_deleting_a_box_takes_its_chip_and_renumbers_the_other(self, two: Desk) -> None:
        type_at(two, "Is")
        two.click(50, 30)
        two.click(150, 60)
        second = two.session.regions[1].id
        two.window.actions_by_name["delete"].trigger()
        assert two.session.draft == ("Is ", Chip(two.session.regions[0].id), " ")
        two.window.edits.stack.undo()
        assert Chip(second) in two.session.draft
        two.window.edits.do("", lambda session: type(session)(**{**session.__dict__, "regions": session.regions[::-1]}))
        assert two.chat.box.question() == two.session.draft

    def test_an_answer_streams_into_the_chat(self, two: Desk) -> None:
        two.click(50, 30)
        two.qtbot.mouseClick(two.chat.what, LEFT)
        request = two.worker.last(m.Ask)
        assert (request.question, list(request.regions)) == ("What is <region1>?", [1])
        view = two.chat.view_of(two.session.exchanges()[0].id)
        assert view is not None
        two.worker.say(m.Text(request.id, "It is <b>a"))
        two.qtbot.waitUntil(lambda: "&lt;b&gt;a" in view.answer.text())
        assert view.stop_button.isVisible()
        two.worker.answer(" cup</b>")
        two.qtbot.waitUntil(lambda: two.session.exchanges()[0].state == "done")
        assert "20 tokens/s" in view.note.text()
        assert not view.stop_button.isVisible()
        two.qtbot.mouseClick(view.copy_button, LEFT)
        assert QGuiApplication.clipboard().text() == " cup</b>"

    def test_enter_asks_and_empties_the_box(self, two: Desk) -> None:
        type_at(two, "Hello there")
        two.qtbot.keyClick(two.chat.box, KEY.Key_Return)
        assert two.session.draft == ()
        assert two.chat.box.toPlainText() == ""
        assert two.worker.last(m.Ask).question == "Hello there"

    def test_letters_are_not_shortcuts_while_typing(self, two: Desk) -> None:
        type_at(two, "rlh12f")
        two.qtbot.keyClick(two.chat.box, KEY.Key_Backspace)
        two.qtbot.keyClick(two.chat.box, KEY.Key_A, CONTROL)
        two.qtbot.keyClick(two.chat.box, KEY.Key_Delete)
        assert two.session.draft == ()
        assert len(two.boxes) == 2
        assert not any(region.locked or region.hidden for region in two.session.regions)

    def test_escape_stops_the_answer(self, two: Desk) -> None:
        two.qtbot.mouseClick(two.chat.what, LEFT)
        two.press(KEY.Key_Escape)
        assert two.worker.last(m.Cancel).id == two.worker.last(m.Ask).id
        two.worker.say(m.Stopped(two.worker.last(m.Ask).id))
        two.qtbot.waitUntil(lambda: two.session.exchanges()[0].state == "stopped")
        view = two.chat.view_of(two.session.exchanges()[0].id)
        assert view is not None
        two.qtbot.mouseClick(view.again_button, LEFT)
        assert two.worker.count(m.Ask) == 2

    def test_a_question_can_be_edited_and_asked_again(self, two: Desk) -> None:
        two.qtbot.mouseClick(two.chat.what, LEFT)
        asked = two.session.exchanges()[0]
        two.worker.answer("a cup")
        two.qtbot.waitUntil(lambda: two.session.exchanges()[0].state == "done")
        view = two.chat.view_of(asked.id)
        assert view is not None
        two.qtbot.mouseClick(view.edit_button, LEFT)
        assert two.session.draft == asked.question
        assert two.chat.box.hasFocus()

    def test_quick_questions(self, two: Desk) -> None:
        two.press(KEY.Key_A, CONTROL)
        two.qtbot.mouseClick(two.chat.compare, LEFT)
        assert two.worker.last(m.Ask).question == "How do <region1> and <region2> differ?"
        assert not two.chat.why.isEnabled()
        two.worker.answer("a lot")
        two.qtbot.waitUntil(two.chat.why.isEnabled)
        two.qtbot.mouseClick(two.chat.why, LEFT)
        assert two.worker.last(m.Ask).history == (("How do <region1> and <region2> differ?", "a lot"),)

    def test_what_cannot_be_asked_is_said_and_stays(self, two: Desk) -> None:
        type_at(two, "what is ### this")
        two.qtbot.keyClick(two.chat.box, KEY.Key_Return)
        assert two.window.notice.isVisible()
        assert "###" in two.window.notice.words.text()
        assert two.session.draft == ("what is ### this",)

    def test_a_question_that_forgets_the_chosen_box_is_reminded(self, two: Desk) -> None:
        type_at(two, "What is this?")
        assert two.chat.forgotten.isVisible()
        two.qtbot.mouseClick(two.chat.mention_button, LEFT)
        assert two.session.draft == ("What is this? ", Chip(two.session.regions[1].id))
        assert not two.chat.forgotten.isVisible()

    def test_a_dialogue_of_its_own(self, two: Desk) -> None:
        two.qtbot.mouseClick(two.chat.what, LEFT)
        two.worker.answer("a cup")
        two.qtbot.waitUntil(lambda: two.session.exchanges()[0].state == "done")
        two.qtbot.mouseClick(two.chat.begin_button, LEFT)
        two.qtbot.mouseClick(two.chat.what, LEFT)
        assert two.worker.last(m.Ask).history == ()
        assert len(two.session.dialogues) == 2

    def test_pointing_at_a_chip_lights_its_box(self, two: Desk) -> None:
        type_at(two, "Is")
        two.click(50, 30)
        rectangle = two.chat.box.cursorRect()
        with two.qtbot.waitSignal(two.chat.hovered, check_params_cb=lambda each: each == two.session.regions[0].id):
            two.qtbot.mouseMove(two.chat.box.viewport(), rectangle.center() - rectangle.topRight() * 0 - _left(8))


def _left(points: int) -> "object":
    from PySide6.QtCore import QPoint

    return QPoint(points, 0)


class TestList:
    def test_it_follows_the_canvas_and_the_canvas_it(self, two: Desk) -> None:
        model = two.window.list.model()
        assert model.rowCount() == 2
        first = two.window.list.visualRect(model.index(0, 0)).center()
        two.qtbot.mouseClick(two.window.list.viewport(), LEFT, pos=first)
        assert two.selected == [1]
        two.click(150, 60)
        assert [index.row() for index in two.window.list.selectedIndexes()] == [1]

    def test_eye_and_lock_can_be_clicked(self, two: Desk) -> None:
        row = two.window.list.visualRect(two.window.list.model().index(0, 0))
        for right in (54, 28):
            place = row.topRight() - _left(right) + row.center() * 0  # type: ignore[operator]
            place.setY(row.center().y())
            two.qtbot.mouseClick(two.window.list.viewport(), LEFT, pos=place)
        assert two.session.regions[0].hidden
        assert two.session.regions[0].locked
        assert not two.session.regions[1].locked
        words = two.window.list.model().index(0, 0).data(Qt.ItemDataRole.AccessibleTextRole)
        assert "Region 1" in words
        assert "locked" in words
        assert "hidden" in words


class TestSuggestions:
    def test_a_click_adopts_one_and_a_key_the_rest(self, desk: Desk) -> None:
        desk.press(KEY.Key_G)
        found = tuple(m.Found((x, 10, x + 30, 60), "cup", 0.9) for x in (10, 60, 120))
        desk.worker.say(m.Proposed(desk.worker.last(m.Propose).id, found))
        desk.qtbot.waitUntil(lambda: len(desk.window.controller.proposals) == 3)
        desk.click(75, 30)
        assert [box.xyxy for box in desk.boxes] == [(60, 10, 90, 60)]
        desk.window.actions_by_name["adopt"].trigger()
        assert len(desk.boxes) == 3
        assert desk.window.controller.proposals == ()
        desk.press(KEY.Key_Z, CONTROL)
        assert len(desk.boxes) == 1


class TestFiles:
    def test_drop(self, desk: Desk) -> None:
        other = photo_file(desk.folder, "other.png", (50, 40))
        content = QMimeData()
        content.setUrls([QUrl.fromLocalFile(str(other))])
        event = QDropEvent(QPointF(10, 10), Qt.DropAction.CopyAction, content, LEFT, Qt.KeyboardModifier.NoModifier)
        desk.canvas.dropEvent(event)
        desk.qtbot.waitUntil(lambda: desk.session.photo.path == other)
        assert "other.png" in desk.window.windowTitle()

    def test_a_pasted_picture(self, desk: Desk) -> None:
        picture = QImage(30, 20, QImage.Format.Format_RGB32)
        picture.fill(Qt.GlobalColor.red)
        QGuiApplication.clipboard().setImage(picture)
        desk.press(KEY.Key_V, CONTROL)
        desk.qtbot.waitUntil(lambda: desk.session.photo.width_px == 30)
        assert desk.session.photo.path.is_relative_to(desk.folder / "state")

    def test_boxes_of_a_stranger_on_the_clipboard(self, desk: Desk) -> None:
        content = QMimeData()
        content.setData("application/x-gpt4roi-boxes", b"[[1,2,3]]")
        QGuiApplication.clipboard().setMimeData(content)
        desk.press(KEY.Key_V, CONTROL)
        assert desk.boxes == []

    def test_coming_back_to_a_photo_finds_its_boxes(self, desk: Desk) -> None:
        desk.draw((20, 10, 80, 60))
        boxes, first = desk.boxes, desk.session.photo.path
        desk.open_photo(photo_file(desk.folder, "other.png", (50, 40)))
        assert desk.boxes == []
        desk.open_photo(first)
        assert desk.boxes == boxes
        assert desk.window.files.last_photo() == first

    def test_through_the_folder(self, desk: Desk) -> None:
        first = desk.session.photo.path
        second = photo_file(desk.folder, "Photo2.png", (50, 40))
        (desk.folder / "z.txt").write_text("not a photo")
        desk.press(KEY.Key_PageDown)
        desk.qtbot.waitUntil(lambda: desk.session.photo.path == second)
        desk.press(KEY.Key_PageDown)
        desk.qtbot.waitUntil(lambda: "no further" in desk.window.status.currentMessage())
        desk.press(KEY.Key_PageUp)
        desk.qtbot.waitUntil(lambda: desk.session.photo.path == first)

    def test_it_is_kept_without_being_asked(self, desk: Desk) -> None:
        kept = desk.window.places.autosaved(desk.session.photo.sha256)
        assert not kept.exists()
        desk.draw((20, 10, 80, 60))
        desk.qtbot.waitUntil(kept.exists)
        assert len(json.loads(kept.read_bytes())["regions"]) == 1

    def test_save_open_and_export(self, desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        desk.draw((20, 10, 80, 60))
        boxes = desk.boxes
        name = ""
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / name), ""))
        for name, result in (("saved", "saved.gpt4roi.json"), ("out.csv", "out.csv"), ("out.png", "out.png")):
            desk.window.actions_by_name["save_session" if name == "saved" else "export"].trigger()
            desk.qtbot.waitUntil((tmp_path / result).is_file)
        desk.press(KEY.Key_Delete)
        desk.window.files.open_path(tmp_path / "saved.gpt4roi.json")
        desk.qtbot.waitUntil(lambda: desk.boxes == boxes)

    def test_a_damaged_session_is_said(self, desk: Desk) -> None:
        bad = desk.folder / "bad.gpt4roi.json"
        bad.write_text("{")
        desk.window.files.open_path(bad)
        assert "bad.gpt4roi.json" in desk.window.notice.words.text()
        assert desk.window.notice.isVisible()

    def test_a_target_that_cannot_be_written_is_said(self, desk: Desk) -> None:
        desk.window.files.export(desk.folder / "none" / "a.csv")
        desk.qtbot.waitUntil(desk.window.notice.isVisible)
        assert "cannot write" in desk.window.notice.words.text().lower()


def test_a_killed_model_is_said_and_restarted(two: Desk) -> None:
    two.qtbot.mouseClick(two.chat.what, LEFT)
    two.worker.say(m.Died(0, -9))
    two.qtbot.waitUntil(two.window.notice.isVisible)
    assert "signal 9" in two.window.notice.words.text()
    two.qtbot.mouseClick(two.window.notice.button, LEFT)
    assert len(two.workers.started) == 2
    two.worker.open_model()
    two.qtbot.waitUntil(lambda: two.worker.count(m.OpenImage) == 1)
    two.worker.open_image()
    two.qtbot.waitUntil(lambda: two.worker.count(m.Ask) == 1)
    assert not two.window.notice.isVisible()


def test_the_sheet_of_keys(desk: Desk) -> None:
    desk.press(KEY.Key_Question)
    sheet = desk.window.findChild(ShortcutSheet)
    assert sheet is not None
    words = " ".join(label.text() for label in sheet.findChildren(QLabel))
    for expected in ("Ctrl+Shift+Z", "Undo", "Tab", "Suggest boxes"):
        assert expected in words
    sheet.reject()


def test_every_control_has_a_name_for_a_screen_reader(two: Desk) -> None:
    two.qtbot.mouseClick(two.chat.what, LEFT)
    nameless = [
        widget
        for kind in (QAbstractButton, QTextEdit, QListView)
        for widget in two.window.findChildren(kind)
        if widget.focusPolicy() != Qt.FocusPolicy.NoFocus
        and widget.isVisible()
        and not (widget.accessibleName() or (isinstance(widget, QAbstractButton) and widget.text()))
    ]
    assert nameless == []


def test_the_theme_can_be_chosen(desk: Desk) -> None:
    desk.window.choose_theme("dark")
    assert desk.window.palette().window().color().lightness() < 60
    desk.window.choose_theme("light")
    assert desk.window.palette().window().color().lightness() > 200
    desk.window.choose_theme("system")
