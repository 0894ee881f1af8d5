"""The window against pictures of it, with room for other fonts: what moves, vanishes or loses its colour is seen.

After a change that is meant: GPT4ROI_NEW_PICTURES=1 python -m pytest tests/desktop/views/test_looks.py
"""

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed", exc_type=ImportError)
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from PIL import Image
from PySide6.QtGui import QImage

from gpt4roi_desktop.preferences import Theme
from tests.desktop.views.desk import Desk

PICTURES = Path(__file__).parent / "pictures"
SIZE = (250, 175)
"""A quarter of the window: letters are grey there, panels and boxes are not."""

MOST_MEAN = 6.0
MOST_BLOCK = 45.0
BLOCK = 25


def picture_of(desk: Desk) -> np.ndarray:
    image = desk.window.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), dtype=np.uint8).reshape(image.height(), image.bytesPerLine())
    pixels = rows[:, : image.width() * 3].reshape(image.height(), image.width(), 3)
    return np.asarray(Image.fromarray(pixels).resize(SIZE, Image.Resampling.BOX), dtype=np.float64)


def differences(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Of all pixels, and of the worst block."""
    away = np.abs(one - other).mean(axis=2)
    blocks = away.reshape(SIZE[1] // BLOCK, BLOCK, SIZE[0] // BLOCK, BLOCK).mean(axis=(1, 3))
    return float(away.mean()), float(blocks.max())


@pytest.fixture
def talked(desk: Desk) -> Desk:
    """Two boxes, an answer, and the table of answers."""
    desk.ask_about_two_boxes()
    desk.window.canvas.leaveEvent(_leave())
    return desk


def _leave():  # type: ignore[no-untyped-def]
    from PySide6.QtCore import QEvent

    return QEvent(QEvent.Type.Leave)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_looks_as_it_did(talked: Desk, theme: Theme) -> None:
    talked.window.choose_theme(theme)
    talked.qtbot.wait(1)
    now = picture_of(talked)
    talked.window.choose_theme("system")
    kept = PICTURES / f"{theme}.png"
    if os.environ.get("GPT4ROI_NEW_PICTURES"):
        PICTURES.mkdir(exist_ok=True)
        Image.fromarray(now.round().astype(np.uint8)).save(kept, optimize=True)
    mean, block = differences(now, np.asarray(Image.open(kept).convert("RGB"), dtype=np.float64))
    assert mean < MOST_MEAN
    assert block < MOST_BLOCK


def test_the_tolerance_sees_what_is_missing(talked: Desk) -> None:
    talked.window.choose_theme("light")
    talked.qtbot.wait(1)
    before = picture_of(talked)
    talked.chat.hide()
    mean, block = differences(before, picture_of(talked))
    talked.window.choose_theme("dark")
    talked.qtbot.wait(1)
    dark_mean, _ = differences(before, picture_of(talked))
    talked.window.choose_theme("system")
    assert dark_mean > MOST_MEAN * 4
    assert block > 0
    assert mean > 0
