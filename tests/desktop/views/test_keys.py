"""Keys that a person changes: in the dialog, in the window, and on another day."""

from pathlib import Path

import pytest

pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed", exc_type=ImportError)
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from gpt4roi_desktop import preferences
from gpt4roi_desktop.places import Places
from gpt4roi_desktop.preferences import Preferences
from gpt4roi_desktop.views.shortcut_editor import ShortcutEditor
from gpt4roi_desktop.views.shortcuts import ShortcutSheet
from gpt4roi_desktop.views.window import Window
from tests.desktop.fakes import Workers
from tests.desktop.views.desk import CONTROL, LEFT, NONE, SHIFT, Desk

KEY = Qt.Key


@pytest.fixture
def editor(desk: Desk) -> ShortcutEditor:
    """The dialog, opened from the sheet of keys."""
    desk.press(KEY.Key_F1)
    sheet = desk.window.findChild(ShortcutSheet)
    assert sheet is not None
    desk.qtbot.mouseClick(sheet.change_button, LEFT)
    editor = desk.window.findChild(ShortcutEditor)
    assert editor is not None
    return editor


def keys_of(desk: Desk, name: str) -> list[str]:
    return [key.toString() for key in desk.window.actions_by_name[name].shortcuts()]


def press(desk: Desk, editor: ShortcutEditor, name: str, key: Qt.Key, modifier: Qt.KeyboardModifier = NONE) -> None:
    editor.choose(name)
    desk.qtbot.keyClick(editor.key, key, modifier)


def test_a_changed_key_does_it_and_is_shown_everywhere(desk: Desk, editor: ShortcutEditor) -> None:
    press(desk, editor, "fit", KEY.Key_J, CONTROL)
    desk.qtbot.mouseClick(editor.set_button, LEFT)
    editor.accept()
    action = desk.window.actions_by_name["fit"]
    assert keys_of(desk, "fit") == ["Ctrl+J"]
    assert action.toolTip() == "Fit (Ctrl+J)"
    desk.window.activateWindow()
    desk.qtbot.waitUntil(desk.window.isActiveWindow)
    fitted = desk.canvas.transform().m11()
    desk.canvas.zoom_by(3)
    desk.press(KEY.Key_F)
    assert desk.canvas.transform().m11() == pytest.approx(3 * fitted)
    desk.press(KEY.Key_J, CONTROL)
    assert desk.canvas.transform().m11() == pytest.approx(fitted)
    desk.window.keyboard.show_sheet()
    (sheet,) = [each for each in desk.window.findChildren(ShortcutSheet) if each.isVisible()]
    assert "Ctrl+J" in [label.text() for label in sheet.findChildren(QLabel)]
    sheet.reject()


def test_it_is_remembered(desk: Desk, editor: ShortcutEditor, qtbot: QtBot) -> None:
    press(desk, editor, "fit", KEY.Key_J, CONTROL)
    desk.qtbot.mouseClick(editor.add_button, LEFT)
    editor.accept()
    kept = desk.window.places.preferences
    desk.qtbot.waitUntil(lambda: preferences.load(kept).shortcuts == {"fit": ("F", "Ctrl+F", "Ctrl+J")})
    again = Window(Workers(), Places(kept.parent))
    qtbot.addWidget(again)
    assert [key.toString() for key in again.actions_by_name["fit"].shortcuts()] == ["F", "Ctrl+F", "Ctrl+J"]
    again.close()
    again.bridge.join()


@pytest.mark.parametrize(
    ("key", "modifier", "why"),
    [
        (KEY.Key_D, CONTROL, "Ctrl+D is the key of: Duplicate"),
        (KEY.Key_Z, CONTROL, "Ctrl+Z is the key of: Undo"),
        (KEY.Key_3, NONE, "3 is always the window's own"),
        (KEY.Key_Left, SHIFT, "Shift+Left is always the window's own"),
        (KEY.Key_Return, NONE, "Return is always the window's own"),
        (KEY.Key_F, Qt.KeyboardModifier.AltModifier, "Alt+F is always the window's own"),
    ],
)
def test_a_taken_key_is_refused_with_who_has_it(
    desk: Desk, editor: ShortcutEditor, key: Qt.Key, modifier: Qt.KeyboardModifier, why: str
) -> None:
    press(desk, editor, "fit", key, modifier)
    assert why in editor.refused.text()
    assert editor.refused.isVisible()
    assert not editor.set_button.isEnabled()
    assert not editor.add_button.isEnabled()
    press(desk, editor, "fit", KEY.Key_J, CONTROL)
    assert not editor.refused.isVisible()
    assert editor.set_button.isEnabled()
    editor.reject()
    assert keys_of(desk, "fit") == ["F", "Ctrl+F"]


