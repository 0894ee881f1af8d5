"""The dialogue beside the photo: what was asked and answered, quick questions, and the box for the next one."""

from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from gpt4roi_desktop.session import Chip, Dialogue, Question, Session, chips_of
from gpt4roi_desktop.views import icons
from gpt4roi_desktop.views.exchange_view import ExchangeView
from gpt4roi_desktop.views.question_box import QuestionBox


class Chat(QWidget):
    """Shows a session's dialogues; tells what is asked."""

    asked = Signal(tuple)
    asked_each = Signal(tuple)
    drafted = Signal(tuple)
    stopped = Signal(int)
    asked_again = Signal(int)
    edited = Signal(int)
    dialogue_begun = Signal()
    hovered = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session: Session | None = None
        self._views: dict[int, ExchangeView] = {}
        self._rules: list[QWidget] = []
        self._order: tuple[object, ...] = ()
        self.box = QuestionBox()
        self.send_button = QPushButton()
        self.begin_button = QToolButton()
        self.describe = self._quick(self.tr("Describe"), self._describe)
        self.what = self._quick(self.tr("What is it?"), self._what)
        self.compare = self._quick(self.tr("Compare"), self._compare)
        self.why = self._quick(self.tr("Why?"), lambda: self.asked.emit(("Why?",)))
        self.each = QToolButton()
        self.forgotten, self.mention_button = QWidget(), QToolButton()
        self._hint = QLabel(self.tr("Draw a box on the photo, then ask about it."))
        self._area = QScrollArea()
        self._lay_out()
        self.box.asked.connect(self._ask)
        self.box.edited.connect(lambda: self.drafted.emit(self.box.question()))
        self.box.hovered.connect(self.hovered)
        self.show_session(None, None)

    # -- looks ---------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self.setObjectName("talk")
        heading = QLabel(self.tr("Questions"))
        heading.setObjectName("heading")
        self.begin_button.setText(self.tr("New dialogue"))
        self.begin_button.setToolTip(self.tr("The next question builds on no earlier one"))
        self.begin_button.setIcon(icons.icon("new"))
        self.begin_button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.begin_button.clicked.connect(self.dialogue_begun)
        self.each.setText(self.tr("All boxes …"))
        self.each.setIcon(icons.icon("table"))
        self.each.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.each.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.each.setAccessibleName(self.tr("Ask about all boxes"))
        self.each.setToolTip(self.tr("One question about every box, with the answers in a table"))
        self.each.setMenu(self._menu_of_each())
        top = QHBoxLayout()
        top.setContentsMargins(16, 8, 8, 4)
        top.addWidget(heading, 1)
        top.addWidget(self.each)
        top.addWidget(self.begin_button)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addLayout(top)
        whole.addWidget(self._scrolled(), 1)
        whole.addLayout(self._quick_row())
        whole.addWidget(self._forgotten_row())
        whole.addLayout(self._ask_row())

    def _scrolled(self) -> QScrollArea:
        self._hint.setObjectName("faint")
        self._hint.setWordWrap(True)
        self._hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        inside = QWidget()
        inside.setObjectName("talk")
        self._column = QVBoxLayout(inside)
        self._column.setContentsMargins(12, 4, 12, 8)
        self._column.setSpacing(10)
        self._column.addWidget(self._hint, 1)
        self._column.addStretch(1)
        self._area.setWidget(inside)
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setAccessibleName(self.tr("Questions and answers"))
        self._area.verticalScrollBar().rangeChanged.connect(self._follow)
        return self._area

    def _quick_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setContentsMargins(12, 6, 12, 6)
        row.setSpacing(6)
        for button in (self.describe, self.what, self.compare, self.why):
            row.addWidget(button)
        row.addStretch(1)
        return row

    def _forgotten_row(self) -> QWidget:
        words = QLabel(self.tr("No box in this question."))
        words.setObjectName("faint")
        self.mention_button.setObjectName("link")
        self.mention_button.clicked.connect(self._mention)
        row = QHBoxLayout(self.forgotten)
        row.setContentsMargins(16, 2, 12, 2)
        row.setSpacing(2)
        row.addWidget(words)
        row.addWidget(self.mention_button)
        row.addStretch(1)
        return self.forgotten

    def _menu_of_each(self) -> QMenu:
        menu = QMenu(self)
        for words, before, after in (
            (self.tr("&What is it?"), "What is ", "?"),
            (self.tr("&Describe it"), "Describe ", "."),
        ):
            menu.addAction(words).triggered.connect(partial(self._ask_each, before, after))
        self.each_typed = menu.addAction(self.tr("The &question below, box for box"))
        self.each_typed.triggered.connect(lambda: self.asked_each.emit(self.box.question()))
        return menu

    def _ask_each(self, before: str, after: str, *_: object) -> None:
        if self._session is not None and self._session.regions:
            self.asked_each.emit((before, Chip(self._session.regions[0].id), after))

    def _ask_row(self) -> QHBoxLayout:
        self.send_button.setObjectName("primary")
        self.send_button.setText(self.tr("Ask"))
        self.send_button.setAccessibleName(self.tr("Ask"))
        self.send_button.setToolTip(self.tr("Ask (Enter)"))
        self.send_button.clicked.connect(self._ask)
        frame = QFrame()
        frame.setObjectName("ask")
        inside = QHBoxLayout(frame)
        inside.setContentsMargins(8, 6, 6, 6)
        inside.addWidget(self.box, 1)
        inside.addWidget(self.send_button, 0, Qt.AlignmentFlag.AlignBottom)
        self.send_button.setFixedHeight(30)

        def frame_focus(focused: bool) -> None:  # noqa: FBT001 - a signal's slot
            frame.setProperty("focused", focused)
            frame.style().unpolish(frame)
            frame.style().polish(frame)

        self.box.focused.connect(frame_focus)
        row = QHBoxLayout()
        row.setContentsMargins(12, 0, 12, 12)
        row.addWidget(frame)
        return row

    def _quick(self, words: str, act: object) -> QPushButton:
        button = QPushButton(words)
        button.setObjectName("quick")
        button.setAccessibleName(words)
        button.clicked.connect(act)
        return button

    # -- what is shown -------------------------------------------------------------------------------------------

    def show_session(self, session: Session | None, running: int | None) -> None:
        """The dialogues as they are now; ``running`` is the exchange that is being answered."""
        self._session = session
        self.box.show_session(session)
        talks = () if session is None else session.of_kind("talk")
        exchanges = tuple(exchange for dialogue in talks for exchange in dialogue.exchanges)
        order = tuple(tuple(each.id for each in dialogue.exchanges) for dialogue in talks)
        if order != self._order:
            self._order = order
            self._arrange(talks)
        for exchange in exchanges:
            assert session is not None  # noqa: S101 - or there would be no exchange
            self._views[exchange.id].show_exchange(session, exchange, running=running == exchange.id)
        self._hint.setVisible(not exchanges)
        self._allow(session)

    def _allow(self, session: Session | None) -> None:
        meant = self._meant()
        self.box.setEnabled(session is not None)
        self.send_button.setEnabled(session is not None and bool(self.box.toPlainText().strip()))
        self.describe.setEnabled(bool(meant))
        self.what.setEnabled(bool(meant))
        self.compare.setEnabled(len(meant) == 2)
        self.each.setEnabled(session is not None and bool(session.regions))
        self.each_typed.setEnabled(session is not None and len(chips_of(session.draft)) == 1)
        last = None if session is None or not session.dialogues[-1].exchanges else session.dialogues[-1].exchanges[-1]
        self.why.setEnabled(last is not None and last.state == "done")
        self.begin_button.setEnabled(last is not None)
        self._remind()
        self.compare.setToolTip(self.tr("Choose two boxes") if len(meant) != 2 else "")

    def _remind(self) -> None:
        """A question that forgets the chosen box would be about the whole photo; that is rarely meant."""
        question = self.box.question()
        words = any(isinstance(token, str) and token.strip() for token in question)
        numbers = [] if self._session is None else [self._session.number_of(each.region_id) for each in self._meant()]
        self.forgotten.setVisible(words and bool(numbers) and not any(isinstance(token, Chip) for token in question))
        self.mention_button.setText(self.tr("Mention {0}").format(", ".join(map(str, numbers))))

    def _mention(self) -> None:
        for chip in self._meant():
            self.box.insert_chip(chip.region_id)
        self.box.setFocus()

    def _arrange(self, talks: tuple[Dialogue, ...]) -> None:
        """Put the exchanges in order, with a line between dialogues; views that stay are kept."""
        for rule in self._rules:
            self._column.removeWidget(rule)
            rule.deleteLater()
        self._rules.clear()
        wanted = {exchange.id for dialogue in talks for exchange in dialogue.exchanges}
        for gone in set(self._views) - wanted:
            view = self._views.pop(gone)
            self._column.removeWidget(view)
            view.deleteLater()
        place = 1
        for at, dialogue in enumerate(talks):
            if at and (dialogue.exchanges or at == len(talks) - 1):
                self._column.insertWidget(place, self._rule())
                place += 1
            for exchange in dialogue.exchanges:
                view = self._views.get(exchange.id) or self._new_view(exchange.id)
                self._column.insertWidget(place, view)
                place += 1

    def _new_view(self, exchange_id: int) -> ExchangeView:
        view = ExchangeView(exchange_id)
        view.stopped.connect(self.stopped)
        view.asked_again.connect(self.asked_again)
        view.edited.connect(self.edited)
        view.hovered.connect(self.hovered)
        self._views[exchange_id] = view
        return view

    def _rule(self) -> QWidget:
        label = QLabel(self.tr("new dialogue"))
        label.setObjectName("faint")
        label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._rules.append(label)
        return label

    def view_of(self, exchange_id: int) -> ExchangeView | None:
        """The view of an exchange."""
        return self._views.get(exchange_id)

    def _follow(self) -> None:
        """More text below: go there, as long as an answer is coming."""
        bar = self._area.verticalScrollBar()
        bar.setValue(bar.maximum())

    # -- what is asked -------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        question = self.box.question()
        if any(isinstance(token, Chip) or token.strip() for token in question):
            self.asked.emit(question)

    def _meant(self) -> list[Chip]:
        """The regions that a quick question is about: the selected ones, or the only one."""
        if self._session is None:
            return []
        regions = self._session.selection()
        if not regions and len(self._session.regions) == 1:
            regions = self._session.regions
        return [Chip(region.id) for region in regions]

    def _describe(self) -> None:
        self.asked.emit(("Describe ", *_listed(self._meant()), "."))

    def _what(self) -> None:
        meant = self._meant()
        self.asked.emit(("What is " if len(meant) == 1 else "What are ", *_listed(meant), "?"))

    def _compare(self) -> None:
        self.asked.emit(("How do ", *_listed(self._meant()), " differ?"))


def _listed(chips: list[Chip]) -> Question:
    """``1, 2 and 3``."""
    tokens: list[str | Chip] = []
    for place, chip in enumerate(chips):
        if place:
            tokens.append(" and " if place == len(chips) - 1 else ", ")
        tokens.append(chip)
    return tuple(tokens)
