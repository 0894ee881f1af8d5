"""The window's dialogs, opened and answered: settings, models, keys. Blocks nothing and decides nothing."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QDialog, QFileDialog, QMainWindow

from gpt4roi_desktop import models
from gpt4roi_desktop.camera import keep_frame
from gpt4roi_desktop.controller import Controller
from gpt4roi_desktop.models import Card
from gpt4roi_desktop.places import Places
from gpt4roi_desktop.views.bridge import Bridge
from gpt4roi_desktop.views.camera_dialog import CameraDialog
from gpt4roi_desktop.views.files import Files
from gpt4roi_desktop.views.model_dialog import ModelDialog
from gpt4roi_desktop.views.settings_dialog import SettingsDialog
from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.image_store import ImageStore


class Dialogs(QObject):
    """Opens dialogs over a window."""

    def __init__(
        self, window: QMainWindow, controller: Controller, bridge: Bridge, files: Files, places: Places
    ) -> None:
        super().__init__(window)
        self._window = window
        self._controller = controller
        self._bridge = bridge
        self._files = files
        self._places = places

    def open(self, dialog: QDialog) -> None:
        """Show a dialog over the window; it is gone when it is closed."""
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def close(self) -> None:
        """Close what is open, as with Esc: the camera's light must not outlive the window."""
        for dialog in self._window.findChildren(QDialog):
            dialog.reject()

    def settings(self) -> None:
        """Change the preferences."""
        dialog = SettingsDialog(self._controller.preferences, parent=self._window)
        alive = [True]
        dialog.finished.connect(lambda _: alive.clear())

        def look(folder: Path, work: Callable[[ImageStore], tuple[int, int]]) -> None:
            def then(usage: tuple[int, int]) -> None:
                if alive:
                    dialog.kept.show_usage(folder, *usage)

            self._bridge.aside(lambda: work(ImageStore(folder)), then, self._files.tell)

        dialog.kept.count_wanted.connect(partial(look, work=ImageStore.usage))
        dialog.kept.forget_wanted.connect(partial(look, work=ImageStore.forget))
        dialog.kept.count()
        dialog.taken.connect(self._controller.prefer)
        self.open(dialog)

    def camera(self) -> None:
        """Look through the camera; a frozen frame is opened as a photo."""
        controller = self._controller
        dialog = CameraDialog(controller.preferences.camera, self._bridge, parent=self._window)
        dialog.numbered.connect(
            lambda number: controller.prefer(msgspec.structs.replace(controller.preferences, camera=number))
        )
        dialog.frozen.connect(self.open_frame)
        self.open(dialog)

    def open_frame(self, frame: RgbImage) -> None:
        """Open a frame of the camera as a photo."""
        self._bridge.aside(partial(keep_frame, frame, self._places), self._controller.open_photo, self._files.tell)

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
            def then(card: Card) -> None:
                put(card, choose=choose)
                plan = partial(models.with_memory, card, self._controller.preferences)
                self._bridge.aside(plan, put, self._files.tell)

            self._bridge.aside(partial(models.read_card, folder), then, self._files.tell)

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
