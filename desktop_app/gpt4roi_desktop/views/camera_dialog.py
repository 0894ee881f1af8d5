"""The live camera: look, freeze. Opens no photo and keeps no frame."""

from collections.abc import Callable

import numpy as np
from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QSpinBox, QVBoxLayout, QWidget

from gpt4roi_desktop.camera import Camera
from gpt4roi_desktop.views import theme
from gpt4roi_desktop.views.bridge import Bridge
from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.errors import Gpt4RoiError

Open = Callable[[int, Callable[[], None], Callable[[Gpt4RoiError], None]], Camera]


class LivePicture(QWidget):
    """The newest frame, as large as there is room."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.frame: RgbImage | None = None
        self.setMinimumSize(320, 240)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(self.tr("The camera's picture"))

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """As most cameras are."""
        return QSize(640, 480)

    def show_frame(self, frame: RgbImage | None) -> None:
        """Another frame."""
        self.frame = frame
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """The frame in the middle."""
        del event
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(theme.current().canvas))
        if self.frame is not None:
            height, width = self.frame.shape[:2]
            image = QImage(np.ascontiguousarray(self.frame).data, width, height, 3 * width, QImage.Format.Format_RGB888)
            scale = min(self.width() / width, self.height() / height)
            area = QRectF(0, 0, width * scale, height * scale)
            area.moveCenter(QRectF(self.rect()).center())
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(area, image)
        painter.end()


class CameraDialog(QDialog):
    """The camera's picture, its number, and the button that freezes it; ``frozen`` tells the frame."""

    frozen = Signal(object)
    numbered = Signal(int)

    def __init__(self, number: int, bridge: Bridge, open_camera: Open = Camera, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Camera"))
        self._bridge = bridge
        self._open_camera = open_camera
        self._camera: Camera | None = None
        self.picture, self.words, self.number = LivePicture(), QLabel(), QSpinBox()
        self.words.setObjectName("faint")
        self.words.setWordWrap(True)
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.words.setAccessibleName(self.tr("State of the camera"))
        self.number.setRange(0, 63)
        self.number.setValue(number)
        self.number.setAccessibleName(self.tr("Number of the camera"))
        self.number.setPrefix(self.tr("Camera") + " ")
        self.freeze_button = QPushButton(self.tr("&Freeze and ask"))
        self.freeze_button.setObjectName("primary")
        self.freeze_button.setDefault(True)
        close = QPushButton(self.tr("Close"))
        row = QHBoxLayout()
        row.addWidget(self.number)
        row.addWidget(self.words, 1)
        row.addWidget(close)
        row.addWidget(self.freeze_button)
        whole = QVBoxLayout(self)
        whole.addWidget(self.picture, 1)
        whole.addLayout(row)
        close.clicked.connect(self.reject)
        self.freeze_button.clicked.connect(self._freeze)
        self.number.valueChanged.connect(self._start)
        self.finished.connect(self._stop)
        self._start(number)

    def _start(self, number: int) -> None:
        self._stop()
        self.numbered.emit(number)
        self.freeze_button.setEnabled(False)
        self.picture.show_frame(None)
        self.words.setText(self.tr("waiting for the camera …"))
        camera: Camera | None = None

        def ready() -> None:
            self._bridge.post(show)

        def show() -> None:
            if camera is not None and camera is self._camera:
                frame = camera.take()
                if frame is not None:
                    self._show(frame)

        def failed(error: Gpt4RoiError) -> None:
            self._bridge.post(lambda: self._fail(error) if camera is self._camera else None)

        camera = self._camera = self._open_camera(number, ready, failed)

    def _show(self, frame: RgbImage) -> None:
        self.picture.show_frame(frame)
        self.freeze_button.setEnabled(True)
        height, width = frame.shape[:2]
        self.words.setText(self.tr("{0} by {1} pixels").format(width, height))

    def _fail(self, error: Gpt4RoiError) -> None:
        self.freeze_button.setEnabled(False)
        self.words.setText(f"{error.problem}. {error.advice}")

    def _freeze(self) -> None:
        if self.picture.frame is not None:
            self.frozen.emit(self.picture.frame)
            self.accept()

    def _stop(self, *_: object) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()
