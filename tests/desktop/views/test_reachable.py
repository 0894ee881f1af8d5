"""Everything that can be used can be reached with the keyboard and has a name: in the window and in every dialog."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed", exc_type=ImportError)
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractScrollArea,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDialog,
    QKeySequenceEdit,
    QLabel,
    QLineEdit,
    QTabBar,
    QToolButton,
    QWidget,
)
from pytestqt.qtbot import QtBot

from gpt4roi_desktop import models
from gpt4roi_desktop.controller import Notice
from gpt4roi_desktop.views import dialogs
from gpt4roi_desktop.views.camera_dialog import CameraDialog
from gpt4roi_runtime.image_store import STORE_VARIABLE
from tests.desktop.views.desk import Desk
from tests.helpers.bundles import write_fake_bundle

INTERACTIVE = (
    QAbstractButton,
    QAbstractScrollArea,
    QAbstractSpinBox,
    QComboBox,
    QKeySequenceEdit,
    QLineEdit,
    QTabBar,
    QAbstractSlider,
)
PARTS = (QAbstractItemView, QAbstractSpinBox, QComboBox, QKeySequenceEdit, QLineEdit)
"""What Qt makes of several widgets: the whole has the name and the focus."""


def is_part(widget: QWidget, root: QWidget) -> bool:
    """Qt's own piece of something larger: a spin box's line, a view's header, a scroll bar."""
    above = widget.parentWidget()
    while above is not None and above is not root:
        if isinstance(above, PARTS) or (isinstance(above, QAbstractScrollArea) and isinstance(widget, QAbstractSlider)):
            return True
        above = above.parentWidget()
    return False


def used(root: QWidget) -> list[QWidget]:
    """What a hand could use in a window now, but for what cannot scroll."""
    found = [each for kind in INTERACTIVE for each in root.findChildren(kind)]
    found += [each for each in root.findChildren(QLabel) if each.receivers("2linkActivated(QString)")]
    return [
        each
        for each in dict.fromkeys(found)
        if each.isVisible()
        and each.isEnabled()
        and each.window() is root
        and not is_part(each, root)
        and not idle(each)
    ]


def idle(widget: QWidget) -> bool:
    """A bare scroll area that has nothing to scroll is a frame."""
    bare = isinstance(widget, QAbstractScrollArea) and type(widget).__name__ == "QScrollArea"
    return bare and widget.verticalScrollBar().maximum() == 0  # type: ignore[attr-defined]


def name_of(widget: QWidget) -> str:
    """What a screen reader says."""
    interface = QAccessible.queryAccessibleInterface(widget)
    return "" if interface is None else interface.text(QAccessible.Text.Name)


def walked(qtbot: QtBot, root: QWidget, start: QWidget, key: Qt.Key) -> Iterator[QWidget]:
    """What gets the focus, one after another, until it begins again or stays."""
    start.setFocus()
    seen: list[QWidget] = []
    while (now := QApplication.focusWidget()) is not None and now not in seen:
        seen.append(now)
        yield now
        qtbot.keyClick(now, key)


def has_shortcut(widget: QWidget) -> bool:
    """A tool button is used by its action's key, too."""
    action = widget.defaultAction() if isinstance(widget, QToolButton) else None
    return action is not None and bool(action.shortcuts())


def check(qtbot: QtBot, root: QWidget, start: QWidget | None = None) -> None:
    root.activateWindow()
    qtbot.waitUntil(root.isActiveWindow)
    widgets = used(root)
    assert widgets
    assert [each for each in widgets if not name_of(each)] == []
    begin = start or next(each for each in widgets if each.focusPolicy() & Qt.FocusPolicy.TabFocus)
    reached = {*walked(qtbot, root, begin, Qt.Key.Key_Tab), *walked(qtbot, root, begin, Qt.Key.Key_Backtab)}
    missed = [
        each
        for each in widgets
        if not (reached & {each, each.focusProxy() or each, *each.findChildren(QLineEdit)}) and not has_shortcut(each)
    ]
    assert [(type(each).__name__, name_of(each)) for each in missed] == []


@pytest.fixture
def talked(desk: Desk) -> Desk:
    """Two boxes, an answer, a survey, and both panels open, in a window that is too low for them."""
    desk.ask_about_two_boxes()
    desk.window.ask_each(("What is ", desk.session.dialogues[0].exchanges[0].question[1], "?"))
    desk.window.sight.show()
    desk.window.sight.picture.setMinimumHeight(900)  # more than there is room for
    desk.window.sight.picture.show()
    desk.window.resize(1100, 620)
    return desk


def test_the_window(talked: Desk) -> None:
    talked.qtbot.waitUntil(talked.window.answers.isVisible)
    check(talked.qtbot, talked.window, talked.chat.box)


def test_the_window_with_nothing_in_it(qtbot: QtBot, tmp_path: Path) -> None:
    desk = Desk(qtbot, tmp_path)
    desk.window.show()
    check(qtbot, desk.window)
    desk.close()


def test_a_notice_and_a_question_without_its_box(desk: Desk) -> None:
    desk.draw((20, 10, 80, 60))
    desk.window.controller.tell(Notice("the model's process has ended", "Restart it.", "restart"))
    desk.qtbot.keyClicks(desk.chat.box, "why")
    desk.qtbot.waitUntil(desk.chat.forgotten.isVisible)
    assert desk.chat.mention_button in used(desk.window)
    check(desk.qtbot, desk.window, desk.chat.box)


class NoCamera:
    """Shows nothing."""

    def __init__(self, *_: object) -> None:
        pass

    def take(self) -> None:
        return None

    def close(self) -> None:
        pass


@pytest.mark.parametrize("action", ["settings", "help", "keys", "model", "camera"])
def test_a_dialog(desk: Desk, action: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = write_fake_bundle(tmp_path / "bundles" / "embedded")
    monkeypatch.setattr(models, "default_bundle", lambda: folder)
    monkeypatch.setattr(dialogs, "CameraDialog", partial(CameraDialog, open_camera=NoCamera))
    monkeypatch.setenv(STORE_VARIABLE, str(folder))
    (folder / f"{0:064x}.kept").write_bytes(b"of a photo")
    desk.window.actions_by_name[action].trigger()
    (dialog,) = [each for each in desk.window.findChildren(QDialog) if each.isVisible()]
    if action == "model":
        desk.qtbot.waitUntil(lambda: dialog.model.rowCount() == 2)
    if action == "settings":
        desk.qtbot.waitUntil(dialog.kept.forget_button.isEnabled)
    check(desk.qtbot, dialog)
    dialog.reject()
