"""What went wrong, over the photo, with the button that mends it. Knows no cause."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QToolButton, QWidget

from gpt4roi_desktop.views import icons
from gpt4roi_desktop.workspace import Notice, Remedy


class NoticeBar(QFrame):
    """A bar that is there only when there is something to say."""

    remedied = Signal(str)
    closed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("notice")
        self._remedy: Remedy = ""
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.words.setAccessibleName(self.tr("Notice"))
        self.button = QPushButton()
        self.button.clicked.connect(lambda: self.remedied.emit(self._remedy))
        close = QToolButton()
        close.setIcon(icons.icon("close"))
        close.setAutoRaise(True)
        close.setToolTip(self.tr("Close"))
        close.setAccessibleName(self.tr("Close the notice"))
        close.clicked.connect(self.closed)
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 8, 8, 8)
        row.addWidget(self.words, 1)
        row.addWidget(self.button)
        row.addWidget(close)
        self.hide()

    def show_notice(self, notice: Notice | None) -> None:
        """Say it, or say nothing."""
        self.setVisible(notice is not None)
        if notice is None:
            return
        first = notice.problem.partition(" ")[0]
        is_name = "." in first or "/" in first  # a file's, which is written as it is
        problem = notice.problem if is_name else notice.problem[:1].upper() + notice.problem[1:]
        self.words.setText(f"{problem}.\n{notice.advice}" if notice.advice else f"{problem}.")
        self._remedy = notice.remedy
        self.button.setVisible(notice.remedy != "")
        self.button.setText(self.tr("Restart the model") if notice.remedy == "restart" else self.tr("Choose a model …"))
        self.button.setAccessibleName(self.button.text())
