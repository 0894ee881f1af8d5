"""The photo and the boxes on it, under a hand: draw, move, pull, choose, zoom, pan. Tells what was done; keeps nothing.

A drag on a selected box moves it, a drag anywhere else draws a new one, a click chooses. R lets the next drag draw even
on a selected box.
"""

from dataclasses import dataclass
from typing import Literal

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
    QResizeEvent,
    QTransform,
    QWheelEvent,
)
from PySide6.QtWidgets import QFrame, QGraphicsScene, QGraphicsView, QWidget

from gpt4roi_desktop.session import Region, Session
from gpt4roi_desktop.shaping import Handle, Sheet, drawn, moved, pulled
from gpt4roi_desktop.views import outlines, theme
from gpt4roi_desktop.views.pixels import Levels, PhotoItem
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.vision.proposals import Proposal

_REACH_PX = 8.0
_SLIP_PX = 4.0
_MOST_ZOOM = 40.0
_CURSORS = {
    (-1, -1): Qt.CursorShape.SizeFDiagCursor,
    (1, 1): Qt.CursorShape.SizeFDiagCursor,
    (1, -1): Qt.CursorShape.SizeBDiagCursor,
    (-1, 1): Qt.CursorShape.SizeBDiagCursor,
    (0, -1): Qt.CursorShape.SizeVerCursor,
    (0, 1): Qt.CursorShape.SizeVerCursor,
    (-1, 0): Qt.CursorShape.SizeHorCursor,
    (1, 0): Qt.CursorShape.SizeHorCursor,
}


@dataclass(frozen=True)
class _Drag:
    """What the pressed button is doing, since where (in the photo's pixels and the window's points)."""

    kind: Literal["draw", "move", "pull", "pan"]
    start: tuple[float, float]
    start_view: QPointF
    region: Region | None = None
    handle: Handle | None = None


