"""The panel of answers side by side: surveys of all boxes, and the replay. Asks nothing itself."""

from PySide6.QtCore import QCoreApplication, QSortFilterProxyModel, Qt, Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from gpt4roi_desktop import replay, surveys
from gpt4roi_desktop.session import Exchange, Kind, Session
from gpt4roi_desktop.views.answer_models import REGION, SORT, replay_model, survey_model
from gpt4roi_desktop.views.panel import Panel

_REPLAY = -1
_ANSWERS = {"survey": (2,), "replay": (0, 1, 2)}
"""Columns that share the width that is left."""


class AnswerTable(Panel):
    """A choice of tables, the table, and what can be done with it.

    Attributes:
        chosen_id: Of the survey that is shown; -1 is the replay, 0 nothing.
    """

    region_chosen = Signal(int)
    stopped = Signal(str)
    export_wanted = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("answers", QCoreApplication.translate("AnswerTable", "Answers side by side"), parent)
        self.setAllowedAreas(Qt.DockWidgetArea.BottomDockWidgetArea | Qt.DockWidgetArea.TopDockWidgetArea)
        self.chosen_id = 0
        self._entries: list[tuple[int, str]] = []
        self._surveys, self._replay = survey_model(self), replay_model(self)
        self._sorted = QSortFilterProxyModel(self)
        self._sorted.setSortRole(SORT)
        self.choice, self.progress, self.table = QComboBox(), QLabel(), QTableView()
        self.stop_button = QPushButton(self.tr("Stop"))
        self.export_button = QPushButton(self.tr("Export …"))
        self._session: Session | None = None
        self._lay_out()
        self.choice.activated.connect(self._choose)
        self.stop_button.clicked.connect(lambda: self.stopped.emit(self.kind))
        self.export_button.clicked.connect(lambda: self.export_wanted.emit(self.chosen_id))

    def _lay_out(self) -> None:
        self.choice.setAccessibleName(self.tr("Which answers"))
        self.choice.setMinimumContentsLength(28)
        self.choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.progress.setObjectName("faint")
        self.progress.setAccessibleName(self.tr("How many are answered"))
        self.stop_button.setAccessibleName(self.tr("Stop these questions"))
        self.export_button.setAccessibleName(self.tr("Export these answers"))
        self.table.setAccessibleName(self.tr("Answers side by side"))
        self.table.setModel(self._sorted)
        self.table.setSortingEnabled(True)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setWordWrap(True)
        self.table.setShowGrid(False)
        self.table.setAlternatingRowColors(True)
        self.table.setTabKeyNavigation(False)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setHighlightSections(False)
        self.table.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        row = QHBoxLayout()
        row.setContentsMargins(12, 2, 12, 6)
        row.setSpacing(8)
        row.addWidget(self.choice)
        row.addWidget(self.progress)
        row.addStretch(1)
        row.addWidget(self.stop_button)
        row.addWidget(self.export_button)
        inside = QWidget()
        inside.setObjectName("talk")
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(row)
        column.addWidget(self.table)
        self.setWidget(inside)

    @property
    def kind(self) -> Kind:
        """What is shown."""
        return "replay" if self.chosen_id == _REPLAY else "survey"

    def choose(self, survey_id: int) -> None:
        """Show this survey, or the replay (-1), and the panel with it."""
        self.chosen_id = survey_id
        self.show_session(self._session)
        self.show()

    def choose_replay(self) -> None:
        """Show the replay."""
        self.choose(_REPLAY)

    def show_session(self, session: Session | None) -> None:
        """The answers as they are now."""
        self._session = session
        self._fill_choice(session)
        rows = self._rows(session)
        is_replay = self.kind == "replay"
        if is_replay:
            self._replay.show_rows(session, () if session is None else replay.pairs(session))
        else:
            self._surveys.show_rows(session, rows)
        self._use(self._replay if is_replay else self._surveys)
        n_done = sum(row.state not in ("queued", "streaming") for row in rows)
        self.progress.setText(self.tr("{0} of {1}").format(n_done, len(rows)) if rows else "")
        self.stop_button.setEnabled(n_done < len(rows))
        self.export_button.setEnabled(bool(rows))

    def _rows(self, session: Session | None) -> tuple[Exchange, ...]:
        if session is None:
            return ()
        dialogues = session.of_kind(self.kind)
        return tuple(
            row for one in dialogues if self.kind == "replay" or one.id == self.chosen_id for row in one.exchanges
        )

    def _use(self, model: object) -> None:
        if self._sorted.sourceModel() is model:
            return
        self._sorted.setSourceModel(model)  # type: ignore[arg-type]
        self.table.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        header = self.table.horizontalHeader()
        for column in range(self._sorted.columnCount()):
            wide = column in _ANSWERS[self.kind]
            mode = QHeaderView.ResizeMode.Stretch if wide else QHeaderView.ResizeMode.ResizeToContents
            header.setSectionResizeMode(column, mode)
        self.table.selectionModel().currentRowChanged.connect(self._row_chosen)

    def _fill_choice(self, session: Session | None) -> None:
        entries = [] if session is None else [(one.id, surveys.wording(one)) for one in session.of_kind("survey")]
        if session is not None and session.of_kind("replay"):
            entries.append((_REPLAY, self.tr("Replay: then and now")))
        if entries and self.chosen_id not in [each for each, _ in entries]:
            self.chosen_id = entries[-1][0]
        if entries != self._entries:
            self._entries = entries
            self.choice.clear()
            for entry, words in entries:
                self.choice.addItem(words, entry)
        self.choice.setCurrentIndex(self.choice.findData(self.chosen_id))
        self.choice.setEnabled(bool(entries))

    def _choose(self, place: int) -> None:
        self.choose(self.choice.itemData(place))

    def _row_chosen(self) -> None:
        region_id = self.table.currentIndex().data(REGION)
        if region_id:
            self.region_chosen.emit(region_id)
