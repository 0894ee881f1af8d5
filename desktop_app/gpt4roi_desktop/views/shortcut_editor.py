"""Other keys for the window's actions, one at a time; a key that is taken is refused. Gives no action a key itself."""

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QHeaderView,
    QKeySequenceEdit,
    QLabel,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from gpt4roi_desktop.keymap import Keymap, Keys
from gpt4roi_desktop.views import actions

_NAME = int(Qt.ItemDataRole.UserRole)

Group = tuple[str, Sequence[tuple[str, str]]]
"""A menu's title, and name and words of each of its actions."""


class ShortcutEditor(QDialog):
    """A list of actions with their keys, and a field that takes the next key pressed; ``taken`` tells all choices."""

    taken = Signal(object)

    def __init__(self, groups: Sequence[Group], keymap: Keymap, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Change the keys"))
        self.keymap = keymap
        self._words = {name: words for _, entries in groups for name, words in entries}
        self._rows: dict[str, QTreeWidgetItem] = {}
        self.tree, self.key, self.refused = QTreeWidget(), QKeySequenceEdit(), QLabel()
        self.set_button = self._button(self.tr("&Use it"), self.tr("This key and no other"), self._set)
        self.add_button = self._button(self.tr("Use it &too"), self.tr("This key beside those it has"), self._add)
        self.none_button = self._button(self.tr("&No key"), self.tr("Take its keys away"), self._take_away)
        self.reset_button = self._button(self.tr("&Reset"), self.tr("The program's own keys again"), self._reset)
        self.reset_all_button = QPushButton(self.tr("Reset &all"))
        self._fill(groups)
        self._lay_out()
        self.tree.itemSelectionChanged.connect(self._look)
        self.tree.itemDoubleClicked.connect(lambda *_: self.key.setFocus())
        self.key.keySequenceChanged.connect(self._look)
        self.reset_all_button.clicked.connect(lambda: self._change(self.keymap.reset_all()))
        self.choose(next(iter(self._rows)))
        self._show_keys()

    # -- looks ---------------------------------------------------------------------------------------------------

    def _fill(self, groups: Sequence[Group]) -> None:
        self.tree.setColumnCount(2)
        self.tree.setHeaderLabels([self.tr("What"), self.tr("Keys")])
        self.tree.setAccessibleName(self.tr("Actions and their keys"))
        self.tree.setObjectName("framed")
        self.tree.setItemsExpandable(False)
        self.tree.setRootIsDecorated(False)
        self.tree.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.tree.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.tree.header().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.tree.header().setStretchLastSection(False)
        for title, entries in groups:
            head = QTreeWidgetItem(self.tree, [title])
            head.setFlags(Qt.ItemFlag.ItemIsEnabled)
            for name, words in entries:
                row = QTreeWidgetItem(head, [words])
                row.setData(0, _NAME, name)
                self._rows[name] = row
        self.tree.expandAll()

    def _lay_out(self) -> None:
        self.key.setMaximumSequenceLength(1)
        self.key.setAccessibleName(self.tr("Press a key"))
        self.key.setToolTip(self.tr("Press the key here; Tab goes on"))
        self.refused.setObjectName("warning")
        self.refused.setWordWrap(True)
        self.refused.setTextFormat(Qt.TextFormat.PlainText)
        self.refused.setAccessibleName(self.tr("Why not this key"))
        kinds = QDialogButtonBox.StandardButton
        buttons = QDialogButtonBox(kinds.Ok | kinds.Cancel)
        buttons.addButton(self.reset_all_button, QDialogButtonBox.ButtonRole.ResetRole)
        actions.without_icons(buttons)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        row = QHBoxLayout()
        row.addWidget(self.key, 1)
        for button in (self.set_button, self.add_button, self.none_button, self.reset_button):
            row.addWidget(button)
        whole = QVBoxLayout(self)
        whole.addWidget(self.tree, 1)
        whole.addLayout(row)
        whole.addWidget(self.refused)
        whole.addWidget(buttons)
        self.resize(620, min(640, self.screen().availableGeometry().height() - 80))

    def _button(self, words: str, tip: str, act: object) -> QPushButton:
        button = QPushButton(words)
        button.setAutoDefault(False)
        button.setToolTip(tip)
        button.setAccessibleName(tip)
        button.clicked.connect(act)
        return button

    def _show_keys(self) -> None:
        for name, row in self._rows.items():
            row.setText(1, ", ".join(map(_native, self.keymap.keys_of(name))))
            font = row.font(1)
            font.setBold(name in self.keymap.chosen)
            row.setFont(1, font)
        self._look()

    def _look(self, *_: object) -> None:
        """What can be done with the action that is chosen and the key that was pressed."""
        name, key = self.name, self._pressed()
        refusal = self._refusal(name, (key,)) if name and key else ""
        self._say(refusal)
        usable = bool(name and key) and not refusal
        self.set_button.setEnabled(usable)
        self.add_button.setEnabled(usable and key not in self.keymap.keys_of(name))
        self.none_button.setEnabled(bool(name) and bool(self.keymap.keys_of(name)))
        self.reset_button.setEnabled(name in self.keymap.chosen)
        self.reset_all_button.setEnabled(bool(self.keymap.chosen))

    def _say(self, refusal: str) -> None:
        self.refused.setText(refusal)
        self.refused.setVisible(bool(refusal))

    # -- what is chosen ------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The action that is chosen; empty where none is."""
        rows = self.tree.selectedItems()
        return str(rows[0].data(0, _NAME) or "") if rows else ""

    def choose(self, name: str) -> None:
        """Choose an action."""
        self.tree.setCurrentItem(self._rows[name])

    def _pressed(self) -> str:
        return self.key.keySequence().toString(QKeySequence.SequenceFormat.PortableText)

    def _refusal(self, name: str, keys: Keys) -> str:
        """Why an action cannot have these keys; empty where it can."""
        for key in keys:
            holder = self.keymap.holder_of(key, name)
            if key in self.keymap.fixed:
                return self.tr("{0} is always the window's own. Press another key.").format(_native(key))
            if holder:
                return self.tr("{0} is the key of: {1}. Take it away there first, or press another key.").format(
                    _native(key), self._words.get(holder, holder)
                )
        return ""

    def _set(self) -> None:
        self._change(self.keymap.with_keys(self.name, (self._pressed(),)))

    def _add(self) -> None:
        self._change(self.keymap.with_keys(self.name, (*self.keymap.keys_of(self.name), self._pressed())))

    def _take_away(self) -> None:
        self._change(self.keymap.with_keys(self.name, ()))

    def _reset(self) -> None:
        refusal = self._refusal(self.name, self.keymap.own[self.name])
        if refusal:
            self._say(refusal)
        else:
            self._change(self.keymap.reset(self.name))

    def _change(self, keymap: Keymap) -> None:
        self.keymap = keymap
        self.key.clear()
        self._show_keys()
        self.tree.setFocus()

    def accept(self) -> None:
        """Take what was chosen."""
        self.taken.emit(dict(self.keymap.chosen))
        super().accept()


def _native(key: str) -> str:
    return QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText)
