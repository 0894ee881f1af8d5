"""Undo and redo by Qt's own stack: a command holds the drawing before and after. Knows no widget."""

from collections.abc import Callable

from PySide6.QtCore import QObject
from PySide6.QtGui import QUndoCommand, QUndoStack

from gpt4roi_desktop.controller import Controller
from gpt4roi_desktop.edits import Drawing, drawing_of, restored
from gpt4roi_desktop.session import Session

_MOST_STEPS = 500


class _Edit(QUndoCommand):
    """One thing that a hand did; ``kind`` other than -1 joins with the one before of the same kind."""

    def __init__(self, controller: Controller, label: str, before: Drawing, done: Session, kind: int) -> None:
        super().__init__(label)
        self.after = drawing_of(done)
        self._before = before
        self._controller = controller
        self._done: Session | None = done
        self._kind = kind

    def id(self) -> int:
        """What may be joined."""
        return self._kind

    def mergeWith(self, other: QUndoCommand) -> bool:  # noqa: N802 - Qt's name
        """Ten presses of an arrow are one step back."""
        if not isinstance(other, _Edit) or not _same_regions(self.after, other.after):
            return False
        self.after = other.after
        return True

    def redo(self) -> None:
        """Do it; the first time with all that came with it, such as the selection."""
        session = self._controller.session
        if self._done is not None:
            done, self._done = self._done, None
            self._controller.replace(done)
        elif session is not None:
            self._controller.replace(restored(session, left=self._before, to=self.after))

    def undo(self) -> None:
        """Take it back."""
        session = self._controller.session
        if session is not None:
            self._controller.replace(restored(session, left=self.after, to=self._before))


class Edits(QObject):
    """Does what can be undone.

    Attributes:
        stack: Qt's stack, for actions and their labels.
    """

    NUDGE = 1

    def __init__(self, controller: Controller, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.stack = QUndoStack(self)
        self.stack.setUndoLimit(_MOST_STEPS)
        self._controller = controller

    def do(self, label: str, change: Callable[[Session], Session], kind: int = -1) -> None:
        """Change the session so that it can be undone; what changes no drawing is no step."""
        session = self._controller.session
        if session is None:
            return
        done = change(session)
        if drawing_of(done) == drawing_of(session):
            self._controller.replace(done)
        else:
            self.stack.push(_Edit(self._controller, label, drawing_of(session), done, kind))


def _same_regions(one: Drawing, other: Drawing) -> bool:
    """The same regions have other boxes than before, and nothing else changed."""
    moved = [a.id for a, b in zip(one.regions, other.regions, strict=False) if a.box != b.box]
    return len(one.regions) == len(other.regions) and bool(moved)
