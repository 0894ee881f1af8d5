"""The sheet that ``?`` shows: every key, from the actions themselves. Knows no action of its own."""

from collections.abc import Iterable

from PySide6.QtCore import QCoreApplication, QMargins, QSize, Qt, Signal
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QFrame,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from gpt4roi_desktop.views import actions as looks

_SHARE = 0.88
"""Of the screen, so that title bar and panels keep theirs."""

_WIDE_PX = 1200
_FRAME_ROWS = 2
"""As high as a group's title and frame are."""


class ShortcutSheet(QDialog):
    """Keys in columns, which scroll where the screen is small; ``change_wanted`` is for other keys."""

    change_wanted = Signal()

    def __init__(self, groups: Iterable[tuple[str, Iterable[QAction]]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Keyboard and mouse"))
        n_columns = 3 if self.screen().availableGeometry().width() >= _WIDE_PX else 2
        columns = [(QVBoxLayout(), [0]) for _ in range(n_columns)]
        rows = [(title, _keys(actions)) for title, actions in groups]
        rows.append((self.tr("On the photo"), _hand()))
        for title, keys in rows:
            column, n_rows = min(columns, key=lambda each: sum(each[1]))
            if keys:
                column.addWidget(_group(title, keys))
                n_rows.append(len(keys) + _FRAME_ROWS)
        inside = QWidget()
        across = QHBoxLayout(inside)
        across.setContentsMargins(0, 0, 0, 0)
        for column, _ in columns:
            column.addStretch(1)
            across.addLayout(column)
        area = QScrollArea()
        area.setWidget(inside)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setAccessibleName(self.tr("Keyboard and mouse"))
        self.change_button = QPushButton(self.tr("&Change the keys …"))
        self.change_button.clicked.connect(self._change)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.addButton(self.change_button, QDialogButtonBox.ButtonRole.ActionRole)
        looks.without_icons(buttons)
        buttons.rejected.connect(self.reject)
        whole = QVBoxLayout(self)
        whole.addWidget(area)
        whole.addWidget(buttons)
        self._fit(area, inside, whole.contentsMargins())

    def _fit(self, area: QScrollArea, inside: QWidget, margins: QMargins) -> None:
        """As large as the keys need, and no larger than the screen."""
        self.ensurePolished()
        room = self.screen().availableGeometry().size() * _SHARE
        bar = area.verticalScrollBar().sizeHint().width()
        area.setMinimumWidth(inside.sizeHint().width() + bar)
        rest = self.sizeHint().height() - area.sizeHint().height()
        wanted = QSize(area.minimumWidth() + margins.left() + margins.right(), inside.sizeHint().height() + rest)
        self.resize(wanted.boundedTo(room))

    def _change(self) -> None:
        self.accept()
        self.change_wanted.emit()


def _keys(actions: Iterable[QAction]) -> list[tuple[str, str]]:
    native = QKeySequence.SequenceFormat.NativeText
    return [
        (", ".join(key.toString(native) for key in action.shortcuts()), looks.plain(action))
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
