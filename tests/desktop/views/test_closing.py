"""Closing: the window goes at once, whatever its model's process does, and nothing is left behind."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed", exc_type=ImportError)
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from PySide6.QtWidgets import QDialog
from pytestqt.qtbot import QtBot

from gpt4roi_desktop.places import Places
from gpt4roi_desktop.views.bridge import Bridge
from gpt4roi_desktop.views.window import Window
from gpt4roi_runtime.worker import messages as m
from gpt4roi_runtime.worker.process import WorkerProcess
from tests.desktop.fakes import FakeWorker
from tests.desktop.views.desk import LEFT, Desk

PATIENCE_S = 30.0


class Stubborn(FakeWorker):
    """A process that does not go until it may."""

    def __init__(self, hear: Callable[[m.Event], None]) -> None:
        super().__init__(hear)
        self.may_go = threading.Event()
        self.closed_by: list[threading.Thread] = []

    def close(self) -> None:
        self.closed_by.append(threading.current_thread())
        assert self.may_go.wait(PATIENCE_S)
        super().close()


def asked(desk: Desk) -> Desk:
    desk.draw((20, 10, 80, 60))
    desk.qtbot.mouseClick(desk.chat.what, LEFT)
    assert desk.window.controller.running is not None
    return desk


def test_closing_during_an_answer(desk: Desk) -> None:
    asked(desk).close()
    assert desk.worker.closed
    assert desk.window.places.autosaved(desk.session.photo.sha256).exists()
    session = desk.session
    desk.worker.answer("late")
    desk.qtbot.wait(1)
    assert desk.session is session


def test_a_process_that_does_not_go_does_not_keep_the_window(desk: Desk) -> None:
    stubborn = Stubborn(desk.worker.say)
    desk.window.controller._process._worker = stubborn
    asked(desk).window.close()
    assert not desk.window.isVisible()
    assert not stubborn.closed
    stubborn.answer("late")  # it still talks; nobody is there to hear
    stubborn.may_go.set()
    desk.window.bridge.join()
    assert stubborn.closed
    (closer,) = stubborn.closed_by
    assert closer is not threading.current_thread()
    assert not closer.is_alive()
    assert desk.window.places.kept(desk.session.photo.sha256) is not None


def test_a_process_that_died_is_tidied_away_aside(desk: Desk) -> None:
    stubborn = Stubborn(desk.worker.say)
    desk.window.controller._process._worker = stubborn
    desk.window.controller._process._hear(stubborn, m.Died(0, -9))
    assert desk.window.controller.stage == "dead"
    desk.qtbot.waitUntil(lambda: bool(stubborn.closed_by))
    assert not stubborn.closed
    stubborn.may_go.set()
    desk.close()
    assert stubborn.closed


def test_neither_thread_nor_process_stays(qtbot: QtBot, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    idle = [sys.executable, "-c", "import sys; sys.stdin.buffer.read()"]
    begun: list[WorkerProcess] = []

    def launch(hear: Callable[[m.Event], None]) -> WorkerProcess:
        begun.append(WorkerProcess(hear, idle))
        return begun[-1]

    window = Window(launch, Places(tmp_path / "state"))
    qtbot.addWidget(window)
    window.show()
    window.controller.open_model(tmp_path)
    (process,) = begun
    assert psutil.pid_exists(process.pid)
    window.close()
    window.bridge.join()
    assert not psutil.pid_exists(process.pid)  # a zombie would still have its number
    assert set(threading.enumerate()) <= before


def test_closing_twice_is_closing_once(desk: Desk) -> None:
    asked(desk).close()
    desk.window.show()
    desk.close()
    assert not desk.window.isVisible()


def test_an_open_dialog_goes_too(desk: Desk) -> None:
    desk.window.actions_by_name["settings"].trigger()
    dialog = desk.window.findChild(QDialog)
    assert dialog is not None
    ended: list[int] = []
    dialog.finished.connect(ended.append)
    desk.window.close()
    assert ended == [QDialog.DialogCode.Rejected]


class TestBridge:
    def test_what_is_posted_before_and_run_after_is_dropped(self, qtbot: QtBot) -> None:
        bridge, ran = Bridge(), list[str]()
        bridge.post(lambda: ran.append("early"))
        qtbot.waitUntil(lambda: ran == ["early"])
        bridge.post(lambda: ran.append("late"))
        bridge.close()
        bridge.post(lambda: ran.append("too late"))
        bridge.aside(lambda: ran.append("aside"), lambda _: None, lambda _: None)
        bridge.join()
        qtbot.wait(1)
        assert ran == ["early"]

    def test_closing_waits_for_a_thread_that_is_posting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Or the signal would be sent from an object that Qt deletes meanwhile."""
        bridge = Bridge()
        posting, may_go = threading.Event(), threading.Event()

        class Slow:
            def emit(self, _: Any) -> None:
                posting.set()
                assert may_go.wait(PATIENCE_S)

        monkeypatch.setattr(bridge, "_called", Slow())
        poster = threading.Thread(target=bridge.post, args=[lambda: None])
        closer = threading.Thread(target=bridge.close)
        poster.start()
        assert posting.wait(PATIENCE_S)
        closer.start()
        closer.join(0.05)
        assert closer.is_alive()
        may_go.set()
        for thread in (poster, closer):
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
        posting.clear()
        bridge.post(lambda: None)
        assert not posting.is_set()

    def test_what_was_begun_is_finished(self) -> None:
        bridge, done = Bridge(), list[int]()
        for number in range(3):
            bridge.aside(lambda number=number: done.append(number), lambda _: None, lambda _: None)  # type: ignore[misc]
        bridge.close()
        bridge.join()
        assert done == [0, 1, 2]
