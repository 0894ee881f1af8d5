"""A region's number as a small coloured tag, the same on canvas, in the list and in text. Knows no session."""

import base64
from functools import lru_cache

from PySide6.QtCore import QBuffer, QIODevice, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QImage, QPainter

from gpt4roi_runtime.overlay import region_colour

_GONE = "#8a8f98"
_LIFT = 5
"""Empty points under a chip in text: Qt centres pictures on the small letters, which is too low for a tag."""

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
    """A chip for use in text, ``height`` points high, and some room below it."""
    width = tag_width(number, height)
    size = QSize(round((width + 2) * _SHARPNESS), (height + _LIFT) * _SHARPNESS)
    picture = QImage(size, QImage.Format.Format_ARGB32_Premultiplied)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.scale(_SHARPNESS, _SHARPNESS)
    paint_tag(painter, number, QRectF(1, 0, width, height), radius=height * 0.32)
    painter.end()
    return picture


@lru_cache(maxsize=512)
def tag_image(number: int | None, height: int) -> QImage:
    """A tag for use as a picture in a table, ``height`` points high."""
    width = round(tag_width(number, height))
    picture = QImage(QSize(width, height) * _SHARPNESS, QImage.Format.Format_ARGB32_Premultiplied)
    picture.setDevicePixelRatio(_SHARPNESS)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    paint_tag(painter, number, QRectF(0, 0, width, height), radius=4)
    painter.end()
    return picture


@lru_cache(maxsize=512)
def chip_html(number: int | None, region_id: int, height: int) -> str:
    """A chip as rich text, with an anchor that names its region."""
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    picture = chip_image(number, height)
    picture.save(buffer, "PNG")  # type: ignore[call-overload]  # the stubs forget str
    data = base64.b64encode(buffer.data().data()).decode()
    width, full_height = chip_size(number, height)
    return (
        f'<a href="region:{region_id}"><img src="data:image/png;base64,{data}" style="vertical-align: middle"'
        f' width="{width:g}" height="{full_height:g}"></a>'
    )


def chip_size(number: int | None, height: int) -> tuple[float, float]:
    """Width and height of a chip in text, in points."""
    picture = chip_image(number, height)
    return picture.width() / _SHARPNESS, picture.height() / _SHARPNESS


def _font(height: float) -> QFont:
    font = QFont()
    font.setPixelSize(max(8, round(height * 0.68)))
    font.setWeight(QFont.Weight.Bold)
    return font


def _label(number: int | None) -> str:
    return "\N{MULTIPLICATION SIGN}" if number is None else str(number)
