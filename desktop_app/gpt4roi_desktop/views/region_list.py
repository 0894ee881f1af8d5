"""The regions as a list: number, size, lock and eye. Knows no model and asks nothing."""

from typing import Any

from PySide6.QtCore import (
    QAbstractItemModel,
    QAbstractListModel,
    QEvent,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QPointF,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QMouseEvent, QPainter
from PySide6.QtWidgets import QAbstractItemView, QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from gpt4roi_desktop.session import Region, Session
from gpt4roi_desktop.sight import Grid
from gpt4roi_desktop.views import icons, theme
from gpt4roi_desktop.views.chips import paint_tag, tag_width

_Index = QModelIndex | QPersistentModelIndex
_REGION = int(Qt.ItemDataRole.UserRole)
_ROW_PX = 34
_ICON_PX = 16.0


class RegionModel(QAbstractListModel):
    """A session's regions as rows."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._regions: tuple[Region, ...] = ()
        self._small: frozenset[int] = frozenset()

    def show_regions(self, regions: tuple[Region, ...], small: frozenset[int]) -> None:
        """Other regions, some of them too small for the model; rows that are the same regions stay the same rows."""
        anew = regions != self._regions or small != self._small
        self._small = small
        if [each.id for each in regions] != [each.id for each in self._regions]:
            self.beginResetModel()
            self._regions = regions
            self.endResetModel()
        elif anew and regions:
            self._regions = regions
            self.dataChanged.emit(self.index(0), self.index(len(regions) - 1))

    def rowCount(self, parent: _Index | None = None) -> int:  # noqa: N802 - Qt's name
        """How many regions."""
        return 0 if parent is not None and parent.isValid() else len(self._regions)

    def data(self, index: _Index, role: int = int(Qt.ItemDataRole.DisplayRole)) -> Any:
        """Words for the eye and the screen reader, and the region itself for the delegate."""
        if not index.isValid() or index.row() >= len(self._regions):
            return None
        region = self._regions[index.row()]
        width, height = round(region.box.x2 - region.box.x1), round(region.box.y2 - region.box.y1)
        if role == _REGION:
            return region
        if role == Qt.ItemDataRole.DisplayRole:
            words = f"{width} \N{MULTIPLICATION SIGN} {height} px"
            return f"{words}  ·  " + self.tr("too small to see") if region.id in self._small else words
        if role == Qt.ItemDataRole.AccessibleTextRole:
            words = self.tr("Region {0}, {1} by {2} pixels").format(index.row() + 1, width, height)
            state = [self.tr("locked")] * region.locked + [self.tr("hidden")] * region.hidden
            state += [self.tr("smaller than what the model can tell apart")] * (region.id in self._small)
            return ", ".join([words, *state])
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.tr("left, top, right, bottom: {0}").format(region.box)
        return None


class _Delegate(QStyledItemDelegate):
    """Paints a row; its two icons can be clicked."""

    lock_clicked = Signal(int)
    eye_clicked = Signal(int)

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:  # noqa: N802 - Qt's name
        """All rows alike."""
        del index
        return QSize(option.rect.width(), _ROW_PX)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        """A tag, the size, an eye and a lock."""
        region: Region = index.data(_REGION)
        colours = theme.current()
        area = QRectF(option.rect)
        state = option.state
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if state & (QStyle.StateFlag.State_Selected | QStyle.StateFlag.State_MouseOver):
            painter.setPen(Qt.PenStyle.NoPen)
            ground = QColor(colours.accent if state & QStyle.StateFlag.State_Selected else colours.raised)
            if state & QStyle.StateFlag.State_Selected:
                ground.setAlphaF(0.16)
            painter.setBrush(ground)
            painter.drawRoundedRect(area.adjusted(6, 1, -6, -1), 6, 6)
        number = index.row() + 1
        width = tag_width(number, 20)
        paint_tag(painter, number, QRectF(area.left() + 14, area.center().y() - 10, width, 20), radius=4)
        painter.setPen(QColor(colours.faint if region.hidden else colours.text))
        words = area.adjusted(14 + max(width, 26) + 10, 0, -76, 0)
        painter.drawText(words, Qt.AlignmentFlag.AlignVCenter, index.data())
        busy = bool(state & (QStyle.StateFlag.State_Selected | QStyle.StateFlag.State_MouseOver))
        if busy or region.hidden:
            colour = colours.text if region.hidden else colours.faint
            icons.paint(painter, "unseen" if region.hidden else "seen", _eye(area), colour)
        if busy or region.locked:
            colour = colours.text if region.locked else colours.faint
            icons.paint(painter, "locked" if region.locked else "unlocked", _lock(area), colour)
        painter.restore()

    def editorEvent(  # noqa: N802 - Qt's name
        self, event: QEvent, model: QAbstractItemModel, option: QStyleOptionViewItem, index: _Index
    ) -> bool:
        """A click on an icon is not a click on the row."""
        del model
        if isinstance(event, QMouseEvent) and event.button() == Qt.MouseButton.LeftButton:
            area = QRectF(option.rect)
            at = QPointF(event.position())
            for place, signal in ((_eye(area), self.eye_clicked), (_lock(area), self.lock_clicked)):
                if place.adjusted(-5, -6, 5, 6).contains(at):
                    if event.type() == QEvent.Type.MouseButtonRelease:
                        signal.emit(index.data(_REGION).id)
                    return True
        return False


class RegionList(QListView):
    """The list; its selection is the session's."""

    chosen = Signal(list)
    lock_clicked = Signal(int)
    eye_clicked = Signal(int)
    hovered = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown = RegionModel(self)
        self._session: Session | None = None
        self._filling = False
        delegate = _Delegate(self)
        delegate.lock_clicked.connect(self.lock_clicked)
        delegate.eye_clicked.connect(self.eye_clicked)
        self.setModel(self._shown)
        self.setItemDelegate(delegate)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setMouseTracking(True)
        self.setUniformItemSizes(True)
        self.setAccessibleName(self.tr("Regions"))
        self.entered.connect(lambda index: self.hovered.emit(index.data(_REGION).id))
        self.selectionModel().selectionChanged.connect(self._tell)

    def show_session(self, session: Session | None, grid: Grid | None = None) -> None:
        """The regions and the selection as they are now; ``grid`` tells which are too small for the model."""
        self._filling = True
        self._session = session
        regions = () if session is None else session.regions
        small = frozenset(
            each.id for each in regions if session and grid and grid.is_too_small(each.box, session.photo)
        )
        self._shown.show_regions(regions, small)
        selection = QItemSelection()
        for row, region in enumerate(() if session is None else session.regions):
            if session is not None and region.id in session.selected:
                selection.select(self._shown.index(row), self._shown.index(row))
        self.selectionModel().select(selection, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        self._filling = False

    def leaveEvent(self, event: QEvent) -> None:  # noqa: N802 - Qt's name
        """Nothing is pointed at."""
        self.hovered.emit(0)
        super().leaveEvent(event)

    def _tell(self) -> None:
        if not self._filling:
            self.chosen.emit([index.data(_REGION).id for index in self.selectedIndexes()])


def _eye(area: QRectF) -> QRectF:
    return QRectF(area.right() - 62, area.center().y() - _ICON_PX / 2, _ICON_PX, _ICON_PX)


def _lock(area: QRectF) -> QRectF:
    return QRectF(area.right() - 36, area.center().y() - _ICON_PX / 2, _ICON_PX, _ICON_PX)
