"""Where the window's parts lie: photo on the left, regions and talk on the right. Knows nothing of what they do."""

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSplitter, QVBoxLayout, QWidget

_SIDE_PX = 340


def with_side(canvas: QWidget, side: QWidget, notice: QWidget) -> QWidget:
    """The photo beside its side panel, and a bar over both."""
    across = QSplitter(Qt.Orientation.Horizontal)
    across.addWidget(canvas)
    across.addWidget(side)
    across.setStretchFactor(0, 1)
    across.setSizes([840, 400])
    across.setChildrenCollapsible(False)
    whole = QWidget()
    down = QVBoxLayout(whole)
    down.setContentsMargins(0, 0, 0, 0)
    down.setSpacing(0)
    down.addWidget(notice)
    down.addWidget(across, 1)
    return whole


def side_of(regions: QWidget, chat: QWidget) -> QWidget:
    """The regions over the talk, with a bar to share the height."""
    side = QSplitter(Qt.Orientation.Vertical)
    side.setObjectName("side")
    side.addWidget(regions)
    side.addWidget(chat)
    side.setStretchFactor(1, 1)
    side.setSizes([170, 600])
    side.setChildrenCollapsible(False)
    side.setMinimumWidth(_SIDE_PX)
    return side


class Regions(QWidget):
    """A heading, and the list of regions or the words that say how to draw one."""

    def __init__(self, regions: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("talk")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._list = regions
        heading = QLabel(QCoreApplication.translate("Window", "Regions"))
        heading.setObjectName("heading")
        self._empty = QLabel(QCoreApplication.translate("Window", "Drag on the photo to draw a box."))
        self._empty.setObjectName("faint")
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        row = QHBoxLayout()
        row.setContentsMargins(16, 0, 16, 0)
        row.addWidget(heading)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 10, 0, 4)
        column.setSpacing(4)
        column.addLayout(row)
        column.addWidget(self._empty, 1)
        column.addWidget(self._list, 1)

    def show_list(self, *, filled: bool) -> None:
        """The list where there is something in it."""
        self._list.setVisible(filled)
        self._empty.setVisible(not filled)
