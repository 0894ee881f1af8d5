"""The sheet that ``?`` shows: every key, from the actions themselves. Knows no action of its own."""

from collections.abc import Iterable

from PySide6.QtCore import QCoreApplication
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from gpt4roi_desktop.views import actions as looks


class ShortcutSheet(QDialog):
    """Two columns of keys."""

    def __init__(self, groups: Iterable[tuple[str, Iterable[QAction]]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Keyboard and mouse"))
        columns = (QVBoxLayout(), QVBoxLayout())
        rows = [(title, _keys(actions)) for title, actions in groups]
        rows.append((self.tr("On the photo"), _hand()))
        for place, (title, keys) in enumerate(row for row in rows if row[1]):
            columns[place % 2].addWidget(_group(title, keys))
        across = QHBoxLayout()
        for column in columns:
            column.addStretch(1)
            across.addLayout(column)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        looks.without_icons(buttons)
        buttons.rejected.connect(self.reject)
        whole = QVBoxLayout(self)
        whole.addLayout(across)
        whole.addWidget(buttons)


def _keys(actions: Iterable[QAction]) -> list[tuple[str, str]]:
    native = QKeySequence.SequenceFormat.NativeText
    return [
        (", ".join(key.toString(native) for key in action.shortcuts()), action.text().replace("&", "").rstrip(" …"))
        for action in actions
        if action.shortcuts()
    ]


def _hand() -> list[tuple[str, str]]:
    say = QCoreApplication.translate
    return [
        (say("ShortcutSheet", "Drag"), say("ShortcutSheet", "draw a box, or move a selected one")),
        (say("ShortcutSheet", "Shift+drag"), say("ShortcutSheet", "draw a square")),
        (say("ShortcutSheet", "Click"), say("ShortcutSheet", "choose a box; adopt a suggestion")),
        (say("ShortcutSheet", "Ctrl+click"), say("ShortcutSheet", "choose several")),
        (say("ShortcutSheet", "Tab, Shift+Tab"), say("ShortcutSheet", "next and previous box")),
        ("1 … 9", say("ShortcutSheet", "choose a box by its number")),
        (say("ShortcutSheet", "Arrows"), say("ShortcutSheet", "move by 1 pixel, with Shift by 10")),
        (say("ShortcutSheet", "Ctrl+wheel"), say("ShortcutSheet", "zoom at the cursor")),
        (say("ShortcutSheet", "Space+drag, middle button"), say("ShortcutSheet", "move the photo")),
        ("@", say("ShortcutSheet", "in the question: mention a box")),
    ]


def _group(title: str, keys: list[tuple[str, str]]) -> QGroupBox:
    group = QGroupBox(title)
    form = QFormLayout(group)
    form.setHorizontalSpacing(18)
    for key, words in keys:
        label = QLabel(key)
        label.setObjectName("heading")
        form.addRow(label, QLabel(words))
    return group
