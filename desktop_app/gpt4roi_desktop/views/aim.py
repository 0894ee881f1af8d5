"""What lies under the cursor: a handle, a region, a proposal; the smallest first. Moves nothing and paints nothing."""

from collections.abc import Iterable
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QTransform

from gpt4roi_desktop.session import Region, Session
from gpt4roi_desktop.shaping import Handle
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.vision.proposals import Proposal

_REACH_PX = 8.0
_NEAR_PX = 3


@dataclass(frozen=True)
class Aim:
    """Everything that can be pointed at, as it stands on the window now.

    Attributes:
        session: The photo's regions and their selection.
        proposals: Boxes that are offered.
        transform: From the photo's pixels to the window's points.
    """

    session: Session | None
    proposals: tuple[Proposal, ...]
    transform: QTransform

    def area_of(self, box: Box) -> QRectF:
        """A box in the window's points."""
        return self.transform.mapRect(QRectF(box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1))

    def handle_at(self, at: QPointF) -> tuple[Region | None, Handle | None]:
        """The handle in reach of the cursor, where one region alone is selected."""
        selected = () if self.session is None else self.session.selection()
        if len(selected) != 1 or selected[0].locked or selected[0].hidden:
            return None, None
        for handle in Handle:
            x, y = handle.place(selected[0].box)
            point = self.transform.map(QPointF(x, y))
            if max(abs(point.x() - at.x()), abs(point.y() - at.y())) <= _REACH_PX:
                return selected[0], handle
        return None, None

    def selected_at(self, at: QPointF) -> Region | None:
        """A selected region that may be moved from here."""
        session = self.session
        chosen = (each for each in self._visible() if session is not None and each.id in session.selected)
        region = self._smallest(chosen, at)
        return None if region is None or region.locked else region

    def region_at(self, at: QPointF) -> Region | None:
        """The smallest region here that can be seen."""
        return self._smallest(self._visible(), at)

    def proposal_at(self, at: QPointF) -> int | None:
        """The place of the smallest proposal here."""
        hit = [place for place, each in enumerate(self.proposals) if self.area_of(each.box).contains(at)]
        return min(hit, key=lambda place: _size(self.proposals[place].box), default=None)

    def clicked_at(self, at: QPointF) -> Region | int | None:
        """What a click means: a region, the place of a proposal that is smaller than it, or the ground."""
        region, offered = self.region_at(at), self.proposal_at(at)
        if offered is not None and (region is None or _size(self.proposals[offered].box) < _size(region.box)):
            return offered
        return region

    def _visible(self) -> tuple[Region, ...]:
        return () if self.session is None else tuple(each for each in self.session.regions if not each.hidden)

    def _smallest(self, regions: Iterable[Region], at: QPointF) -> Region | None:
        near = (-_NEAR_PX, -_NEAR_PX, _NEAR_PX, _NEAR_PX)
        hit = [each for each in regions if self.area_of(each.box).adjusted(*near).contains(at)]
        return min(hit, key=lambda each: _size(each.box), default=None)


def _size(box: Box) -> float:
    return (box.x2 - box.x1) * (box.y2 - box.y1)