def test_one_key_and_all_keys_are_reset(desk: Desk, editor: ShortcutEditor) -> None:
    for name, key in (("fit", KEY.Key_J), ("open", KEY.Key_M)):
        press(desk, editor, name, key, CONTROL)
        desk.qtbot.mouseClick(editor.set_button, LEFT)
    editor.choose("quit")
    assert not editor.reset_button.isEnabled()
    desk.qtbot.mouseClick(editor.none_button, LEFT)
    assert set(editor.keymap.chosen) == {"fit", "open", "quit"}
    editor.choose("fit")
    desk.qtbot.mouseClick(editor.reset_button, LEFT)
    assert set(editor.keymap.chosen) == {"open", "quit"}
    desk.qtbot.mouseClick(editor.reset_all_button, LEFT)
    assert editor.keymap.chosen == {}
    assert not editor.reset_all_button.isEnabled()
    editor.reject()


def test_a_key_that_another_has_meanwhile_does_not_come_back_by_resetting(desk: Desk, editor: ShortcutEditor) -> None:
    editor.choose("duplicate")
    desk.qtbot.mouseClick(editor.none_button, LEFT)
    press(desk, editor, "fit", KEY.Key_D, CONTROL)
    desk.qtbot.mouseClick(editor.set_button, LEFT)
    editor.choose("duplicate")
    desk.qtbot.mouseClick(editor.reset_button, LEFT)
    assert "Ctrl+D is the key of: Fit" in editor.refused.text()
    editor.accept()
    assert (keys_of(desk, "duplicate"), keys_of(desk, "fit")) == ([], ["Ctrl+D"])


def test_with_keys_alone(desk: Desk, editor: ShortcutEditor) -> None:
    """From the list with Tab to the field, a key, Tab to the button, Space."""
    editor.activateWindow()
    desk.qtbot.waitUntil(editor.isActiveWindow)
    editor.choose("fit")
    editor.tree.setFocus()
    desk.qtbot.keyClick(editor.tree, KEY.Key_Tab)
    desk.qtbot.waitUntil(editor.key.hasFocus)
    desk.qtbot.keyClick(editor.key, KEY.Key_J, CONTROL)
    desk.qtbot.keyClick(editor.key, KEY.Key_Tab)
    desk.qtbot.waitUntil(editor.set_button.hasFocus)
    desk.qtbot.keyClick(editor.set_button, KEY.Key_Space)
    assert editor.tree.hasFocus()
    desk.qtbot.keyClick(editor.tree, KEY.Key_Return)
    assert keys_of(desk, "fit") == ["Ctrl+J"]


def test_a_file_full_of_nonsense_leaves_the_rest_as_it_is(qtbot: QtBot, tmp_path: Path) -> None:
    places = Places(tmp_path / "state")
    nonsense = {"fit": ("no such key at all", "ctrl+j"), "open": ("3",), "gone": ("Ctrl+M",), "copy": ("Ctrl+J",)}
    places.keep_preferences(Preferences(shortcuts=nonsense))
    window = Window(Workers(), places)
    qtbot.addWidget(window)
    found = {
        name: [key.toString() for key in window.actions_by_name[name].shortcuts()] for name in ("fit", "open", "copy")
    }
    assert found == {"fit": ["Ctrl+J"], "open": ["Ctrl+O"], "copy": ["Ctrl+C"]}
    window.close()
    window.bridge.join()


def test_undo_tells_its_words_and_its_key(desk: Desk) -> None:
    desk.draw((20, 10, 80, 60))
    tip = desk.window.actions_by_name["undo"].toolTip()
    assert tip.startswith("Undo ")
    assert tip.endswith("(Ctrl+Z)")
