"""Where a question is typed: text with chips that stand for regions. Knows no model and sends nothing itself."""

from collections.abc import Iterator

from PySide6.QtCore import QMimeData, QPoint, QSize, Qt, QUrl, Signal
from PySide6.QtGui import (
    QFocusEvent,
    QIcon,
    QKeyEvent,
    QMouseEvent,
    QPixmap,
    QResizeEvent,
    QTextBlock,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextFormat,
    QTextFragment,
    QTextImageFormat,
)
from PySide6.QtWidgets import QFrame, QMenu, QTextEdit, QWidget

from gpt4roi_desktop.session import Chip, Question, Session, tidied, with_chips
from gpt4roi_desktop.views.chips import chip_image, chip_size

_CHIP_PX = 18
_REGION = int(QTextFormat.Property.UserProperty) + 1
_LEAST_PX, _MOST_PX = 30, 132
_OBJECT = "\N{OBJECT REPLACEMENT CHARACTER}"


class QuestionBox(QTextEdit):
    """A question that is being typed. Enter asks, Shift+Enter breaks the line, ``@`` or ``<`` offers the regions."""

    asked = Signal()
    edited = Signal()
    hovered = Signal(int)
    focused = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session: Session | None = None
        self._filling = False
        self.menu: QMenu | None = None
        self.setObjectName("box")
        self.setAcceptRichText(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setMouseTracking(True)
        self.setTabChangesFocus(True)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setPlaceholderText(self.tr("Ask about a box: type @, or click one"))
        self.setAccessibleName(self.tr("Question"))
        self.textChanged.connect(self._changed)
        self.document().documentLayout().documentSizeChanged.connect(lambda _: self._grow())

    # -- what it holds -------------------------------------------------------------------------------------------

    def question(self) -> Question:
        """Text and chips as they stand."""
        tokens: list[str | Chip] = []
        block = self.document().begin()
        while block.isValid():
            if tokens or block.blockNumber() > 0:
                tokens.append("\n")
            for fragment in _fragments(block):
                region_id = fragment.charFormat().property(_REGION)
                if region_id:
                    tokens += [Chip(int(region_id))] * fragment.length()  # neighbours of one kind are one fragment
                else:
                    tokens.append(fragment.text().replace("\N{LINE SEPARATOR}", "\n").replace(_OBJECT, ""))
            block = block.next()
        return tidied(tuple(tokens))

    def show_session(self, session: Session | None) -> None:
        """The draft of the session, with the numbers of now."""
        self._session = session
        draft = () if session is None else session.draft
        if self.question() != draft:
            self._fill(draft)
        elif any(isinstance(token, Chip) for token in draft) and self._stale():
            place = self.textCursor().position()
            self._fill(draft)
            cursor = self.textCursor()
            cursor.setPosition(min(place, self.document().characterCount() - 1))
            self.setTextCursor(cursor)

    def insert_chip(self, region_id: int) -> None:
        """A chip at the cursor, with a space where one is wanted."""
        cursor = self.textCursor()
        before = self.document().characterAt(cursor.position() - 1) if cursor.position() else " "
        if not before.isspace() and before not in "(\N{PARAGRAPH SEPARATOR}":
            cursor.insertText(" ", QTextCharFormat())
        self._insert(cursor, region_id)
        cursor.setCharFormat(QTextCharFormat())
        self.setTextCursor(cursor)

    def _fill(self, question: Question) -> None:
        self._filling = True
        self.clear()
        cursor = self.textCursor()
        for token in question:
            if isinstance(token, str):
                cursor.insertText(token, QTextCharFormat())
            else:
                self._insert(cursor, token.region_id)
        cursor.setCharFormat(QTextCharFormat())
        self.setTextCursor(cursor)
        self._filling = False

    def _insert(self, cursor: QTextCursor, region_id: int) -> None:
        number = None if self._session is None else self._session.number_of(region_id)
        name = f"chip:{region_id}:{number}"
        self.document().addResource(QTextDocument.ResourceType.ImageResource, QUrl(name), chip_image(number, _CHIP_PX))
        width, height = chip_size(number, _CHIP_PX)
        form = QTextImageFormat()
        form.setName(name)
        form.setWidth(width)
        form.setHeight(height)
        form.setVerticalAlignment(QTextCharFormat.VerticalAlignment.AlignMiddle)
        form.setProperty(_REGION, region_id)
        cursor.insertImage(form)

    def _stale(self) -> bool:
        """A chip shows a number that its region no longer has."""
        block = self.document().begin()
        while block.isValid():
            for fragment in _fragments(block):
                region_id = fragment.charFormat().property(_REGION)
                if region_id and self._session is not None:
                    name = fragment.charFormat().toImageFormat().name()
                    if name != f"chip:{region_id}:{self._session.number_of(int(region_id))}":
                        return True
            block = block.next()
        return False

    def _changed(self) -> None:
        if not self._filling:
            self.edited.emit()

    # -- keys and mouse ------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """Enter asks; ``@`` and ``<`` offer the regions; the rest is typing."""
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if enter and not event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.asked.emit()
        elif event.text() in ("@", "<") and self._session is not None and self._session.regions:
            self._offer(event.text())
        elif event.key() == Qt.Key.Key_Escape:
            event.ignore()  # the window stops the answer, or goes back to the photo
        else:
            self._close_up(event.text())
            self.setCurrentCharFormat(QTextCharFormat())  # what is typed behind a chip is not a chip
            super().keyPressEvent(event)

    def _close_up(self, typed: str) -> None:
        """The space that a chosen chip brought goes again where punctuation follows."""
        cursor = self.textCursor()
        if typed not in tuple(",.;:?!)") or cursor.hasSelection() or cursor.position() < 2:
            return
        place = cursor.position()
        if self.document().characterAt(place - 1) == " " and self.document().characterAt(place - 2) == _OBJECT:
            cursor.deletePreviousChar()

    def _offer(self, typed: str) -> None:
        """A menu of the regions; left without a choice, what was typed stands."""
        assert self._session is not None  # noqa: S101 - asked above
        menu = QMenu(self)
        menu.setAccessibleName(self.tr("Regions"))
        for number, region in enumerate(self._session.regions, 1):
            picture = QPixmap.fromImage(chip_image(number, _CHIP_PX))
            key = f"&{number}" if number < 10 else str(number)
            action = menu.addAction(QIcon(picture), self.tr("Region {0}").format(key))
            action.setData(region.id)
        menu.triggered.connect(lambda action: self._chosen(menu, int(action.data())))
        menu.aboutToHide.connect(lambda: self._left(menu, typed), Qt.ConnectionType.QueuedConnection)
        self.menu = menu
        menu.setActiveAction(menu.actions()[0])
        menu.popup(self.viewport().mapToGlobal(self.cursorRect().topLeft()) - QPoint(0, menu.sizeHint().height()))

    def _chosen(self, menu: QMenu, region_id: int) -> None:
        menu.setProperty("chosen", True)  # noqa: FBT003 - Qt's signature
        self.insert_chip(region_id)
        self.insertPlainText(" ")

    def _left(self, menu: QMenu, typed: str) -> None:
        if not menu.property("chosen"):
            self.insertPlainText(typed)
        self.menu = None
        menu.deleteLater()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """A chip under the cursor lights its box."""
        cursor = self.cursorForPosition(event.position().toPoint())
        found = 0
        for step in (0, 1):
            probe = QTextCursor(cursor)
            probe.setPosition(min(cursor.position() + step, self.document().characterCount() - 1))
            region_id = probe.charFormat().property(_REGION)
            if region_id and self._over(probe, event.position().toPoint()):
                found = int(region_id)
        self.hovered.emit(found)
        super().mouseMoveEvent(event)

    def _over(self, behind: QTextCursor, at: QPoint) -> bool:
        before = QTextCursor(behind)
        before.movePosition(QTextCursor.MoveOperation.Left)
        left, right = self.cursorRect(before), self.cursorRect(behind)
        return left.left() <= at.x() <= right.left() and right.top() <= at.y() <= right.bottom()

    def leaveEvent(self, event: object) -> None:  # noqa: N802 - Qt's name
        """Nothing is pointed at."""
        self.hovered.emit(0)
        super().leaveEvent(event)  # type: ignore[arg-type]

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: N802 - Qt's name
        """For the frame round it."""
        self.focused.emit(True)  # noqa: FBT003 - Qt's signature
        super().focusInEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:  # noqa: N802 - Qt's name
        """For the frame round it."""
        self.focused.emit(False)  # noqa: FBT003 - Qt's signature
        super().focusOutEvent(event)

    def insertFromMimeData(self, source: QMimeData) -> None:  # noqa: N802 - Qt's name
        """Pasted text; ``<regionN>`` in it becomes a chip."""
        if self._session is None or not source.hasText():
            super().insertFromMimeData(source)
            return
        for token in with_chips(source.text(), self._session):
            if isinstance(token, str):
                self.textCursor().insertText(token, QTextCharFormat())
            else:
                self.insert_chip(token.region_id)

    # -- size ----------------------------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Another width breaks lines elsewhere."""
        super().resizeEvent(event)
        self._grow()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """One line, until there is more."""
        return QSize(200, _LEAST_PX)

    def _grow(self) -> None:
        height = min(max(_LEAST_PX, round(self.document().size().height()) + 2), _MOST_PX)
        if height != self.height():
            self.setFixedHeight(height)


def _fragments(block: QTextBlock) -> Iterator[QTextFragment]:
    """The runs of one form in a paragraph."""
    for each in block:  # type: ignore[attr-defined]
        yield each.fragment()
