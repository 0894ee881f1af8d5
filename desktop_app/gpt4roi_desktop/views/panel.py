"""A panel that can be shown, hidden and moved, with a title in the window's looks. Knows not what it holds."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDockWidget, QHBoxLayout, QLabel, QToolButton, QWidget

from gpt4roi_desktop.views import icons


class Panel(QDockWidget):
    """Qt's dock with a heading and a button that closes it; ``name`` is for the window's memory of where it lies."""

    def __init__(self, name: str, words: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setWindowTitle(words)
        self.setAccessibleName(words)
        self.setFeatures(
            QDockWidget.DockWidgetFeature.DockWidgetClosable | QDockWidget.DockWidgetFeature.DockWidgetMovable
        )
        heading = QLabel(words)
        heading.setObjectName("heading")
        close = QToolButton()
        close.setObjectName("small")
        close.setIcon(icons.icon("close"))
        close.setAutoRaise(True)
        close.setToolTip(self.tr("Close"))
        close.setAccessibleName(self.tr("Close: {0}").format(words))
        close.clicked.connect(self.close)
        title = QWidget()
        title.setObjectName("paneltitle")
        title.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        row = QHBoxLayout(title)
        row.setContentsMargins(16, 8, 10, 4)
        row.addWidget(heading, 1)
        row.addWidget(close)
        self.setTitleBarWidget(title)
