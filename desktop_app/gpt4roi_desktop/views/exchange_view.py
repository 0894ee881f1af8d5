"""One question and its answer, as they stand and as they come. Knows no model and sends nothing itself."""

from html import escape

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from gpt4roi_desktop.session import Chip, Exchange, Question, Session, Timing
from gpt4roi_desktop.talk import answer_parts, renamed
from gpt4roi_desktop.views import icons
from gpt4roi_desktop.views.chips import chip_html

_CHIP_PX = 17


class ExchangeView(QWidget):
    """Question, answer, and what can be done about them."""

    stopped = Signal(int)
    asked_again = Signal(int)
    edited = Signal(int)
    hovered = Signal(int)

    def __init__(self, exchange_id: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.exchange_id = exchange_id
        self._shown: tuple[object, ...] = ()
        self._copied = ""
        self.question = _words(self.tr("Question"))
        self.answer = _words(self.tr("Answer"))
        self.note = QLabel()
        self.note.setObjectName("faint")
        self.note.setWordWrap(True)
        self.note.setMinimumSize(1, 1)
        self.stop_button = self._button("stop", self.tr("Stop this answer"), lambda: self.stopped.emit(exchange_id))
        self.copy_button = self._button("copy", self.tr("Copy the answer"), self._copy)
        self.again_button = self._button("again", self.tr("Ask again"), lambda: self.asked_again.emit(exchange_id))
        self.edit_button = self._button("edit", self.tr("Edit the question"), lambda: self.edited.emit(exchange_id))
        for label in (self.question, self.answer):
            label.linkHovered.connect(lambda link: self.hovered.emit(int(link.rpartition(":")[2] or 0)))
        self._lay_out()

    def _lay_out(self) -> None:
        bubble = QFrame()
        bubble.setObjectName("question")
        inside = QVBoxLayout(bubble)
        inside.setContentsMargins(12, 8, 12, 8)
        inside.addWidget(self.question)
        below = QHBoxLayout()
        below.setContentsMargins(12, 0, 4, 0)
        below.setSpacing(2)
        below.addWidget(self.note, 1, Qt.AlignmentFlag.AlignVCenter)
        for button in (self.stop_button, self.copy_button, self.edit_button, self.again_button):
            below.addWidget(button, 0, Qt.AlignmentFlag.AlignTop)
        answer = QVBoxLayout()
        answer.setContentsMargins(12, 0, 12, 0)
        answer.addWidget(self.answer)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(4)
        whole.addWidget(bubble)
        whole.addLayout(answer)
        whole.addLayout(below)

    def show_exchange(self, session: Session, exchange: Exchange, *, running: bool) -> None:
        """The exchange as it is now; what did not change is not laid out again."""
        numbers = tuple(session.number_of(region.id) for region in session.regions)
        state = (exchange, tuple(region.id for region in session.regions), numbers, running)
        if state == self._shown:
            return
        self._shown = state
        self.question.setText(_as_html(session, exchange.question))
        failed = exchange.state == "failed"
        words = answer_parts(exchange)
        self.answer.setText(_as_html(session, words) if exchange.answer else "")
        self.answer.setVisible(bool(exchange.answer))
        self._copied = renamed(session, exchange)
        self.note.setText(self._note(exchange, running=running))
        _rename(self.note, "failed" if failed else "faint")
        waiting = exchange.state in ("queued", "streaming")
        self.stop_button.setVisible(waiting)
        self.copy_button.setVisible(bool(exchange.answer) and not waiting)
        self.edit_button.setVisible(not waiting)
        self.again_button.setVisible(not waiting)

    def _note(self, exchange: Exchange, *, running: bool) -> str:
        match exchange.state:
            case "queued":
                return self.tr("waits for the model")
            case "streaming":
                return self.tr("thinking …") if not exchange.answer and running else self.tr("answering …")
            case "stopped":
                return self.tr("stopped")
            case "failed":
                return f"{exchange.problem}. {exchange.advice}" if exchange.advice else exchange.problem
            case "done":
                return "" if exchange.timing is None else self._as_words(exchange.timing)

    def _as_words(self, timing: Timing) -> str:
        parts = []
        if timing.first_text_s is not None:
            parts.append(self.tr("first text {0:.2f} s").format(timing.first_text_s))
        if timing.tokens_per_s is not None:
            parts.append(self.tr("{0:.0f} tokens/s").format(timing.tokens_per_s))
        return "  ·  ".join(parts)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self._copied)

    def _button(self, name: str, words: str, act: object) -> QToolButton:
        button = QToolButton()
        button.setIcon(icons.icon(name))
        button.setToolTip(words)
        button.setAccessibleName(words)
        button.setAutoRaise(True)
        button.setObjectName("small")
        button.setIconSize(QSize(15, 15))
        button.clicked.connect(act)
        return button


def _words(name: str) -> QLabel:
    """A label whose text can be selected, and whose chips are links."""
    label = QLabel()
    label.setTextFormat(Qt.TextFormat.RichText)
    label.setWordWrap(True)
    label.setTextInteractionFlags(
        Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.LinksAccessibleByMouse
    )
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    label.setMinimumSize(1, 1)  # or Qt reserves the height that one word a line would take
    label.setAccessibleName(name)
    return label


def _as_html(session: Session, words: Question) -> str:
    """Text and chips as rich text; nothing that a model wrote is read as markup."""
    return "".join(
        chip_html(session.number_of(token.region_id), token.region_id, _CHIP_PX)
        if isinstance(token, Chip)
        else escape(token).replace("\n", "<br>")
        for token in words
    )


def _rename(label: QLabel, name: str) -> None:
    """Another name, and the style that goes with it."""
    if label.objectName() != name:
        label.setObjectName(name)
        label.style().unpolish(label)
        label.style().polish(label)
