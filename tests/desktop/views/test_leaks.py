"""Nothing stays behind: neither widgets of what was closed, nor warnings of Qt that nobody expected."""

import pytest

pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed", exc_type=ImportError)
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtWidgets import QDialog, QWidget

from gpt4roi_runtime.worker import messages as m
from tests.desktop.fakes import photo_file
from tests.desktop.views.desk import LEFT, Desk


def n_widgets(desk: Desk) -> int:
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    return len(desk.window.findChildren(QWidget))


@pytest.mark.parametrize("name", ["help", "settings", "model"])
def test_a_closed_dialog_is_gone(desk: Desk, name: str) -> None:
    before = n_widgets(desk)
    for _ in range(3):
        desk.window.actions_by_name[name].trigger()
        dialog = desk.window.findChild(QDialog)
        assert dialog is not None
        dialog.reject()
        desk.qtbot.waitUntil(lambda: n_widgets(desk) == before)


def test_the_answers_of_another_photo_are_gone(desk: Desk) -> None:
    other, first = photo_file(desk.folder, "other.png", (50, 40)), desk.session.photo.path
    desk.open_photo(other)
    desk.open_photo(first)
    before = n_widgets(desk)
    for _ in range(3):
        desk.window.ask(("Hello?",))
        desk.worker.say(m.ImageOpened(desk.worker.last(m.OpenImage).id, 0.1))
        desk.qtbot.waitUntil(lambda: desk.window.controller.running is not None)
        desk.worker.answer("Hi")
        desk.qtbot.waitUntil(lambda: desk.window.controller.running is None)
    assert n_widgets(desk) > before
    desk.open_photo(other)
    desk.qtbot.waitUntil(lambda: n_widgets(desk) == before)


def test_drawing_and_deleting_makes_no_widgets(desk: Desk) -> None:
    before = n_widgets(desk)
    for _ in range(3):
        desk.draw((20, 10, 80, 60))
        desk.window.boxes.delete()
    assert n_widgets(desk) == before


def test_a_notice_that_comes_again_is_the_same(desk: Desk) -> None:
    desk.window.files.open_path(desk.folder / "gone.png")
    desk.qtbot.waitUntil(desk.window.notice.isVisible)
    before = n_widgets(desk)
    desk.qtbot.mouseClick(desk.window.notice.button, LEFT)
    desk.window.files.open_path(desk.folder / "gone too.png")
    desk.qtbot.waitUntil(lambda: "gone too" in desk.window.notice.words.text())
    assert n_widgets(desk) == before


def test_a_warning_of_qt_fails_every_test_here(request: pytest.FixtureRequest) -> None:
    marker = request.node.get_closest_marker("qt_log_level_fail")
    assert marker is not None
    assert marker.args == ("WARNING",)
