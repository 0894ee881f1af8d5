"""Keys that stand in no menu: digits choose a box, arrows push it. Knows no box."""

from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QKeySequence, QUndoStack
from PySide6.QtWidgets import QWidget
from shiboken6 import isValid

from gpt4roi_desktop.views import icons
from gpt4roi_desktop.views.actions import dress
from gpt4roi_desktop.views.box_commands import BoxCommands

_ARROWS = (("Left", -1, 0), ("Right", 1, 0), ("Up", 0, -1), ("Down", 0, 1))
_STEPS_PX = (("", 1), ("Shift+", 10))


def add_digits(window: QWidget, boxes: BoxCommands) -> None:
    """1 to 9 choose the box of that number, everywhere but in text."""
    for number in range(1, 10):
        choose = QAction(window)
        choose.setShortcut(QKeySequence(str(number)))
        choose.triggered.connect(partial(boxes.choose_number, number))
        window.addAction(choose)


def add_arrows(canvas: QWidget, boxes: BoxCommands) -> None:
    """Arrows push the selected boxes, on the photo only: they walk in lists and text."""
    for key, dx, dy in _ARROWS:
        for prefix, step in _STEPS_PX:
            push = QAction(canvas)
            push.setShortcut(QKeySequence(prefix + key))
            push.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
            push.triggered.connect(partial(boxes.nudge, dx * step, dy * step))
            canvas.addAction(push)


def undo_actions(window: QWidget, stack: QUndoStack, undo: str, redo: str) -> dict[str, QAction]:
    """Qt's own actions of the stack, which name what they take back."""
    made = {"undo": stack.createUndoAction(window, undo), "redo": stack.createRedoAction(window, redo)}
    made["undo"].setShortcut(QKeySequence(QKeySequence.StandardKey.Undo))
    made["redo"].setShortcuts([QKeySequence("Ctrl+Shift+Z"), QKeySequence("Ctrl+Y")])
    for name, action in made.items():
        action.setIcon(icons.icon(name))
        action.changed.connect(partial(_dress, action))  # its words change with every edit
        window.addAction(action)
    return made


def _dress(action: QAction) -> None:
    if isValid(action):  # the stack changes its words once more when the window is taken apart
        dress(action)
