"""The embedded model behind a real window: draw, ask, read; and what happens when its process is killed."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed", exc_type=ImportError)
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from gpt4roi_desktop.places import Places
from gpt4roi_desktop.views.window import Window
from gpt4roi_runtime.worker.process import WorkerProcess
from tests.conftest import REPOSITORY
from tests.desktop.views.desk import LEFT, Desk

pytestmark = pytest.mark.bundle
PATIENCE_MS = 60_000


@pytest.fixture
def real(
    qtbot: QtBot, bundle_dir: Path, sample_photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY / 'runtime'}:{REPOSITORY / 'desktop_app'}")
    desk = Desk(qtbot, tmp_path)
    desk.window = Window(WorkerProcess, Places(tmp_path / "state"))
    qtbot.addWidget(desk.window)
    desk.canvas, desk.chat = desk.window.canvas, desk.window.chat
    desk.window.show()
    desk.window.controller.open_model(bundle_dir)
    desk.open_photo(sample_photo.with_name("astronaut.jpg"))
    yield desk
    desk.close()


def test_draw_ask_read(real: Desk) -> None:
    controller = real.window.controller
    real.draw((360, 5, 460, 280))
    real.qtbot.mouseClick(real.chat.what, LEFT)  # the model may still be loading: the question waits
    real.qtbot.waitUntil(lambda: bool(real.session.exchanges()[0].answer), timeout=PATIENCE_MS)
    begun = real.session.exchanges()[0].answer
    real.qtbot.waitUntil(lambda: real.session.exchanges()[0].state == "done", timeout=PATIENCE_MS)
    answer = real.session.exchanges()[0].answer
    assert answer.startswith(begun)
    assert "shuttle" in answer
    view = real.chat.view_of(real.session.exchanges()[0].id)
    assert view is not None
    assert "shuttle" in view.answer.text()
    real.qtbot.keyClick(real.canvas, Qt.Key.Key_F)
    controller.propose()
    real.qtbot.waitUntil(lambda: bool(controller.proposals), timeout=PATIENCE_MS)
    assert any(each.name == "person" for each in controller.proposals)


def test_a_killed_process_comes_back_with_photo_and_question(real: Desk) -> None:
    controller = real.window.controller
    real.qtbot.waitUntil(lambda: controller.stage == "ready", timeout=PATIENCE_MS)
    real.draw((360, 5, 460, 280))
    for child in psutil.Process().children():
        if "gpt4roi_runtime.worker.child" in child.cmdline():
            child.kill()
    real.qtbot.waitUntil(lambda: controller.stage == "dead", timeout=PATIENCE_MS)
    real.qtbot.mouseClick(real.chat.what, LEFT)
    real.qtbot.mouseClick(real.window.notice.button, LEFT)
    real.qtbot.waitUntil(lambda: real.session.exchanges()[0].state == "done", timeout=PATIENCE_MS)
    assert real.session.exchanges()[0].answer
