"""A photo for the screen: smaller copies of itself, so that 50 megapixels paint as fast as one. Knows no session."""

from dataclasses import dataclass

import cv2
import numpy as np
from PySide6.QtCore import QRectF
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QGraphicsItem, QStyleOptionGraphicsItem, QWidget

from gpt4roi_runtime.arrays import RgbImage

_SMALL_ENOUGH_PX = 1024


@dataclass(frozen=True)
class Levels:
    """Copies of a photo, each half as large as the one before; the first is the photo itself.

    Attributes:
        images: For Qt, which does not own their pixels.
        pixels: Their pixels, uint8 ``[h w 3]``.
    """

    images: tuple[QImage, ...]
    pixels: tuple[RgbImage, ...] = ()


def levels_of(photo: RgbImage) -> Levels:
    """Make the copies, on any thread; OpenCV lets the window's thread run meanwhile, as Qt's own scaling does not."""
    pixels = [photo]
    while max(pixels[-1].shape[:2]) > _SMALL_ENOUGH_PX:
        height, width = pixels[-1].shape[:2]
        size = (max(1, width // 2), max(1, height // 2))
        pixels.append(np.asarray(cv2.resize(pixels[-1], size, interpolation=cv2.INTER_AREA), dtype=np.uint8))
    return Levels(tuple(_wrapped(each) for each in pixels), tuple(pixels))


def _wrapped(pixels: RgbImage) -> QImage:
    height, width = pixels.shape[:2]
    return QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)


class PhotoItem(QGraphicsItem):
    """The photo on the canvas; one scene unit is one pixel of it."""

    def __init__(self) -> None:
        super().__init__()
        self._levels = Levels(())
        self.setFlag(QGraphicsItem.GraphicsItemFlag.ItemUsesExtendedStyleOption)

    def show_levels(self, levels: Levels) -> None:
        """Show another photo."""
        self.prepareGeometryChange()
        self._levels = levels
        self.update()

    def boundingRect(self) -> QRectF:  # noqa: N802 - Qt's name
        """The whole photo."""
        if not self._levels.images:
            return QRectF()
        return QRectF(self._levels.images[0].rect())

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        """Draw what can be seen of the copy that is nearest in size and not smaller."""
        del widget
        if not self._levels.images:
            return
        scale = option.levelOfDetailFromTransform(painter.worldTransform()) * painter.device().devicePixelRatio()
        chosen = self._levels.images[0]
        for image in self._levels.images[1:]:
            if image.width() < self.boundingRect().width() * scale:
                break
            chosen = image
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, scale < 4)
        seen = option.exposedRect & self.boundingRect()
        across = chosen.width() / self.boundingRect().width()
        down = chosen.height() / self.boundingRect().height()
        part = QRectF(seen.x() * across, seen.y() * down, seen.width() * across, seen.height() * down)
        painter.drawImage(seen, chosen, part)
