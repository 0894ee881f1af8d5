"""The window on screens of high density and on small ones; test_scaled.py runs these in processes of their own.

What is right on such a screen is told by looking: where on the screen's own pixels something white lies.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import QPoint, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QDialog, QPushButton, QScrollArea, QToolBar, QWidget

from gpt4roi_desktop.session import Photo, Region, Session
from gpt4roi_desktop.sight import Grid, Sight
from gpt4roi_desktop.views import icons
from gpt4roi_desktop.views.sight_panel import SightPicture
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.overlay import region_colour
from tests.desktop.views.desk import LEFT, NONE, Desk

SCALE = float(os.environ.get("QT_SCALE_FACTOR", "1"))
BLOCK = (60, 40, 160, 90)
"""White on a black photo of 200 by 100 pixels."""


def seen(widget: QWidget) -> np.ndarray:
    """A widget as the screen has it, uint8 ``[h w 3]``, in the screen's own pixels."""
    picture = widget.grab()
    assert picture.devicePixelRatio() == SCALE
    assert abs(picture.width() - widget.width() * SCALE) <= 1
    return rgb(picture.toImage())


def rgb(image: QImage) -> np.ndarray:
    image = image.convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), dtype=np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : image.width() * 3].reshape(image.height(), image.width(), 3).copy()


def bounds(mask: np.ndarray) -> tuple[float, float, float, float]:
    """Of what is true: left, top, right, bottom; stray pixels do not count."""
    across, down = (np.flatnonzero(mask.sum(axis=axis) > 0.1 * mask.sum(axis=axis).max()) for axis in (0, 1))
    return float(across[0]), float(down[0]), float(across[-1] + 1), float(down[-1] + 1)


@pytest.fixture
def block(desk: Desk) -> Desk:
    """The black photo with the white block."""
    pixels = np.zeros((100, 200, 3), dtype=np.uint8)
    x1, y1, x2, y2 = BLOCK
    pixels[y1:y2, x1:x2] = 255
    Image.fromarray(pixels).save(desk.folder / "block.png")
    desk.open_photo(desk.folder / "block.png")
    return desk


def on_window(desk: Desk) -> tuple[QPoint, QPoint]:
    """Corners of the block in points, as they are seen."""
    left, top, right, bottom = bounds(seen(desk.canvas.viewport()).min(axis=2) > 250)
    return QPoint(round(left / SCALE), round(top / SCALE)), QPoint(round(right / SCALE), round(bottom / SCALE))


def drag(desk: Desk, start: QPoint, end: QPoint) -> None:
    view = desk.canvas.viewport()
    desk.qtbot.mousePress(view, LEFT, NONE, start)
    desk.qtbot.mouseMove(view, (start + end) / 2)
    desk.qtbot.mouseMove(view, end)
    desk.qtbot.mouseRelease(view, LEFT, NONE, end)


def test_the_window_is_as_dense_as_the_screen(desk: Desk) -> None:
    assert desk.window.devicePixelRatio() == SCALE
    screen = desk.window.screen().size()
    assert f"{screen.width()}x{screen.height()}" == os.environ["GPT4ROI_SCREEN"]


def test_what_is_drawn_round_what_is_seen_is_the_pixels_that_it_has(block: Desk) -> None:
    drag(block, *on_window(block))
    (box,) = block.boxes
    assert box.xyxy == pytest.approx(BLOCK, abs=1.0)


def test_a_handle_is_hit_where_it_is_seen(block: Desk) -> None:
    start, end = on_window(block)
    block.window.boxes.draw(Box(*BLOCK))
    block.qtbot.waitUntil(lambda: block.selected == [1])
    view, corner = block.canvas.viewport(), start
    picture = seen(view).min(axis=2)
    y, x = round(corner.y() * SCALE), round(corner.x() * SCALE)
    reach = round(2 * SCALE)
    assert picture[y - reach : y + reach + 1, x - reach : x + reach + 1].min() > 240  # white, on the black photo too
    outside = picture[y - round(7 * SCALE), x - round(7 * SCALE)]
    assert outside < 100
    for away, cursor in ((7, Qt.CursorShape.SizeFDiagCursor), (10, Qt.CursorShape.CrossCursor)):
        block.qtbot.mouseMove(view, corner - QPoint(away, away))
        assert view.cursor().shape() == cursor
    zoom = (end.x() - start.x()) / (BLOCK[2] - BLOCK[0])
    drag(block, corner, corner - QPoint(40, 30))
    (box,) = block.boxes
    assert box.xyxy == pytest.approx((BLOCK[0] - 40 / zoom, BLOCK[1] - 30 / zoom, *BLOCK[2:]), abs=1.0)


