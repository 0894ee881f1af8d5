"""The camera's dialog, with a camera that a test plays."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed", exc_type=ImportError)
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from PySide6.QtCore import Qt

from gpt4roi_desktop.views import dialogs
from gpt4roi_desktop.views.camera_dialog import CameraDialog
from gpt4roi_runtime.errors import Gpt4RoiError, InputError
from tests.desktop.views.desk import CONTROL, LEFT, Desk

FRAME = np.full((30, 40, 3), 90, dtype=np.uint8)


class FakeCamera:
    """Shows what a test gives it."""

    opened: "list[FakeCamera]"

    def __init__(self, number: int, ready: Callable[[], None], failed: Callable[[Gpt4RoiError], None]) -> None:
        self.number, self.ready, self.failed, self.closed = number, ready, failed, False
        self.frame: np.ndarray | None = None
        FakeCamera.opened.append(self)

    def give(self, frame: np.ndarray) -> None:
        self.frame = frame
        self.ready()

    def take(self) -> np.ndarray | None:
        return self.frame

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def dialog(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> CameraDialog:
    FakeCamera.opened = []

    def with_fake(number, bridge, parent):  # type: ignore[no-untyped-def]
        return CameraDialog(number, bridge, FakeCamera, parent)  # type: ignore[arg-type]

    monkeypatch.setattr(dialogs, "CameraDialog", with_fake)
    desk.press(Qt.Key.Key_K, CONTROL)
    found = desk.window.findChild(CameraDialog)
    assert found is not None
    return found


def test_a_frozen_frame_is_opened(desk: Desk, dialog: CameraDialog, tmp_path: Path) -> None:
    assert not dialog.freeze_button.isEnabled()
    FakeCamera.opened[0].give(FRAME)
    desk.qtbot.waitUntil(dialog.freeze_button.isEnabled)
    assert "40 by 30" in dialog.words.text()
    desk.qtbot.mouseClick(dialog.freeze_button, LEFT)
    assert FakeCamera.opened[0].closed
    desk.qtbot.waitUntil(lambda: desk.session.photo.width_px == 40)
    assert desk.session.photo.path.is_relative_to(tmp_path / "state")


def test_a_camera_that_fails_is_said_and_another_can_be_chosen(desk: Desk, dialog: CameraDialog) -> None:
    first = FakeCamera.opened[0]
    first.failed(InputError("there is no camera 0", "Choose another."))
    desk.qtbot.waitUntil(lambda: "there is no camera 0" in dialog.words.text())
    dialog.number.setValue(2)
    assert first.closed
    assert FakeCamera.opened[1].number == 2
    assert desk.window.controller.preferences.camera == 2
    first.give(FRAME)  # what comes late from the other camera
    FakeCamera.opened[1].give(FRAME[:10])
    desk.qtbot.waitUntil(lambda: "40 by 10" in dialog.words.text())
    dialog.reject()
    assert FakeCamera.opened[1].closed
