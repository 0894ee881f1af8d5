"""The choice between light, dark and the system's colours, remembered. Knows no colour."""

from functools import partial
from typing import get_args

from PySide6.QtCore import QSettings
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QApplication, QMenu, QWidget

from gpt4roi_desktop.views import theme

_KEY = "theme"


class ThemeMenu(QMenu):
    """Three choices, one of them ticked."""

    def __init__(self, settings: QSettings, parent: QWidget) -> None:
        super().__init__(parent)
        self.setTitle(self.tr("&Theme"))
        self._settings = settings
        self._actions: dict[theme.Wish, QAction] = {}
        group = QActionGroup(self)
        words = {"system": self.tr("&As the system"), "light": self.tr("&Light"), "dark": self.tr("&Dark")}
        wishes: tuple[theme.Wish, ...] = get_args(theme.Wish)
        for wish in wishes:
            action = group.addAction(words[wish])
            action.setCheckable(True)
            action.triggered.connect(partial(self.choose, wish))
            self.addAction(action)
            self._actions[wish] = action
        remembered = self._settings.value(_KEY, "system")
        self.choose(next((wish for wish in wishes if wish == remembered), "system"))

    def choose(self, wish: theme.Wish, *_: object) -> None:
        """Light, dark, or as the system is."""
        self._settings.setValue(_KEY, wish)
        self._actions[wish].setChecked(True)
        application = QApplication.instance()
        if isinstance(application, QApplication):
            theme.choose(application, wish)
