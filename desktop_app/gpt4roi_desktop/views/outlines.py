"""How boxes look on the canvas: outlines, number tags, handles, proposals, the rubber band. Decides nothing."""

from collections.abc import Callable, Mapping

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen

from gpt4roi_desktop.session import Region, Session
from gpt4roi_desktop.shaping import Handle
from gpt4roi_desktop.views.chips import paint_tag, tag_width
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.overlay import region_colour
from gpt4roi_runtime.vision.proposals import Proposal

TAG_PX = 20.0
HANDLE_PX = 9.0

Place = Callable[[Box], QRectF]
"""From a box on the photo to the window's points."""


def draw_regions(painter: QPainter, place: Place, session: Session, boxes: Mapping[int, Box], lit: int) -> None:
    """All regions that can be seen; ``boxes`` are the boxes of those, by id, that a hand is moving just now."""
    alone = len(session.selected) == 1
    for number, region in enumerate(session.regions, 1):
        if region.hidden:
            continue
        selected = region.id in session.selected
        draw_region(
            painter,
            place,
            Region(region.id, boxes.get(region.id, region.box), region.locked),
            number,
            selected=selected,
            lit=region.id == lit,
            handles=selected and alone and not region.locked,
        )


def draw_region(
    painter: QPainter, place: Place, region: Region, number: int, *, selected: bool, lit: bool, handles: bool
) -> None:
    """One region with its tag; a lit one is being pointed at from elsewhere."""
    area = place(region.box)
    colour = QColor(region_colour(number))
    _outline(painter, area, colour, 3.0 if selected or lit else 2.0, dashed=region.locked)
    if selected or lit:
        veil = QColor(colour)
        veil.setAlphaF(0.22 if lit else 0.10)
        painter.fillRect(area, veil)
    _tag(painter, area, number)
    if handles:
        for handle in Handle:
            _handle(painter, _point(area, handle), colour)


def draw_proposal(painter: QPainter, place: Place, proposal: Proposal, *, lit: bool) -> None:
    """A box that is offered: faint, with its name where it is pointed at."""
    area = place(proposal.box)
    painter.setPen(QPen(QColor(0, 0, 0, 110), 3.0))
    painter.drawRect(area)
    painter.setPen(QPen(QColor(255, 255, 255, 255 if lit else 190), 1.5, Qt.PenStyle.DashLine))
    painter.drawRect(area)
    if not lit:
        return
    painter.fillRect(area, QColor(255, 255, 255, 46))
    words = f"{proposal.name}  {proposal.score:.0%}"
    metrics = QFontMetricsF(painter.font())
    tag = QRectF(area.left(), area.top() - 22, metrics.horizontalAdvance(words) + 14, 20)
    tag.moveTop(max(2.0, tag.top()))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(20, 24, 32, 220))
    painter.drawRoundedRect(tag, 4, 4)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(QColor("white"))
    painter.drawText(tag, Qt.AlignmentFlag.AlignCenter, words)


def draw_band(painter: QPainter, area: QRectF, number: int) -> None:
    """The box that is being drawn, in the colour it will have."""
    colour = QColor(region_colour(number))
    _outline(painter, area, colour, 2.0, dashed=False)
    colour.setAlphaF(0.12)
    painter.fillRect(area, colour)


def draw_crosshair(painter: QPainter, at: QPointF, ground: QRectF) -> None:
    """Two lines through the cursor, as far as the photo reaches."""
    dark, light = QPen(QColor(0, 0, 0, 70), 1.0), QPen(QColor(255, 255, 255, 150), 1.0, Qt.PenStyle.DotLine)
    for pen in (dark, light):
        painter.setPen(pen)
        painter.drawLine(QPointF(ground.left(), at.y()), QPointF(ground.right(), at.y()))
        painter.drawLine(QPointF(at.x(), ground.top()), QPointF(at.x(), ground.bottom()))


def _outline(painter: QPainter, area: QRectF, colour: QColor, width: float, *, dashed: bool) -> None:
    """A line that can be told from light and from dark pixels alike."""
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(QPen(QColor(255, 255, 255, 170), width + 2.0, Qt.PenStyle.SolidLine, j=Qt.PenJoinStyle.MiterJoin))
    painter.drawRect(area)
    style = Qt.PenStyle.DashLine if dashed else Qt.PenStyle.SolidLine
    painter.setPen(QPen(colour, width, style, j=Qt.PenJoinStyle.MiterJoin))
    painter.drawRect(area)


def _tag(painter: QPainter, area: QRectF, number: int) -> None:
    width = tag_width(number, TAG_PX)
    top = area.top() - TAG_PX - 1 if area.top() - TAG_PX - 1 >= 0 else area.top() + 1
    left = area.left() - 1.5 if top < area.top() else area.left() + 1
    paint_tag(painter, number, QRectF(left, top, width, TAG_PX), radius=4.0)


def _point(area: QRectF, handle: Handle) -> QPointF:
    dx, dy = handle.value
    return QPointF(area.center().x() + dx * area.width() / 2, area.center().y() + dy * area.height() / 2)


def _handle(painter: QPainter, at: QPointF, colour: QColor) -> None:
    painter.setPen(QPen(colour, 1.5))
    painter.setBrush(QColor("white"))
    half = HANDLE_PX / 2
    painter.drawRoundedRect(QRectF(at.x() - half, at.y() - half, HANDLE_PX, HANDLE_PX), 2, 2)
    painter.setBrush(Qt.BrushStyle.NoBrush)
