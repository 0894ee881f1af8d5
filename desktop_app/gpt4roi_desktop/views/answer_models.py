"""Tables of answers as Qt's models: a survey's rows, and a replay's pairs. Knows no view and asks nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from PySide6.QtCore import QAbstractTableModel, QCoreApplication, QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtGui import QImage

from gpt4roi_desktop.replay import Pair
from gpt4roi_desktop.session import Exchange, Session, State
from gpt4roi_desktop.talk import renamed
from gpt4roi_desktop.views.chips import tag_image

_Index = QModelIndex | QPersistentModelIndex
Row = TypeVar("Row")
REGION = int(Qt.ItemDataRole.UserRole)
"""Role of the id of the region that a row is about, 0 where it is about none or several."""

SORT = REGION + 1
"""Role of the value that a column is sorted by."""

_TAG_PX = 18


@dataclass(frozen=True)
class Column(Generic[Row]):
    """A heading, the words of a cell under it, and what they are sorted by."""

    heading: str
    words: Callable[[Session, Row], str]
    sort: Callable[[Session, Row], Any] | None = None
    image: Callable[[Session, Row], QImage] | None = None


class AnswerModel(QAbstractTableModel, Generic[Row]):
    """Rows of one kind, and how their cells read."""

    def __init__(
        self, columns: tuple[Column[Row], ...], exchange_of: Callable[[Row], Exchange], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._columns = columns
        self._exchange_of = exchange_of
        self._session: Session | None = None
        self._rows: tuple[Row, ...] = ()

    def show_rows(self, session: Session | None, rows: tuple[Row, ...]) -> None:
        """Other rows; those that are about the same exchanges stay the same rows."""
        old, same = self._rows, self._ids(rows) == self._ids(self._rows)
        renumbered = self._regions(session) != self._regions(self._session)
        if not same:
            self.beginResetModel()
        self._session, self._rows = session, rows
        if not same:
            self.endResetModel()
            return
        for place, (before, after) in enumerate(zip(old, rows, strict=True)):
            if before != after or renumbered:
                self.dataChanged.emit(self.index(place, 0), self.index(place, len(self._columns) - 1))

    def _ids(self, rows: tuple[Row, ...]) -> list[int]:
        return [self._exchange_of(row).id for row in rows]

    @staticmethod
    def _regions(session: Session | None) -> list[int]:
        return [] if session is None else [region.id for region in session.regions]

    def rowCount(self, parent: _Index | None = None) -> int:  # noqa: N802 - Qt's name
        """How many exchanges."""
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def columnCount(self, parent: _Index | None = None) -> int:  # noqa: N802 - Qt's name
        """How many facts of each."""
        return 0 if parent is not None and parent.isValid() else len(self._columns)

    def headerData(  # noqa: N802 - Qt's name
        self, section: int, orientation: Qt.Orientation, role: int = int(Qt.ItemDataRole.DisplayRole)
    ) -> Any:
        """The headings; rows have none."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return self._columns[section].heading
        return None

    def data(self, index: _Index, role: int = int(Qt.ItemDataRole.DisplayRole)) -> Any:
        """Words for the eye and the screen reader, the region, what to sort by."""
        if not index.isValid() or index.row() >= len(self._rows) or self._session is None:
            return None
        row, column = self._rows[index.row()], self._columns[index.column()]
        if role == REGION:
            asked = self._exchange_of(row).asked
            return asked[0].region_id if len(asked) == 1 else 0
        if role == SORT:
            return (column.sort or column.words)(self._session, row)
        if role == Qt.ItemDataRole.DecorationRole and column.image is not None:
            return column.image(self._session, row)
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return "" if column.image and role == Qt.ItemDataRole.DisplayRole else column.words(self._session, row)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{column.heading}: {column.words(self._session, row)}"
        return None


def survey_model(parent: QObject | None = None) -> AnswerModel[Exchange]:
    """Region, box, answer, state, seconds."""
    say = QCoreApplication.translate
    return AnswerModel(
        (
            Column(say("Answers", "Region"), _number, lambda session, row: _place(session, row), _chip),
            Column(say("Answers", "Box"), lambda _, row: str(row.asked[0].box) if row.asked else ""),
            Column(say("Answers", "Answer"), lambda session, row: renamed(session, row) or _trouble(row)),
            Column(say("Answers", "State"), lambda _, row: state_words(row.state)),
            Column(say("Answers", "First text"), lambda _, row: _seconds(row), lambda _, row: _first_s(row)),
        ),
        lambda row: row,
        parent,
    )


def replay_model(parent: QObject | None = None) -> AnswerModel[Pair]:
    """Question, both answers, whether they are the same, seconds then and now."""
    say = QCoreApplication.translate
    return AnswerModel(
        (
            Column(say("Answers", "Question"), lambda _, row: _question(row.now)),
            Column(say("Answers", "Answer then"), lambda _, row: "" if row.then is None else row.then.answer),
            Column(say("Answers", "Answer now"), lambda _, row: row.now.answer or _trouble(row.now)),
            Column(say("Answers", "Same"), lambda _, row: _verdict(row.is_same)),
            Column(say("Answers", "First text then"), lambda _, row: "" if row.then is None else _seconds(row.then)),
            Column(
                say("Answers", "First text now"), lambda _, row: _seconds(row.now), lambda _, row: _first_s(row.now)
            ),
        ),
        lambda row: row.now,
        parent,
    )


def state_words(state: State) -> str:
    """A state as a person says it."""
    say = QCoreApplication.translate
    return {
        "queued": say("Answers", "waits"),
        "streaming": say("Answers", "answering"),
        "done": say("Answers", "done"),
        "stopped": say("Answers", "stopped"),
        "failed": say("Answers", "failed"),
    }[state]


def _verdict(same: bool | None) -> str:  # noqa: FBT001 - a value of three
    say = QCoreApplication.translate
    return {None: "", True: say("Answers", "same"), False: say("Answers", "different")}[same]


def _trouble(exchange: Exchange) -> str:
    return f"{exchange.problem}. {exchange.advice}".strip(" .") if exchange.state == "failed" else ""


def _place(session: Session, row: Exchange) -> int:
    return (session.number_of(row.asked[0].region_id) or 0) if row.asked else 0


def _number(session: Session, row: Exchange) -> str:
    return str(_place(session, row) or "\N{MULTIPLICATION SIGN}")


def _chip(session: Session, row: Exchange) -> QImage:
    return tag_image(_place(session, row) or None, _TAG_PX)


def _first_s(exchange: Exchange) -> float:
    timing = exchange.timing
    return -1.0 if timing is None or timing.first_text_s is None else timing.first_text_s


def _seconds(exchange: Exchange) -> str:
    first = _first_s(exchange)
    return "" if first < 0 else QCoreApplication.translate("Answers", "{0:.2f} s").format(first)


def _question(exchange: Exchange) -> str:
    numbers = {asked.region_id: asked.number for asked in exchange.asked}
    return "".join(
        token if isinstance(token, str) else f"[{numbers.get(token.region_id, '?')}]" for token in exchange.question
    )
