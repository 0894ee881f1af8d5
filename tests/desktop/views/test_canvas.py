"""The hand on the photo: real mouse and key events at a real window."""

import pytest

pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed", exc_type=ImportError)
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QGuiApplication, QWheelEvent

from gpt4roi_runtime.geometry import Box
from tests.desktop.views.desk import CONTROL, SHIFT, Desk

KEY = Qt.Key


def near(box: Box, *corners: float) -> bool:
    """Within a pixel: a cursor stands on whole points of the screen."""
    return all(abs(a - b) <= 1 for a, b in zip(box.xyxy, corners, strict=True))


def test_a_drag_draws_a_box_and_selects_it(desk: Desk) -> None:
    desk.draw((20, 10, 80, 60), (180, 90, 120, 40))
    first, second = desk.boxes
    assert near(first, 20, 10, 80, 60)
    assert near(second, 120, 40, 180, 90)
    assert desk.selected == [2]


def test_a_drag_over_the_edge_ends_at_the_edge(desk: Desk) -> None:
    desk.drag((150, 50), (230, 130))
    assert near(desk.boxes[0], 150, 50, 200, 100)


def test_shift_draws_a_square(desk: Desk) -> None:
    desk.drag((20, 10), (80, 30), SHIFT)
    box = desk.boxes[0]
    assert box.x2 - box.x1 == box.y2 - box.y1


def test_a_click_selects_the_smallest_box_and_ground_deselects(desk: Desk) -> None:
    desk.draw((10, 10, 150, 90))
    desk.press(KEY.Key_R)
    desk.draw((30, 30, 60, 60))
    assert len(desk.boxes) == 2
    desk.click(100, 80)
    assert desk.selected == [1]
    desk.click(45, 45)
    assert desk.selected == [2]
    desk.click(100, 80, CONTROL)
    assert desk.selected == [1, 2]
    desk.click(190, 5)
    assert desk.selected == []


def test_moving_and_pulling(desk: Desk) -> None:
    desk.draw((20, 20, 60, 60))
    desk.drag((40, 40), (60, 50))
    assert near(desk.boxes[0], 40, 30, 80, 70)
    desk.drag((80, 70), (120, 90))
    assert near(desk.boxes[0], 40, 30, 120, 90)
    desk.drag((40, 60), (30, 10))
    assert near(desk.boxes[0], 30, 30, 120, 90)
    assert len(desk.boxes) == 1


def test_escape_gives_a_drag_up(desk: Desk) -> None:
    desk.drag((20, 20), (60, 60), drop=False)
    desk.press(KEY.Key_Escape)
    desk.qtbot.mouseRelease(desk.canvas.viewport(), Qt.MouseButton.LeftButton, pos=desk.at(60, 60))
    assert desk.boxes == []


def test_arrows_move_by_one_and_ten_and_are_one_step_back(desk: Desk) -> None:
    desk.draw((20, 20, 60, 60))
    before = desk.boxes[0]
    desk.press(KEY.Key_Right)
    desk.press(KEY.Key_Down, SHIFT)
    assert desk.boxes[0] == Box(before.x1 + 1, before.y1 + 10, before.x2 + 1, before.y2 + 10)
    desk.press(KEY.Key_Z, CONTROL)
    assert desk.boxes[0] == before
    desk.press(KEY.Key_Z, CONTROL | SHIFT)
    assert desk.boxes[0] == Box(before.x1 + 1, before.y1 + 10, before.x2 + 1, before.y2 + 10)


def test_undo_and_redo(desk: Desk) -> None:
    desk.draw((20, 20, 60, 60), (100, 20, 140, 60))
    drawn = desk.boxes
    desk.press(KEY.Key_Delete)
    assert len(desk.boxes) == 1
    desk.press(KEY.Key_Z, CONTROL)
    assert desk.boxes == drawn
    for _ in range(2):
        desk.press(KEY.Key_Z, CONTROL)
    assert desk.boxes == []
    for _ in range(3):
        desk.press(KEY.Key_Y, CONTROL)
    assert desk.boxes == drawn[:1]


