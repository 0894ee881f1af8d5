"""The photo and the boxes on it, under a hand: draw, move, pull, choose, zoom, pan. Tells what was done; keeps nothing.

A drag on a selected box moves it, a drag anywhere else draws a new one, a click chooses. R lets the next drag draw even
on a selected box.
"""

from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QDragEnterEvent,
    QDragMoveEvent,
    QDropEvent,
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
)
from PySide6.QtWidgets import QGraphicsScene, QWidget

from gpt4roi_desktop.session import Session
from gpt4roi_desktop.views import hand, outlines, theme
from gpt4roi_desktop.views.aim import Aim
from gpt4roi_desktop.views.hand import Drag
from gpt4roi_desktop.views.pixels import Levels, PhotoItem
from gpt4roi_desktop.views.zooming import ZoomView
from gpt4roi_runtime.vision.proposals import Proposal

_SLIP_PX = 4.0
_ADDING = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier


class Canvas(ZoomView):
    """Shows a session's photo and boxes."""

    box_drawn = Signal(object)
    boxes_reshaped = Signal(object)  # a dict with numbers as keys is none of the kinds that Qt copies
    region_clicked = Signal(int, bool)
    ground_clicked = Signal()
    proposal_clicked = Signal(int)
    files_dropped = Signal(list)
    cycled = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session: Session | None = None
        self._proposals: tuple[Proposal, ...] = ()
        self._photo = PhotoItem()
        self._drag: Drag | None = None
        self._now: tuple[float, float] = (0.0, 0.0)
        self._square = False
        self._pointer: QPointF | None = None
        self._lit = 0
        self._force_draw = False
        self._space = False
        scene = QGraphicsScene(self)
        scene.addItem(self._photo)
        self.setScene(scene)
        self.setMouseTracking(True)
        self.setAcceptDrops(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(self.tr("Photo with boxes"))
        self.setAccessibleDescription(
            self.tr("Drag to draw a box. Tab chooses the next box, arrows move it, Delete removes it.")
        )

    # -- what is shown -------------------------------------------------------------------------------------------

    def show_photo(self, levels: Levels) -> None:
        """Another photo, fitted to the window."""
        self._photo.show_levels(levels)
        area = self.ground()
        room = max(area.width(), area.height())
        self.setSceneRect(area.adjusted(-room, -room, room, room))
        self.abandon()
        self.fit()

    def ground(self) -> QRectF:
        """The photo."""
        return self._photo.boundingRect()

    def show_session(self, session: Session | None) -> None:
        """The boxes as they are now."""
        self._session = session
        self.viewport().update()

    def show_proposals(self, proposals: tuple[Proposal, ...]) -> None:
        """The boxes that are offered."""
        self._proposals = proposals
        self.viewport().update()

    def light(self, region_id: int) -> None:
        """Point at a region from elsewhere; 0 at none."""
        if region_id != self._lit:
            self._lit = region_id
            self.viewport().update()

    @property
    def is_busy(self) -> bool:
        """A drag is under way, or R was pressed."""
        return self._drag is not None or self._force_draw

    def abandon(self) -> None:
        """Forget the drag that is under way."""
        self._drag, self._force_draw = None, False
        self._show_cursor()
        self.viewport().update()

    def draw_next(self) -> None:
        """The next drag draws, wherever it begins."""
        self._force_draw = True
        self.setFocus()
        self._show_cursor()

    # -- the hand ------------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Begin to draw, move, pull or pan."""
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        at, button = event.position(), event.button()
        if self._session is None:
            return
        self._now = self._photo_at(at)
        if button == Qt.MouseButton.MiddleButton or (button == Qt.MouseButton.LeftButton and self._space):
            self._drag = Drag("pan", self._now, at)
        elif button == Qt.MouseButton.LeftButton:
            self._drag = hand.begun(self._aim(), self._now, at, only_draw=self._force_draw)
        self._show_cursor()
        event.accept()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Go on with it."""
        self._pointer = event.position()
        self._square = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        if self._drag is not None and self._drag.kind == "pan":
            self.pan(self._drag.start_view - event.position())
            self._drag = Drag("pan", self._drag.start, event.position())
        self._now = self._photo_at(event.position())
        self._show_cursor()
        self.viewport().update()
        event.accept()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Tell what was done."""
        drag, self._drag = self._drag, None
        if drag is None or self._session is None:
            return
        self._now = self._photo_at(event.position())
        self._square = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        slip = (event.position() - drag.start_view).manhattanLength() < _SLIP_PX
        if drag.kind != "pan" and slip:
            self._click(event)
        elif drag.kind == "draw":
            box = drag.band(self._session, self._now, square=self._square)
            if box is not None:
                self._force_draw = False
                self.box_drawn.emit(box)
        elif drag.kind in ("move", "pull"):
            self.boxes_reshaped.emit(drag.reshaped(self._session, self._now))
        self._show_cursor()
        self.viewport().update()
        event.accept()

    def _click(self, event: QMouseEvent) -> None:
        add = bool(event.modifiers() & _ADDING)
        meant = self._aim().clicked_at(event.position())
        if isinstance(meant, int):
            self.proposal_clicked.emit(meant)
        elif meant is not None:
            self.region_clicked.emit(meant.id, add)
        elif not add:
            self.ground_clicked.emit()

    def leaveEvent(self, event: QEvent) -> None:  # noqa: N802 - Qt's name
        """No crosshair without a cursor."""
        self._pointer = None
        self.viewport().update()
        super().leaveEvent(event)

    # -- keys ----------------------------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Tab cycles through the boxes as long as there are any; otherwise it leaves, as everywhere."""
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            back = event.key() == Qt.Key.Key_Backtab
            if (back or event.key() == Qt.Key.Key_Tab) and self._session is not None and self._session.regions:
                self.cycled.emit(-1 if back else 1)
                return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """Space turns the hand into a pan; all other keys are the window's."""
        if event.key() == Qt.Key.Key_Space:
            self._space = True
            self._show_cursor()
        else:
            event.ignore()

    def keyReleaseEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """Back to drawing."""
        if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self._space = False
            self._show_cursor()

    def focusOutEvent(self, event: QFocusEvent) -> None:  # noqa: N802 - Qt's name
        """A key that is released elsewhere is not heard here."""
        self._space = False
        super().focusOutEvent(event)

    # -- files ---------------------------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802 - Qt's name
        """Files are welcome."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:  # noqa: N802 - Qt's name
        """Anywhere."""
        event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802 - Qt's name
        """Tell which."""
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        event.acceptProposedAction()
        if paths:
            self.files_dropped.emit(paths)

    # -- paint ---------------------------------------------------------------------------------------------------

    def _aim(self) -> Aim:
        return Aim(self._session, self._proposals, self.viewportTransform())

    def _photo_at(self, at: QPointF) -> tuple[float, float]:
        point = self.scene_at(at)
        return point.x(), point.y()

    def _show_cursor(self) -> None:
        self.viewport().setCursor(self._cursor())

    def _cursor(self) -> Qt.CursorShape:
        if self._drag is not None and self._drag.kind == "pan":
            return Qt.CursorShape.ClosedHandCursor
        if self._space:
            return Qt.CursorShape.OpenHandCursor
        return hand.cursor_over(self._aim(), self._pointer, self._drag, only_draw=self._force_draw)

    def drawBackground(self, painter: QPainter, rect: QRectF | QRect) -> None:  # noqa: N802 - Qt's name
        """The table that the photo lies on."""
        painter.fillRect(rect, QColor(theme.current().canvas))

    def drawForeground(self, painter: QPainter, rect: QRectF | QRect) -> None:  # noqa: N802 - Qt's name
        """Everything over the photo, in the window's points, so that lines are as thick at every zoom."""
        del rect
        painter.save()
        painter.resetTransform()
        if self._session is None:
            painter.setPen(QColor(theme.current().faint))
            words = self.tr("Open a photo, drop one here, or paste one")
            painter.drawText(self.viewport().rect(), Qt.AlignmentFlag.AlignCenter, words)
        else:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._draw_over(painter, self._session)
        painter.restore()

    def _draw_over(self, painter: QPainter, session: Session) -> None:
        aim = self._aim()
        under = None if self._pointer is None or self._drag is not None else aim.proposal_at(self._pointer)
        for place, proposal in enumerate(self._proposals):
            outlines.draw_proposal(painter, aim.area_of, proposal, lit=place == under)
        boxes = {} if self._drag is None else self._drag.reshaped(session, self._now)
        outlines.draw_regions(painter, aim.area_of, session, boxes, self._lit)
        band = None if self._drag is None else self._drag.band(session, self._now, square=self._square)
        if band is not None:
            outlines.draw_band(painter, aim.area_of(band), len(session.regions) + 1)
        photo = aim.transform.mapRect(self.ground())
        if self._pointer is not None and self._cursor() == Qt.CursorShape.CrossCursor and photo.contains(self._pointer):
            outlines.draw_crosshair(painter, self._pointer, photo)
