"""What menus, keys and the canvas do to boxes, as edits that can be undone. Paints nothing and keeps no state."""

from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QWidget

from gpt4roi_desktop import edits
from gpt4roi_desktop.controller import Controller
from gpt4roi_desktop.session import Session
from gpt4roi_desktop.views import clipboard
from gpt4roi_desktop.views.undo import Edits
from gpt4roi_desktop.workspace import Notice
from gpt4roi_runtime.errors import Gpt4RoiError
from gpt4roi_runtime.geometry import Box


class BoxCommands(QObject):
    """Edits of the session's boxes.

    Args:
        controller: Holds the session.
        undo: Does what can be undone.
        mention: Called with a region's id where a box that was drawn or clicked belongs into the question.
        parent: Owns this.

    Attributes:
        typing: The hand comes from a question that is being typed, so what it touches is mentioned there.
    """

    def __init__(
        self, controller: Controller, undo: Edits, mention: Callable[[int], None], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.typing = False
        self._controller = controller
        self._undo = undo
        self._mention = mention

    # -- how -----------------------------------------------------------------------------------------------------

    def change(self, change: Callable[[Session], Session]) -> None:
        """A change that undo is not about."""
        if self._controller.session is not None:
            self._controller.replace(change(self._controller.session))

    def do(self, label: str, change: Callable[[Session], Session], kind: int = -1) -> None:
        """A change that can be undone; what is not possible is said."""
        try:
            self._undo.do(label, change, kind)
        except Gpt4RoiError as error:
            self._controller.tell(Notice(error.problem, error.advice))

    # -- the hand on the photo -----------------------------------------------------------------------------------

    def draw(self, box: Box) -> None:
        """A new box."""
        self.do(self.tr("draw a box"), partial(edits.add, boxes=[box]))
        self._mention_selected()

    def reshape(self, boxes: dict[int, Box]) -> None:
        """Other boxes for some regions."""
        self.do(self.tr("move a box"), partial(edits.reshape, boxes=boxes))

    def click(self, region_id: int, add: bool) -> None:  # noqa: FBT001 - a signal's slot
        """Choose a region, alone or besides others."""
        if add:
            self.change(partial(edits.toggle, region_id=region_id))
            return
        self.choose([region_id])
        self._mention_selected()

    def choose(self, ids: list[int]) -> None:
        """Select these regions."""
        self.change(partial(edits.select, ids=ids))

    def cycle(self, step: int) -> None:
        """Select the next or previous region."""
        self.change(partial(edits.cycle, step=step))

    def choose_number(self, number: int, *_: object) -> None:
        """Select the region with this number."""
        self.change(partial(edits.select_number, number=number))

    def nudge(self, dx: int, dy: int, *_: object) -> None:
        """Move the selected boxes by pixels; many presses are one step back."""
        self.do(self.tr("move a box"), partial(edits.nudge, dx=dx, dy=dy), Edits.NUDGE)

    def adopt(self, place: int) -> None:
        """Make a box of a suggestion."""
        if place < len(self._controller.proposals):
            box = self._controller.take_proposal(place)
            self.do(self.tr("adopt a suggestion"), partial(edits.add, boxes=[box]))
            self._mention_selected()

    def _mention_selected(self) -> None:
        """A box that was clicked or drawn while a question was being typed belongs into the question."""
        session = self._controller.session
        if self.typing and session is not None:
            for region in session.selection():
                self._mention(region.id)

    # -- menus and keys ------------------------------------------------------------------------------------------

    def duplicate(self) -> None:
        """Copies of the selected boxes beside them."""
        self.do(self.tr("duplicate"), edits.duplicate)

    def select_all(self) -> None:
        """Select every box that can be seen."""
        self.change(edits.select_all)

    def delete(self) -> None:
        """Delete the selected regions."""
        self.do(self.tr("delete"), lambda session: edits.delete(session, session.selected))

    def lock(self, ids: set[int] | None = None) -> None:
        """Lock or unlock some regions, or the selected ones."""
        self.do(self.tr("lock"), lambda session: edits.lock(session, ids or session.selected))

    def hide(self, ids: set[int] | None = None) -> None:
        """Hide or show some regions, or the selected ones."""
        self.do(self.tr("hide"), lambda session: edits.hide(session, ids or session.selected))

    def renumber(self, step: int) -> None:
        """The selected region, one number up or down."""

        def change(session: Session) -> Session:
            selected = session.selection()
            if len(selected) != 1:
                return session
            return edits.renumber(session, selected[0].id, (session.number_of(selected[0].id) or 1) + step)

        self.do(self.tr("renumber"), change)

    def copy(self) -> None:
        """Copy the selected boxes."""
        session = self._controller.session
        if session is not None and session.selected:
            clipboard.copy_boxes([region.box for region in session.selection()])

    def paste(self) -> bool:
        """Boxes that were copied.

        Returns:
            Whether there were any.
        """
        boxes = clipboard.pasted_boxes()
        if not boxes or self._controller.session is None:
            return False
        self.do(self.tr("paste"), partial(edits.paste, boxes=boxes))
        return True

    def adopt_all(self) -> None:
        """Make boxes of all suggestions."""
        boxes = [each.box for each in self._controller.proposals]
        self._controller.drop_proposals()
        self.do(self.tr("adopt the suggestions"), partial(edits.add, boxes=boxes))