class Canvas(QGraphicsView):
    """Shows a session's photo and boxes."""

    box_drawn = Signal(object)
    boxes_reshaped = Signal(object)  # a dict with numbers as keys is none of the kinds that Qt copies
    region_clicked = Signal(int, bool)
    ground_clicked = Signal()
    proposal_clicked = Signal(int)
    files_dropped = Signal(list)
    cycled = Signal(int)
    zoomed = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session: Session | None = None
        self._proposals: tuple[Proposal, ...] = ()
        self._photo = PhotoItem()
        self._drag: _Drag | None = None
        self._now: tuple[float, float] = (0.0, 0.0)
        self._square = False
        self._pointer: QPointF | None = None
        self._lit = 0
        self._force_draw = False
        self._space = False
        self._fitted = True
        scene = QGraphicsScene(self)
        scene.addItem(self._photo)
        self.setScene(scene)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setMouseTracking(True)
        self.setAcceptDrops(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setViewportUpdateMode(QGraphicsView.ViewportUpdateMode.FullViewportUpdate)
        self.setTransformationAnchor(QGraphicsView.ViewportAnchor.NoAnchor)
        self.setResizeAnchor(QGraphicsView.ViewportAnchor.AnchorViewCenter)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName(self.tr("Photo with boxes"))
        self.setAccessibleDescription(
            self.tr("Drag to draw a box. Tab chooses the next box, arrows move it, Delete removes it.")
        )

    # -- what is shown -------------------------------------------------------------------------------------------

    def show_photo(self, levels: Levels) -> None:
        """Another photo, fitted to the window."""
        self._photo.show_levels(levels)
        area = self._photo.boundingRect()
        room = max(area.width(), area.height())
        self.setSceneRect(area.adjusted(-room, -room, room, room))
        self.abandon()
        self.fit()

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

    # -- zoom ----------------------------------------------------------------------------------------------------

    def fit(self) -> None:
        """The whole photo, as large as the window allows."""
        area = self._photo.boundingRect()
        if area.isEmpty():
            return
        margin = 24
        room_x, room_y = max(1, self.viewport().width() - 2 * margin), max(1, self.viewport().height() - 2 * margin)
        scale = min(room_x / area.width(), room_y / area.height(), _MOST_ZOOM)
        self.setTransform(QTransform.fromScale(scale, scale))
        self.centerOn(area.center())
        self._fitted = True
        self.zoomed.emit(scale)

    def actual_size(self) -> None:
        """One pixel of the photo on one of the screen."""
        self.zoom_to(1.0 / self.devicePixelRatio())

    def zoom_by(self, factor: float) -> None:
        """Nearer or farther, about the middle."""
        self.zoom_to(self.transform().m11() * factor)

    def zoom_to(self, scale: float, about: QPointF | None = None) -> None:
        """A zoom, keeping what is under a point of the window where it is."""
        if self._photo.boundingRect().isEmpty():
            return
        point = about or QPointF(self.viewport().rect().center())
        before = self._scene_at(point)
        scale = min(max(scale, 0.01), _MOST_ZOOM)
        self.setTransform(QTransform.fromScale(scale, scale))
        shift = QPointF(self.mapFromScene(before)) - point
        self._scroll(shift)
        self._fitted = False
        self.zoomed.emit(scale)

    def _scroll(self, by: QPointF) -> None:
        across, down = self.horizontalScrollBar(), self.verticalScrollBar()
        across.setValue(across.value() + round(by.x()))
        down.setValue(down.value() + round(by.y()))

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802 - Qt's name
        """Ctrl zooms at the cursor; without it the wheel scrolls."""
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.zoom_to(self.transform().m11() * 1.0015 ** event.angleDelta().y(), event.position())
        else:
            delta = QPointF(event.pixelDelta() if not event.pixelDelta().isNull() else event.angleDelta())
            if event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
                delta = delta.transposed()
            self._scroll(QPointF(-delta.x() / 2, -delta.y() / 2))
            self._fitted = False
        event.accept()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """A fitted photo stays fitted."""
        super().resizeEvent(event)
        if self._fitted:
            self.fit()

    # -- the hand ------------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Begin to draw, move, pull or pan."""
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        at, button = event.position(), event.button()
        if self._session is None:
            return
        if button == Qt.MouseButton.MiddleButton or (button == Qt.MouseButton.LeftButton and self._space):
            self._drag = _Drag("pan", self._photo_at(at), at)
        elif button == Qt.MouseButton.LeftButton:
            self._drag = self._begun(at)
        self._now = self._photo_at(at)
        self._show_cursor()
        event.accept()

    def _begun(self, at: QPointF) -> _Drag:
        start = self._photo_at(at)
        if not self._force_draw:
            region, handle = self._handle_at(at)
            if handle is not None:
                return _Drag("pull", start, at, region, handle)
            region = self._selected_at(at)
            if region is not None:
                return _Drag("move", start, at, region)
        return _Drag("draw", start, at)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Go on with it."""
        self._pointer = event.position()
        self._square = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        if self._drag is not None and self._drag.kind == "pan":
            self._scroll(self._drag.start_view - event.position())
            self._drag = _Drag("pan", self._drag.start, event.position())
            self._fitted = False
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
            box = drawn(drag.start, self._now, self._sheet(), square=self._square)
            if box is not None:
                self._force_draw = False
                self.box_drawn.emit(box)
        elif drag.kind in ("move", "pull"):
            self.boxes_reshaped.emit(self._reshaped(drag))
        self._show_cursor()
        self.viewport().update()
        event.accept()

    def _click(self, event: QMouseEvent) -> None:
        add = bool(event.modifiers() & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier))
        region = self._region_at(event.position())
        offered = self._proposal_at(event.position())
        if offered is not None and (region is None or _area(self._proposals[offered].box) < _area(region.box)):
            self.proposal_clicked.emit(offered)
        elif region is not None:
            self.region_clicked.emit(region.id, add)
        elif not add:
            self.ground_clicked.emit()

    def leaveEvent(self, event: QEvent) -> None:  # noqa: N802 - Qt's name
        """No crosshair without a cursor."""
        self._pointer = None
        self.viewport().update()
        super().leaveEvent(event)

    def _reshaped(self, drag: _Drag) -> dict[int, Box]:
        """The boxes that a drag makes of those it began with."""
        if self._session is None or drag.region is None:
            return {}
        if drag.handle is not None:
            return {drag.region.id: pulled(drag.region.box, drag.handle, self._now, self._sheet())}
        dx, dy = self._now[0] - drag.start[0], self._now[1] - drag.start[1]
        return {
            region.id: moved(region.box, dx, dy, self._sheet())
            for region in self._session.selection()
            if not region.locked and not region.hidden
        }

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

    # -- what is where -------------------------------------------------------------------------------------------

    def _scene_at(self, at: QPointF) -> QPointF:
        inverse, _ = self.viewportTransform().inverted()
        return inverse.map(at)

    def _photo_at(self, at: QPointF) -> tuple[float, float]:
        point = self._scene_at(at)
        return point.x(), point.y()

    def _area_of(self, box: Box) -> QRectF:
        """A box in the window's points."""
        return self.viewportTransform().mapRect(QRectF(box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1))

    def _sheet(self) -> Sheet:
        assert self._session is not None  # noqa: S101 - nothing is drawn without a photo
        return Sheet(self._session.photo.width_px, self._session.photo.height_px)

    def _visible(self) -> list[Region]:
        return [] if self._session is None else [region for region in self._session.regions if not region.hidden]

    def _handle_at(self, at: QPointF) -> tuple[Region | None, Handle | None]:
        """The handle in reach of the cursor, where one region alone is selected."""
        selected = () if self._session is None else self._session.selection()
        if len(selected) != 1 or selected[0].locked or selected[0].hidden:
            return None, None
        for handle in Handle:
            x, y = handle.place(selected[0].box)
            point = self.viewportTransform().map(QPointF(x, y))
            if max(abs(point.x() - at.x()), abs(point.y() - at.y())) <= _REACH_PX:
                return selected[0], handle
        return None, None

    def _selected_at(self, at: QPointF) -> Region | None:
        """A selected region that may be moved from here."""
        region = self._smallest([each for each in self._visible() if self._is_selected(each)], at)
        return None if region is None or region.locked else region

    def _region_at(self, at: QPointF) -> Region | None:
        return self._smallest(self._visible(), at)

    def _smallest(self, regions: list[Region], at: QPointF) -> Region | None:
        hit = [each for each in regions if self._area_of(each.box).adjusted(-3, -3, 3, 3).contains(at)]
        return min(hit, key=lambda each: _area(each.box), default=None)

    def _proposal_at(self, at: QPointF) -> int | None:
        hit = [place for place, each in enumerate(self._proposals) if self._area_of(each.box).contains(at)]
        return min(hit, key=lambda place: _area(self._proposals[place].box), default=None)

    def _is_selected(self, region: Region) -> bool:
        return self._session is not None and region.id in self._session.selected

    def _show_cursor(self) -> None:
        self.viewport().setCursor(self._cursor())

    def _cursor(self) -> Qt.CursorShape:
        if self._drag is not None and self._drag.kind == "pan":
            return Qt.CursorShape.ClosedHandCursor
        if self._space:
            return Qt.CursorShape.OpenHandCursor
        if self._session is None:
            return Qt.CursorShape.ArrowCursor
        if self._drag is not None and self._drag.handle is not None:
            return _CURSORS[self._drag.handle.value]
        if self._pointer is not None and not self._force_draw and self._drag is None:
            _, handle = self._handle_at(self._pointer)
            if handle is not None:
                return _CURSORS[handle.value]
            if self._selected_at(self._pointer) is not None:
                return Qt.CursorShape.SizeAllCursor
        return Qt.CursorShape.CrossCursor

    # -- paint ---------------------------------------------------------------------------------------------------

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
            painter.restore()
            return
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        under = None if self._pointer is None or self._drag is not None else self._proposal_at(self._pointer)
        for place, proposal in enumerate(self._proposals):
            outlines.draw_proposal(painter, self._area_of, proposal, lit=place == under)
        self._draw_regions(painter)
        self._draw_hand(painter)
        painter.restore()

    def _draw_regions(self, painter: QPainter) -> None:
        assert self._session is not None  # noqa: S101 - asked above
        reshaped = self._reshaped(self._drag) if self._drag is not None else {}
        alone = len(self._session.selected) == 1
        for number, region in enumerate(self._session.regions, 1):
            if region.hidden:
                continue
            shown = Region(region.id, reshaped.get(region.id, region.box), region.locked)
            selected = self._is_selected(region)
            outlines.draw_region(
                painter,
                self._area_of,
                shown,
                number,
                selected=selected,
                lit=region.id == self._lit,
                handles=selected and alone and not region.locked,
            )

    def _draw_hand(self, painter: QPainter) -> None:
        assert self._session is not None  # noqa: S101 - asked above
        if self._drag is not None and self._drag.kind == "draw":
            box = drawn(self._drag.start, self._now, self._sheet(), square=self._square)
            if box is not None:
                outlines.draw_band(painter, self._area_of(box), len(self._session.regions) + 1)
        ground = self._area_of(Box(0, 0, self._session.photo.width_px, self._session.photo.height_px))
        if (
            self._pointer is not None
            and self._cursor() == Qt.CursorShape.CrossCursor
            and ground.contains(QPointF(self._pointer))
        ):
            outlines.draw_crosshair(painter, QPointF(self._pointer), ground)


def _area(box: Box) -> float:
    return (box.x2 - box.x1) * (box.y2 - box.y1)
