"""Line icons drawn from paths, in the theme's colour. Knows no action and no file."""

from PySide6.QtCore import QByteArray, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QIcon, QIconEngine, QPainter, QPen, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QApplication

from gpt4roi_desktop.views.chips import paint_tag
from gpt4roi_runtime.overlay import region_colour

_SHAPES = {
    "open": "M3 19V6a1 1 0 0 1 1-1h5l2 2.5h8a1 1 0 0 1 1 1V11 M3 19l3-8h16l-3 8z",
    "undo": "M4 9h10a6 6 0 0 1 0 12H9 M8 5L4 9l4 4",
    "redo": "M20 9H10a6 6 0 0 0 0 12h5 M16 5l4 4-4 4",
    "box": "M4 8V4h4 M16 4h4v4 M20 16v4h-4 M8 20H4v-4 M12 9v6 M9 12h6",
    "suggest": "M12 3l1.8 5.2L19 10l-5.2 1.8L12 17l-1.8-5.2L5 10l5.2-1.8z M19 16v4 M17 18h4",
    "zoom_in": "M10.5 4a6.5 6.5 0 1 0 .01 0z M15.5 15.5L21 21 M10.5 7.5v6 M7.5 10.5h6",
    "zoom_out": "M10.5 4a6.5 6.5 0 1 0 .01 0z M15.5 15.5L21 21 M7.5 10.5h6",
    "fit": "M4 9V4h5 M15 4h5v5 M20 15v5h-5 M9 20H4v-5",
    "grid": "M4 4h16v16H4z M4 9.3h16 M4 14.7h16 M9.3 4v16 M14.7 4v16",
    "table": "M4 5h16v14H4z M4 10h16 M4 14.5h16 M10 5v14",
    "camera": "M3 8h4l2-3h6l2 3h4v11H3z M12 10a3.5 3.5 0 1 0 .01 0z",
    "help": "M12 3a9 9 0 1 0 .01 0z M9.3 9.3a2.7 2.7 0 1 1 4.1 2.6c-.9.5-1.4 1-1.4 2 M12 17v.2",
    "send": "M12 20V5 M6 11l6-6 6 6",
    "stop": "M7 7h10v10H7z",
    "copy": "M9 9h11v11H9z M15 9V4H4v11h5",
    "again": "M20 12a8 8 0 1 1-2.5-5.8 M18 2v5h-5",
    "edit": "M4 20l1-4L16.5 4.5l3 3L8 19z M14 7l3 3",
    "locked": "M6 11h12v9H6z M8.5 11V8a3.5 3.5 0 0 1 7 0v3",
    "unlocked": "M6 11h12v9H6z M8.5 11V8a3.5 3.5 0 0 1 6.8-1.2",
    "seen": "M2.5 12S6 6 12 6s9.5 6 9.5 6-3.5 6-9.5 6-9.5-6-9.5-6z M12 9.5a2.5 2.5 0 1 0 .01 0z",
    "unseen": "M2.5 12S6 6 12 6s9.5 6 9.5 6-3.5 6-9.5 6-9.5-6-9.5-6z M4 20L20 4",
    "close": "M6 6l12 12 M18 6L6 18",
    "new": "M12 5v14 M5 12h14",
}


def paint(painter: QPainter, name: str, area: QRectF, colour: str) -> None:
    """Draw an icon into a square."""
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="{colour}" stroke-width="1.8"'
        f' stroke-linecap="round" stroke-linejoin="round"><path d="{_SHAPES[name]}"/></svg>'
    )
    QSvgRenderer(QByteArray(svg.encode())).render(painter, area)


class _Engine(QIconEngine):
    """Draws at every size and in the palette's colour of the moment, so that a change of theme needs no new icons."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def paint(self, painter: QPainter, rect, mode: QIcon.Mode, state: QIcon.State) -> None:  # type: ignore[no-untyped-def]
        """Draw."""
        del state
        palette = QApplication.palette()
        group = palette.ColorGroup.Disabled if mode == QIcon.Mode.Disabled else palette.ColorGroup.Active
        colour = palette.color(group, palette.ColorRole.ButtonText)
        painter.save()
        if mode == QIcon.Mode.Disabled:
            painter.setOpacity(0.45)
        paint(painter, self._name, QRectF(rect), colour.name())
        painter.restore()

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        """Draw on nothing."""
        picture = QPixmap(size)
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        self.paint(painter, picture.rect(), mode, state)
        painter.end()
        return picture

    def clone(self) -> "QIconEngine":
        """Another one."""
        return _Engine(self._name)


def icon(name: str) -> QIcon:
    """An icon by its name."""
    return QIcon(_Engine(name))


def logo() -> QIcon:
    """The app's own: a box with its number."""
    picture = QPixmap(128, 128)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(QColor(region_colour(2)), 12, j=Qt.PenJoinStyle.MiterJoin))
    painter.drawRect(QRectF(18, 34, 92, 80))
    paint_tag(painter, 1, QRectF(12, 8, 60, 52), radius=10)
    painter.end()
    return QIcon(picture)
