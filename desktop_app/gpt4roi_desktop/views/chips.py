"""A region's number as a small coloured tag, the same on canvas, in the list and in text. Knows no session."""

import base64
from functools import lru_cache

from PySide6.QtCore import QBuffer, QIODevice, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QImage, QPainter

from gpt4roi_runtime.overlay import region_colour

_GONE = "#8a8f98"
_SHARPNESS = 3
"""Pixels a point: chips in text stay crisp on screens of high density."""


def tag_width(number: int | None, height: float) -> float:
    """How wide a tag of some height is."""
    return max(height * 1.15, QFontMetricsF(_font(height)).horizontalAdvance(_label(number)) + height * 0.7)


def paint_tag(painter: QPainter, number: int | None, area: QRectF, *, radius: float) -> None:
    """Draw a tag; None is a region that was deleted."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(_GONE if number is None else region_colour(number)))
    painter.drawRoundedRect(area, radius, radius)
    painter.setPen(QColor("white"))
    painter.setFont(_font(area.height()))
    painter.drawText(area, Qt.AlignmentFlag.AlignCenter, _label(number))
    painter.restore()


@lru_cache(maxsize=512)
def chip_image(number: int | None, height: int) -> QImage:
    """A chip for use in text, ``height`` points high."""
    width = tag_width(number, height)
    picture = QImage(round((width + 2) * _SHARPNESS), height * _SHARPNESS, QImage.Format.Format_ARGB32_Premultiplied)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.scale(_SHARPNESS, _SHARPNESS)
    paint_tag(painter, number, QRectF(1, 0, width, height), radius=height * 0.32)
    painter.end()
    return picture


@lru_cache(maxsize=512)
def chip_html(number: int | None, region_id: int, height: int) -> str:
    """A chip as rich text, with an anchor that names its region."""
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    picture = chip_image(number, height)
    picture.save(buffer, "PNG")
    data = base64.b64encode(buffer.data().data()).decode()
    width = picture.width() / _SHARPNESS
    return (
        f'<a href="region:{region_id}"><img src="data:image/png;base64,{data}" width="{width:g}" height="{height}"'
        ' style="vertical-align: middle"></a>'
    )


def chip_size(number: int | None, height: int) -> tuple[float, float]:
    """Width and height of a chip in text, in points."""
    return chip_image(number, height).width() / _SHARPNESS, float(height)


def _font(height: float) -> QFont:
    font = QFont()
    font.setPixelSize(max(8, round(height * 0.68)))
    font.setWeight(QFont.Weight.Bold)
    return font


def _label(number: int | None) -> str:
    return "\N{MULTIPLICATION SIGN}" if number is None else str(number)
