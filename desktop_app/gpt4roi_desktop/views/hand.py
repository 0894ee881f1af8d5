"""What a pressed button is doing to boxes, and what it makes of them. Knows no widget and keeps no session."""

from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QPointF, Qt

from gpt4roi_desktop.edits import sheet_of
from gpt4roi_desktop.session import Region, Session
from gpt4roi_desktop.shaping import Handle, drawn, moved, pulled
from gpt4roi_desktop.views.aim import Aim
from gpt4roi_runtime.geometry import Box

CURSORS = {
    Handle.NORTH_WEST: Qt.CursorShape.SizeFDiagCursor,
    Handle.SOUTH_EAST: Qt.CursorShape.SizeFDiagCursor,
    Handle.NORTH_EAST: Qt.CursorShape.SizeBDiagCursor,
    Handle.SOUTH_WEST: Qt.CursorShape.SizeBDiagCursor,
    Handle.NORTH: Qt.CursorShape.SizeVerCursor,
    Handle.SOUTH: Qt.CursorShape.SizeVerCursor,
    Handle.WEST: Qt.CursorShape.SizeHorCursor,
    Handle.EAST: Qt.CursorShape.SizeHorCursor,
}


@dataclass(frozen=True)
class Drag:
    """A button that is held down.

    Attributes:
        kind: What it does.
        start: Where on the photo it was pressed, in pixels.
        start_view: Where on the window, in points; a pan moves it along.
        region: What it moves or pulls.
        handle: Where it pulls.
    """

    kind: Literal["draw", "move", "pull", "pan"]
    start: tuple[float, float]
    start_view: QPointF
    region: Region | None = None
    handle: Handle | None = None

    def band(self, session: Session, now: tuple[float, float], *, square: bool) -> Box | None:
        """The box that is being drawn, if any; None while it is too thin to be meant."""
        if self.kind != "draw":
            return None
        return drawn(self.start, now, sheet_of(session), square=square)

    def reshaped(self, session: Session, now: tuple[float, float]) -> dict[int, Box]:
        """The boxes that the drag makes of those it began with, by region's id."""
        if self.region is None:
            return {}
        sheet = sheet_of(session)
        if self.handle is not None:
            return {self.region.id: pulled(self.region.box, self.handle, now, sheet)}
        dx, dy = now[0] - self.start[0], now[1] - self.start[1]
        return {
            region.id: moved(region.box, dx, dy, sheet)
            for region in session.selection()
            if not region.locked and not region.hidden
        }


def begun(aim: Aim, start: tuple[float, float], at: QPointF, *, only_draw: bool) -> Drag:
    """What the left button begins at a point of the window: pull, move or draw."""
    if not only_draw:
        region, handle = aim.handle_at(at)
        if handle is not None:
            return Drag("pull", start, at, region, handle)
        region = aim.selected_at(at)
        if region is not None:
            return Drag("move", start, at, region)
    return Drag("draw", start, at)


def cursor_over(aim: Aim, at: QPointF | None, drag: Drag | None, *, only_draw: bool) -> Qt.CursorShape:
    """The cursor that says what the button does, or would do."""
    if aim.session is None:
        return Qt.CursorShape.ArrowCursor
    if drag is not None and drag.handle is not None:
        return CURSORS[drag.handle]
    if at is not None and not only_draw and drag is None:
        _, handle = aim.handle_at(at)
        if handle is not None:
            return CURSORS[handle]
        if aim.selected_at(at) is not None:
            return Qt.CursorShape.SizeAllCursor
    return Qt.CursorShape.CrossCursor