def test_a_hundred_percent_is_a_pixel_a_pixel(block: Desk) -> None:
    block.canvas.actual_size()
    left, top, right, bottom = bounds(seen(block.canvas.viewport()).min(axis=2) > 250)
    assert (right - left, bottom - top) == pytest.approx((BLOCK[2] - BLOCK[0], BLOCK[3] - BLOCK[1]), abs=1.0)


def test_icons_are_drawn_for_the_screen_and_not_blown_up(desk: Desk) -> None:
    bar = desk.window.findChild(QToolBar)
    assert bar is not None
    button = bar.widgetForAction(desk.window.actions_by_name["zoom_in"])
    there = seen(button).astype(np.float64)
    side = round(bar.iconSize().width() * SCALE)
    colour = button.palette().buttonText().color().name()
    ground = QColor(*there[0, 0].astype(int).tolist())
    sharp, blown = drawn(side, colour, ground), drawn(bar.iconSize().width(), colour, ground)
    blown = rgb(image_of(blown).scaled(side, side, mode=Qt.TransformationMode.SmoothTransformation)).astype(np.float64)
    assert nearest(there, sharp) < 4.0
    assert nearest(there, sharp) < 0.5 * nearest(there, blown)


def drawn(side: int, colour: str, ground: QColor) -> np.ndarray:
    """The icon as it should be, uint8 ``[side side 3]``."""
    picture = QImage(QSize(side, side), QImage.Format.Format_RGB888)
    picture.fill(ground)
    painter = QPainter(picture)
    icons.paint(painter, "zoom_in", QRectF(0, 0, side, side), colour)
    painter.end()
    return rgb(picture)


def image_of(pixels: np.ndarray) -> QImage:
    height, width = pixels.shape[:2]
    return QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()


def nearest(there: np.ndarray, wanted: np.ndarray) -> float:
    """Mean difference at the place where a picture lies best within a larger one."""
    side = wanted.shape[0]
    places = ((y, x) for y in range(there.shape[0] - side + 1) for x in range(there.shape[1] - side + 1))
    return min(float(np.abs(there[y : y + side, x : x + side] - wanted).mean()) for y, x in places)


def test_the_models_sight_has_boxes_where_they_are_and_pixels_of_the_screen(desk: Desk) -> None:
    pixels = np.zeros((480, 480, 3), dtype=np.uint8)
    pixels[::2, ::2] = 255  # finer than a point of the window
    photo = Photo(Path("photo.png"), "0" * 64, 200, 100)
    session = Session(photo, (Region(1, Box(50, 20, 150, 80)),))
    picture = SightPicture()
    desk.qtbot.addWidget(picture)
    side = round(480 / SCALE)
    picture.resize(side, side)
    picture.show_sight(Sight(pixels, Grid(480, 1), photo), session)
    picture.show()
    now = seen(picture).astype(np.int64)
    colour = np.array(QColor(region_colour(1)).getRgb()[:3])
    left, top, right, bottom = bounds(np.abs(now - colour).max(axis=2) < 12)
    full = side * SCALE
    middle = (left + right) / 2, (top + bottom) / 2
    assert middle[0] == pytest.approx(0.5 * full, abs=0.02 * full)
    assert (left, right) == pytest.approx((0.25 * full, 0.75 * full), abs=3 * SCALE)
    assert bottom == pytest.approx(0.8 * full, abs=3 * SCALE)
    corner = now[round(0.9 * full) : round(0.95 * full), : round(0.2 * full)].mean(axis=2)
    assert corner.std() > 60  # the dots of the input, not their mean


@pytest.mark.parametrize("action", ["help", "keys", "settings"])
def test_dialogs_fit_the_screen(desk: Desk, action: str) -> None:
    desk.window.actions_by_name[action].trigger()
    (dialog,) = [each for each in desk.window.findChildren(QDialog) if each.isVisible()]
    room = desk.window.screen().availableSize()
    assert dialog.width() <= room.width()
    assert dialog.height() <= room.height() - 40  # its title
    assert dialog.minimumSizeHint().height() <= room.height() - 40
    for button in dialog.findChildren(QPushButton):
        assert dialog.rect().contains(button.mapTo(dialog, QPointF(button.rect().center()).toPoint()))
    for area in dialog.findChildren(QScrollArea):
        assert (
            area.horizontalScrollBar().maximum() == 0
            or area.horizontalScrollBarPolicy() != area.horizontalScrollBarPolicy().ScrollBarAlwaysOff
        )
    dialog.reject()
