"""The choice between light, dark and the system's colours. Knows no colour and remembers nothing."""

from functools import partial
from typing import get_args

from PySide6.QtCore import Signal
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QMenu, QWidget

from gpt4roi_desktop.preferences import Theme


class ThemeMenu(QMenu):
    """Three choices, one of them ticked."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setTitle(self.tr("&Theme"))
        self._actions: dict[Theme, QAction] = {}
        group = QActionGroup(self)
        words = {"system": self.tr("&As the system"), "light": self.tr("&Light"), "dark": self.tr("&Dark")}
        themes: tuple[Theme, ...] = get_args(Theme)
        for theme in themes:
            action = group.addAction(words[theme])
            action.setCheckable(True)
            action.triggered.connect(partial(self._choose, theme))
            self.addAction(action)
            self._actions[theme] = action

    def tick(self, theme: Theme) -> None:
        """Show which is chosen."""
        self._actions[theme].setChecked(True)

    def _choose(self, theme: Theme, *_: object) -> None:
        self.chosen.emit(theme)