def test_keys_choose(desk: Desk) -> None:
    desk.draw((20, 20, 60, 60), (100, 20, 140, 60), (150, 20, 190, 60))
    desk.press(KEY.Key_1)
    assert desk.selected == [1]
    desk.press(KEY.Key_Tab)
    desk.press(KEY.Key_Tab)
    assert desk.selected == [3]
    desk.press(KEY.Key_Backtab, SHIFT)
    assert desk.selected == [2]
    desk.press(KEY.Key_A, CONTROL)
    assert desk.selected == [1, 2, 3]
    desk.press(KEY.Key_Escape)
    assert desk.selected == []


def test_copy_paste_and_duplicate(desk: Desk) -> None:
    desk.draw((20, 20, 60, 60))
    box = desk.boxes[0]
    desk.press(KEY.Key_C, CONTROL)
    desk.press(KEY.Key_V, CONTROL)
    desk.press(KEY.Key_D, CONTROL)
    shifted = [Box(box.x1 + by, box.y1 + by, box.x2 + by, box.y2 + by) for by in (0, 12, 24)]
    assert desk.boxes == shifted


def test_what_was_copied_outlives_the_window_as_text(desk: Desk) -> None:
    """What Python put on the clipboard would be freed after Python, and end the program with a crash."""
    desk.draw((20, 20, 60, 60))
    desk.press(KEY.Key_C, CONTROL)
    board = QGuiApplication.clipboard()
    text, n_formats = board.text(), len(board.mimeData().formats())
    desk.window.close()
    assert board.text() == text == str(desk.boxes[0])
    assert len(board.mimeData().formats()) < n_formats


def test_lock_and_hide(desk: Desk) -> None:
    desk.draw((20, 20, 60, 60))
    box = desk.boxes[0]
    desk.press(KEY.Key_L)
    desk.press(KEY.Key_Right)
    desk.press(KEY.Key_Delete)
    assert desk.boxes == [box]
    desk.press(KEY.Key_H)
    assert desk.session.regions[0].hidden
    desk.click(190, 5)
    desk.click(40, 40)
    assert desk.selected == []


def wheel(desk: Desk, x: float, y: float, delta: int) -> None:
    view = desk.canvas.viewport()
    at = QPointF(desk.at(x, y))
    event = QWheelEvent(
        at,
        QPointF(view.mapToGlobal(at.toPoint())),
        desk.at(0, 0) * 0,
        desk.at(0, 0) * 0 + desk.at(0, 0).__class__(0, delta),
        Qt.MouseButton.NoButton,
        CONTROL,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    desk.canvas.wheelEvent(event)


def test_ctrl_wheel_zooms_at_the_cursor(desk: Desk) -> None:
    before, scale = desk.at(150, 30), desk.canvas.transform().m11()
    wheel(desk, 150, 30, 240)
    assert desk.canvas.transform().m11() > 1.3 * scale
    assert (desk.at(150, 30) - before).manhattanLength() <= 2
    desk.press(KEY.Key_F)
    assert desk.canvas.transform().m11() == pytest.approx(scale)
    desk.press(KEY.Key_0, CONTROL)
    assert desk.canvas.transform().m11() * desk.canvas.devicePixelRatio() == pytest.approx(1)


def test_space_drag_and_middle_drag_pan(desk: Desk) -> None:
    view = desk.canvas.viewport()
    for button in (Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton):
        before = desk.at(0, 0)
        if button == Qt.MouseButton.LeftButton:
            desk.qtbot.keyPress(desk.canvas, KEY.Key_Space)
        start = desk.at(100, 50)
        desk.qtbot.mousePress(view, button, pos=start)
        desk.qtbot.mouseMove(view, start + desk.at(0, 0) * 0 + before.__class__(30, 20))
        desk.qtbot.mouseRelease(view, button, pos=start + before.__class__(30, 20))
        desk.qtbot.keyRelease(desk.canvas, KEY.Key_Space)
        assert desk.at(0, 0) - before == before.__class__(30, 20)
    assert desk.boxes == []


def test_the_photo_stays_fitted_when_the_window_grows(desk: Desk) -> None:
    scale = desk.canvas.transform().m11()
    desk.window.resize(1300, 700)
    desk.qtbot.waitUntil(lambda: desk.canvas.transform().m11() > scale * 1.2)
