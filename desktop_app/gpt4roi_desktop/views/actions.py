"""The window's actions: words, keys and icons in one table, for menus, toolbar and key sheet. Decides nothing."""

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtGui import QAction, QIcon, QKeySequence
from PySide6.QtWidgets import QDialogButtonBox, QDockWidget, QMainWindow

from gpt4roi_desktop.views import icons


@dataclass(frozen=True)
class Spec:
    """One action: its name for us, its words for a person, what it does."""

    name: str
    words: str
    act: Callable[[], object]
    keys: tuple[str | QKeySequence.StandardKey, ...] = ()
    icon: str = ""


def make(window: QMainWindow, specs: tuple[Spec, ...]) -> dict[str, QAction]:
    """The actions by name, all of them known to the window."""
    made = {}
    for spec in specs:
        action = QAction(spec.words, window)
        action.setShortcuts([QKeySequence(key) for key in spec.keys])
        if spec.icon:
            action.setIcon(icons.icon(spec.icon))
        dress(action)
        action.triggered.connect(lambda _=False, act=spec.act: act())
        window.addAction(action)
        made[spec.name] = action
    return made


def panel(window: QMainWindow, dock: QDockWidget, key: str, icon: str = "") -> QAction:
    """Qt's own action that shows and hides a panel."""
    action = dock.toggleViewAction()
    action.setShortcut(QKeySequence(key))
    if icon:
        action.setIcon(icons.icon(icon))
    dress(action)
    window.addAction(action)
    return action


def without_icons(buttons: QDialogButtonBox) -> QDialogButtonBox:
    """A dialog's buttons as words alone, like all the window's buttons."""
    for button in buttons.buttons():
        button.setIcon(QIcon())
    return buttons


def dress(action: QAction) -> None:
    """A tool tip that names the key."""
    key = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
    action.setToolTip(f"{plain(action)} ({key})" if key else plain(action))


def plain(action: QAction) -> str:
    """An action's words without the marks of a menu."""
    return action.text().replace("&", "").rstrip(" …")
