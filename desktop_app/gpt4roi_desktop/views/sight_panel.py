"""The panel "What the model sees": its input, the grid of its features and the boxes on it. Computes no pixel."""

from PySide6.QtCore import QCoreApplication, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QHideEvent, QImage, QPainter, QPaintEvent, QPen, QShowEvent
from PySide6.QtWidgets import QFrame, QLabel, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from gpt4roi_desktop.looking import Looking
from gpt4roi_desktop.session import Region, Session
from gpt4roi_desktop.sight import Sight
from gpt4roi_desktop.views import outlines
from gpt4roi_desktop.views.panel import Panel
from gpt4roi_runtime.geometry import Box

_LEAST_PX = 220
_SIDE_PX = 12


class SightPicture(QWidget):
    """The stretched input with the grid over it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sight: Sight | None = None
        self._image = QImage()
        self._session: Session | None = None
        self.setMinimumSize(_LEAST_PX, _LEAST_PX)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setAccessibleName(self.tr("The model's input with its grid of features"))

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """A square."""
        return QSize(300, 300)

    def hasHeightForWidth(self) -> bool:  # noqa: N802 - Qt's name
        """It stays a square."""
        return True

    def heightForWidth(self, width: int) -> int:  # noqa: N802 - Qt's name
        """As high as wide."""
        return width

    def show_sight(self, sight: Sight | None, session: Session | None) -> None:
        """Another input, or other boxes on it."""
        if sight is not self._sight:
            self._sight = sight
            self._image = QImage() if sight is None else _image_of(sight)
        self._session = session
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """The input, the grid, the boxes."""
        del event
        sight, session = self._sight, self._session
        if sight is None or session is None:
            return
        side = min(self.width(), self.height())
        ground = QRectF((self.width() - side) / 2, 0, side, side)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(ground, self._image)
        _draw_grid(painter, ground, sight.grid.n_cells)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setClipRect(ground)
        photo = sight.photo

        def place(box: Box) -> QRectF:
            across, down = ground.width() / photo.width_px, ground.height() / photo.height_px
            corner = QPointF(ground.left() + box.x1 * across, ground.top() + box.y1 * down)
            return QRectF(corner.x(), corner.y(), (box.x2 - box.x1) * across, (box.y2 - box.y1) * down)

        for number, region in enumerate(session.regions, 1):
            if not region.hidden:
                selected = region.id in session.selected
                shown = Region(region.id, region.box)
                outlines.draw_region(painter, place, shown, number, selected=selected, lit=False, handles=False)
        painter.end()


class SightPanel(Panel):
    """What the model sees, and what that means for the boxes; ``watched`` tells whether anybody can see it."""

    watched = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("sight", QCoreApplication.translate("SightPanel", "What the model sees"), parent)
        self.setAllowedAreas(Qt.DockWidgetArea.LeftDockWidgetArea | Qt.DockWidgetArea.RightDockWidgetArea)
        self.picture = SightPicture()
        self.facts, self.warning = QLabel(), QLabel()
        for label, name in ((self.facts, "faint"), (self.warning, "warning")):
            label.setObjectName(name)
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
        self.facts.setAccessibleName(self.tr("Size of the model's input"))
        self.warning.setAccessibleName(self.tr("Boxes that are too small"))
        inside = QWidget()
        inside.setObjectName("talk")
        column = QVBoxLayout(inside)
        column.setContentsMargins(_SIDE_PX, 4, _SIDE_PX, 12)
        column.setSpacing(10)
        column.addWidget(self.picture)
        column.addWidget(self.warning)
        column.addWidget(self.facts)
        column.addStretch(1)
        area = QScrollArea()  # a square and its words need more height than a small window has
        area.setObjectName("talk")
        area.setWidget(inside)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setMinimumWidth(_LEAST_PX + 2 * _SIDE_PX + area.verticalScrollBar().sizeHint().width())
        area.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        area.setAccessibleName(self.windowTitle())
        self.setWidget(area)

    def show_looking(self, looking: Looking, session: Session | None) -> None:
        """What is seen now."""
        sight = looking.sight
        self.picture.show_sight(sight, session)
        self.picture.setVisible(sight is not None)
        if sight is None or session is None:
            begun = session is not None and looking.manifest is not None
            waiting = self.tr("One moment …") if begun else self.tr("Nothing yet: it needs a photo and a model.")
            self.facts.setText(looking.problem or waiting)
            self.warning.hide()
            return
        photo, grid = sight.photo, sight.grid
        words = [
            self.tr("{0} by {0} pixels, made of {1} by {2}; {3} by {3} cells of features.").format(
                grid.side_px, photo.width_px, photo.height_px, grid.n_cells
            )
        ]
        for region in session.selection():
            across, down = grid.cells_of(region.box, photo)
            number = session.number_of(region.id)
            words.append(self.tr("Box {0} covers {1:.1f} by {2:.1f} cells.").format(number, across, down))
        self.facts.setText("\n".join(words))
        small = [
            number
            for number, each in enumerate(session.regions, 1)
            if not each.hidden and grid.is_too_small(each.box, photo)
        ]
        self.warning.setVisible(bool(small))
        self.warning.setText(
            self.tr("Smaller than a cell: box {0}. The model can hardly tell what is in it; draw it larger.").format(
                ", ".join(map(str, small))
            )
        )

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 - Qt's name
        """Somebody looks."""
        super().showEvent(event)
        self.watched.emit(True)  # noqa: FBT003 - a signal

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802 - Qt's name
        """Nobody looks."""
        super().hideEvent(event)
        self.watched.emit(False)  # noqa: FBT003 - a signal


def _image_of(sight: Sight) -> QImage:
    """For Qt, which does not own the pixels: the sight keeps them."""
    side = sight.pixels.shape[0]
    return QImage(sight.pixels.data, side, side, 3 * side, QImage.Format.Format_RGB888)


def _draw_grid(painter: QPainter, ground: QRectF, n_cells: int) -> None:
    """Lines that can be told from light and from dark pixels alike."""
    for shade, shift in ((QColor(0, 0, 0, 90), 0.0), (QColor(255, 255, 255, 90), 1.0)):
        painter.setPen(QPen(shade, 1.0))
        for place in range(1, n_cells):
            at = place * ground.width() / n_cells + shift
            painter.drawLine(QPointF(ground.left() + at, ground.top()), QPointF(ground.left() + at, ground.bottom()))
            painter.drawLine(QPointF(ground.left(), ground.top() + at), QPointF(ground.right(), ground.top() + at))
