"""The keys of the window's actions: shows them, lets a person change them, and gives the actions those of now."""

from collections.abc import Callable, Iterable, Mapping

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QDialog, QMainWindow, QWidget

from gpt4roi_desktop.keymap import Keymap, Keys
from gpt4roi_desktop.views import actions as looks
from gpt4roi_desktop.views import menus
from gpt4roi_desktop.views.shortcut_editor import ShortcutEditor
from gpt4roi_desktop.views.shortcuts import ShortcutSheet

_TYPED = ("Space", "Return", "Enter", "Shift+Return", "Shift+Enter", "Tab", "Shift+Tab")
"""What the photo, the question's box and every dialog hear themselves."""


class Keyboard(QObject):
    """One window's keys; ``chosen`` tells those that a person changed.

    Args:
        actions: That may have other keys, by name, with the program's own.
        others: Widgets with further actions, whose keys stay as they are.
        window: Has a menu bar.
        show: Opens a dialog over it.
    """

    chosen = Signal(object)

    def __init__(
        self,
        actions: Mapping[str, QAction],
        others: Iterable[QWidget],
        window: QMainWindow,
        show: Callable[[QDialog], None],
    ) -> None:
        super().__init__(window)
        self._actions = actions
        self._window = window
        self._show = show
        ours = list(actions.values())
        rest = [each for widget in (window, *others) for each in widget.actions() if each not in ours]
        keys = {_written(key) for each in rest for key in each.shortcuts()}
        keys |= {_written(QKeySequence.mnemonic(each.text())) for each in window.menuBar().actions()}
        own = {name: tuple(map(_written, action.shortcuts())) for name, action in actions.items()}
        self.keymap = Keymap(own, frozenset(keys | set(_TYPED)))

    def use(self, chosen: Mapping[str, Keys]) -> None:
        """Give the actions these keys; what cannot be read or is given twice is left out."""
        read = {name: tuple(filter(None, map(_written, map(QKeySequence, keys)))) for name, keys in chosen.items()}
        self.keymap = self.keymap.with_all(read)
        for name, action in self._actions.items():
            action.setShortcuts([QKeySequence(key) for key in self.keymap.keys_of(name)])
            looks.dress(action)

    def show_sheet(self) -> None:
        """All keys, to be read."""
        groups = [(title, [self._actions[name] for name in names]) for title, names in self._groups()]
        sheet = ShortcutSheet(groups, self._window)
        sheet.change_wanted.connect(self.change)
        self._show(sheet)

    def change(self) -> None:
        """All keys, to be changed."""
        groups = [
            (title, [(name, looks.plain(self._actions[name])) for name in names]) for title, names in self._groups()
        ]
        editor = ShortcutEditor(groups, self.keymap, self._window)
        editor.taken.connect(self.chosen)
        self._show(editor)

    def _groups(self) -> list[tuple[str, list[str]]]:
        return [
            (title.replace("&", ""), [name for name in names if name in self._actions])
            for title, names in menus.groups()
        ]


def _written(key: QKeySequence) -> str:
    return key.toString(QKeySequence.SequenceFormat.PortableText)
