"""The window's dialogs, opened and answered: settings, models, keys. Blocks nothing and decides nothing."""

from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QDialog, QFileDialog, QMainWindow

from gpt4roi_desktop import models, requests
from gpt4roi_desktop.controller import Controller
from gpt4roi_desktop.models import Card
from gpt4roi_desktop.views.bridge import Bridge
from gpt4roi_desktop.views.files import Files
from gpt4roi_desktop.views.model_dialog import ModelDialog
from gpt4roi_desktop.views.settings_dialog import SettingsDialog


class Dialogs(QObject):
    """Opens dialogs over a window."""

    def __init__(self, window: QMainWindow, controller: Controller, bridge: Bridge, files: Files) -> None:
        super().__init__(window)
        self._window = window
        self._controller = controller
        self._bridge = bridge
        self._files = files

    def open(self, dialog: QDialog) -> None:
        """Show a dialog over the window; it is gone when it is closed."""
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def settings(self) -> None:
        """Change the preferences."""
        dialog = SettingsDialog(
            self._controller.preferences, with_engines=requests.CARRIES_SETTINGS, parent=self._window
        )
        dialog.accepted.connect(lambda: self._controller.prefer(dialog.chosen()))
        self.open(dialog)

    def choose_model(self) -> None:
        """Choose a bundle; what is known of each comes as it is read."""
        model = self._controller.model
        dialog = ModelDialog("" if model is None else model.bundle_id, self._window)
        alive = [True]
        dialog.finished.connect(lambda _: alive.clear())

        def put(card: Card, *, choose: bool = False) -> None:
            if alive:
                dialog.put(card, choose=choose)

        def read(folder: Path, *, choose: bool = False) -> None:
            read_card = partial(models.read_card, folder, self._controller.preferences)
            self._bridge.aside(read_card, partial(put, choose=choose), self._files.tell)

        def add() -> None:
            folder = QFileDialog.getExistingDirectory(dialog, self.tr("Choose the folder of a model"))
            if folder:
                read(Path(folder), choose=True)

        dialog.folder_wanted.connect(add)
        dialog.used.connect(self._controller.use_model)
        used, known = self._controller.bundle, models.known_folders(self._controller.preferences)
        for folder in known if used is None else dict.fromkeys((used, *known)):
            read(folder)
        self.open(dialog)
