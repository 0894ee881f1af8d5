"""A view that zooms at the cursor, pans and fits; knows no photo and no box.

The scale is points of the window a unit of the scene; what is fitted stays fitted while the window changes its size.
"""

from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QResizeEvent, QTransform, QWheelEvent
from PySide6.QtWidgets import QFrame, QGraphicsView, QWidget

_MOST_ZOOM = 40.0
_LEAST_ZOOM = 0.01
_MARGIN_PX = 24


class ZoomView(QGraphicsView):
    """Shows a part of its scene; ``zoomed`` tells the scale."""

    zoomed = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._fitted = True
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setViewportUpdateMode(QGraphicsView.ViewportUpdateMode.FullViewportUpdate)
        self.setTransformationAnchor(QGraphicsView.ViewportAnchor.NoAnchor)
        self.setResizeAnchor(QGraphicsView.ViewportAnchor.AnchorViewCenter)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def ground(self) -> QRectF:
        """What is fitted, in the scene's units; empty where there is nothing."""
        return self.sceneRect()

    def fit(self) -> None:
        """The whole ground, as large as the window allows."""
        area = self.ground()
        if area.isEmpty():
            return
        room_x = max(1, self.viewport().width() - 2 * _MARGIN_PX)
        room_y = max(1, self.viewport().height() - 2 * _MARGIN_PX)
        scale = min(room_x / area.width(), room_y / area.height(), _MOST_ZOOM)
        self.setTransform(QTransform.fromScale(scale, scale))
        self.centerOn(area.center())
        self._fitted = True
        self.zoomed.emit(scale)

    def actual_size(self) -> None:
        """One unit of the scene on one pixel of the screen."""
        self.zoom_to(1.0 / self.devicePixelRatio())

    def zoom_by(self, factor: float) -> None:
        """Nearer or farther, about the middle."""
        self.zoom_to(self.transform().m11() * factor)

    def zoom_to(self, scale: float, about: QPointF | None = None) -> None:
        """A zoom, keeping what is under a point of the window where it is."""
        if self.ground().isEmpty():
            return
        point = about or QPointF(self.viewport().rect().center())
        before = self.scene_at(point)
        scale = min(max(scale, _LEAST_ZOOM), _MOST_ZOOM)
        self.setTransform(QTransform.fromScale(scale, scale))
        self.pan(QPointF(self.mapFromScene(before)) - point)
        self.zoomed.emit(scale)

    def pan(self, by: QPointF) -> None:
        """Show what lies ``by`` points further right and down."""
        across, down = self.horizontalScrollBar(), self.verticalScrollBar()
        across.setValue(across.value() + round(by.x()))
        down.setValue(down.value() + round(by.y()))
        self._fitted = False

    def scene_at(self, at: QPointF) -> QPointF:
        """The place of the scene under a point of the window."""
        inverse, _ = self.viewportTransform().inverted()
        return inverse.map(at)

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802 - Qt's name
        """Ctrl zooms at the cursor; without it the wheel scrolls."""
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.zoom_to(self.transform().m11() * 1.0015 ** event.angleDelta().y(), event.position())
        else:
            delta = QPointF(event.pixelDelta() if not event.pixelDelta().isNull() else event.angleDelta())
            if event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
                delta = delta.transposed()
            self.pan(QPointF(-delta.x() / 2, -delta.y() / 2))
        event.accept()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """What was fitted stays fitted."""
        super().resizeEvent(event)
        if self._fitted:
            self.fit()
