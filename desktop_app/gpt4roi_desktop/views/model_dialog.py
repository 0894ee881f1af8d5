"""The choice of a model: what is known of each bundle, and what it takes. Reads no file and loads nothing."""

from html import escape

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QListView,
    QPushButton,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from gpt4roi_desktop.models import Card
from gpt4roi_desktop.views import actions

_Index = QModelIndex | QPersistentModelIndex
_MB, _GB = 1e6, 1e9


class CardModel(QAbstractListModel):
    """Bundles as rows."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cards: list[Card] = []

    def put(self, card: Card) -> int:
        """A bundle that was read, in its old row or a new one.

        Returns:
            The row.
        """
        for row, old in enumerate(self.cards):
            if old.folder == card.folder:
                self.cards[row] = card
                self.dataChanged.emit(self.index(row), self.index(row))
                return row
        self.beginInsertRows(QModelIndex(), len(self.cards), len(self.cards))
        self.cards.append(card)
        self.endInsertRows()
        return len(self.cards) - 1

    def rowCount(self, parent: _Index | None = None) -> int:  # noqa: N802 - Qt's name
        """How many bundles."""
        return 0 if parent is not None and parent.isValid() else len(self.cards)

    def data(self, index: _Index, role: int = int(Qt.ItemDataRole.DisplayRole)) -> object:
        """Name and size; the folder as a tool tip."""
        if not index.isValid() or index.row() >= len(self.cards):
            return None
        card = self.cards[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return f"{card.name}  ·  {size_words(card.size_bytes)}" if card.usable else card.name
        if role == Qt.ItemDataRole.ToolTipRole:
            return str(card.folder)
        return None


class ModelDialog(QDialog):
    """A list of bundles, and all about the one that is chosen."""

    folder_wanted = Signal()
    used = Signal(object)

    def __init__(self, used_id: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Models"))
        self.resize(760, 480)
        self._used_id = used_id
        self.model, self.list, self.about = CardModel(self), QListView(), QTextBrowser()
        self.list.setModel(self.model)
        self.list.setAccessibleName(self.tr("Models"))
        self.list.setMaximumWidth(250)
        self.list.setObjectName("framed")
        self.about.setAccessibleName(self.tr("About the model"))
        self.about.setOpenLinks(False)
        self.about.setObjectName("framed")
        self.use_button = QPushButton(self.tr("&Use this model"))
        self.use_button.setObjectName("primary")
        self.use_button.setDefault(True)
        self.add_button = QPushButton(self.tr("&Add a folder …"))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.addButton(self.add_button, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.addButton(self.use_button, QDialogButtonBox.ButtonRole.ApplyRole)
        actions.without_icons(buttons)
        across = QHBoxLayout()
        across.addWidget(self.list)
        across.addWidget(self.about, 1)
        whole = QVBoxLayout(self)
        whole.addLayout(across, 1)
        whole.addWidget(buttons)
        buttons.rejected.connect(self.reject)
        self.add_button.clicked.connect(self.folder_wanted)
        self.use_button.clicked.connect(self._use)
        self.list.doubleClicked.connect(self._use)
        self.list.selectionModel().currentChanged.connect(self._show)
        self._show()

    def put(self, card: Card, *, choose: bool = False) -> None:
        """A bundle that was read; the one that is in use is chosen at first."""
        row = self.model.put(card)
        first = not self.list.currentIndex().isValid()
        if choose or first or card.id == self._used_id:
            self.list.setCurrentIndex(self.model.index(row))
        self._show()

    def current(self) -> Card | None:
        """The bundle that is chosen."""
        row = self.list.currentIndex().row()
        return self.model.cards[row] if row >= 0 else None

    def _use(self) -> None:
        card = self.current()
        if card is not None and card.usable:
            self.used.emit(card.folder)
            self.accept()

    def _show(self) -> None:
        card = self.current()
        self.use_button.setEnabled(card is not None and card.usable and card.id != self._used_id)
        self.about.setHtml("" if card is None else self._as_html(card))

    def _as_html(self, card: Card) -> str:
        """All about a bundle; nothing that its makers wrote is read as markup."""
        parts = [f"<h3>{escape(card.name)}</h3>"]
        if card.usable and card.id == self._used_id:
            parts.append(f"<p><b>{escape(self.tr('In use'))}</b></p>")
        if card.problem:
            parts.append(f"<p><b>{escape(card.problem)}</b></p>")
        if card.summary:
            parts.append(f"<p>{escape(card.summary)}</p>")
        facts = [(self.tr("Folder"), str(card.folder))]
        if card.usable:
            facts += [(self.tr("Size"), size_words(card.size_bytes)), (self.tr("Id"), card.id)]
        if card.memory is not None:
            facts.append((self.tr("Memory"), self._memory(card)))
        facts += [(self.tr("Licence: {0}").format(part), f"{spdx} ({source})") for part, spdx, source in card.licences]
        rows = "".join(
            f"<tr><td style='padding-right: 16px'>{escape(name)}</td><td>{escape(value)}</td></tr>"
            for name, value in facts
        )
        parts.append(f"<table cellpadding='3'>{rows}</table>")
        for heading, lines in ((self.tr("It can"), card.can), (self.tr("It cannot"), card.cannot)):
            if lines:
                items = "".join(f"<li>{escape(line)}</li>" for line in lines)
                parts.append(f"<p><b>{escape(heading)}</b></p><ul>{items}</ul>")
        return "".join(parts)

    def _memory(self, card: Card) -> str:
        memory = card.memory
        assert memory is not None  # noqa: S101 - asked above
        words = self.tr("{0} of {1} free, with a context of {2}: {3}").format(
            size_words(memory.needed_bytes),
            size_words(memory.free_bytes),
            memory.context_length,
            self.tr("fits") if memory.fits else self.tr("does not fit"),
        )
        return words if not memory.advice else f"{words}; " + self.tr("would fit with: {0}").format(memory.advice[0])


def size_words(n_bytes: int) -> str:
    """Bytes as a person reads them."""
    return f"{n_bytes / _GB:.1f} GB" if n_bytes >= _GB else f"{n_bytes / _MB:.0f} MB"
