"""A real window on a fake model, and the hands that use it."""

from pathlib import Path

from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from gpt4roi_desktop.places import Places
from gpt4roi_desktop.session import Session
from gpt4roi_desktop.views import theme
from gpt4roi_desktop.views.window import Window
from gpt4roi_runtime.geometry import Box
from tests.desktop.fakes import FakeWorker, Workers, photo_file

NONE = Qt.KeyboardModifier.NoModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
CONTROL = Qt.KeyboardModifier.ControlModifier
LEFT = Qt.MouseButton.LeftButton


class Desk:
    """What a person does at the window, and what is then the case."""

    def __init__(self, qtbot: QtBot, folder: Path) -> None:
        self.qtbot = qtbot
        self.folder = folder
        self.workers = Workers()
        application = QApplication.instance()
        assert isinstance(application, QApplication)
        theme.apply(application)
        self.window = Window(self.workers, Places(folder / "state"))
        qtbot.addWidget(self.window)
        self.canvas, self.chat = self.window.canvas, self.window.chat

    def open(self) -> None:
        self.window.resize(1000, 700)
        self.window.show()
        self.qtbot.waitExposed(self.window)
        self.window.activateWindow()
        self.qtbot.waitUntil(self.window.isActiveWindow)
        self.window.controller.open_model(self.folder)
        self.open_photo(photo_file(self.folder))
        self.workers.last.open_model()
        self.qtbot.waitUntil(lambda: self.window.controller.stage == "encoding")
        self.workers.last.open_image()
        self.qtbot.waitUntil(lambda: self.window.controller.stage == "ready")

    def close(self) -> None:
        """Close the window and wait for what is then done aside."""
        self.window.close()
        self.window.bridge.join()

    def ask_about_two_boxes(self) -> None:
        """Two boxes, and an answer about the second."""
        self.draw((20, 10, 80, 60), (120, 40, 180, 90))
        self.qtbot.mouseClick(self.chat.what, LEFT)
        self.worker.answer("It is a cup.")
        self.qtbot.waitUntil(lambda: self.window.controller.running is None)

    def open_photo(self, path: Path) -> None:
        with self.qtbot.waitSignal(self.canvas.zoomed):
            self.window.files.open_path(path)
        self.qtbot.waitUntil(lambda: self.session.photo.path == path)

    @property
    def worker(self) -> FakeWorker:
        return self.workers.last

    @property
    def session(self) -> Session:
        session = self.window.controller.session
        assert session is not None
        return session

    @property
    def boxes(self) -> list[Box]:
        return [region.box for region in self.session.regions]

    @property
    def selected(self) -> list[int | None]:
        return sorted(self.session.number_of(each) or 0 for each in self.session.selected)  # type: ignore[return-value]

    def at(self, x: float, y: float) -> QPoint:
        return self.canvas.mapFromScene(QPointF(x, y))

    def drag(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        keys: Qt.KeyboardModifier = NONE,
        *,
        drop: bool = True,
    ) -> None:
        view = self.canvas.viewport()
        self.qtbot.mousePress(view, LEFT, keys, self.at(*start))
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        for place in (middle, end):
            self.qtbot.mouseMove(view, self.at(*place))
        if drop:
            self.qtbot.mouseRelease(view, LEFT, keys, self.at(*end))

    def draw(self, *corners: tuple[float, float, float, float]) -> None:
        for x1, y1, x2, y2 in corners:
            self.drag((x1, y1), (x2, y2))

    def click(self, x: float, y: float, keys: Qt.KeyboardModifier = NONE) -> None:
        self.qtbot.mouseClick(self.canvas.viewport(), LEFT, keys, self.at(x, y))

    def press(self, key: Qt.Key, keys: Qt.KeyboardModifier = NONE) -> None:
        self.qtbot.keyClick(self.canvas, key, keys)
