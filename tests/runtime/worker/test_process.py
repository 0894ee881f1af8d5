"""A real process and a real pipe, with a model that does what the question says."""

import io
import os
import queue
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from gpt4roi_desktop.worker import messages as m
from gpt4roi_desktop.worker.process import WorkerProcess
from gpt4roi_desktop.worker.wire import BrokenWireError, read_frame, write_frame
from gpt4roi_runtime.errors import EngineError

PATIENCE_S = 30
COMMAND = (sys.executable, "-m", "tests.desktop.worker_child")
REPOSITORY = Path(__file__).resolve().parents[2]


class Wire:
    """A worker, and the events it said."""

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[m.Event] = queue.SimpleQueue()
        self.worker = WorkerProcess(self.events.put, COMMAND)

    def next(self) -> m.Event:
        return self.events.get(timeout=PATIENCE_S)

    def ask(self, number: int, question: str) -> None:
        self.worker.send(m.Ask(number, question, {1: (0, 0, 1, 1)}, (("q", "a"),)))


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    folders = [str(REPOSITORY), str(REPOSITORY / "runtime"), str(REPOSITORY / "desktop_app")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*folders, os.environ.get("PYTHONPATH", "")]))
    wire = Wire()
    yield wire
    wire.worker.close()


@pytest.fixture
def ready(wire: Wire) -> Wire:
    wire.worker.send(m.OpenBundle(1, b"folder"))
    assert isinstance(wire.next(), m.BundleOpened)
    wire.worker.send(m.OpenImage(2, 30, 20), np.ones((20, 30, 3), dtype=np.uint8))
    assert wire.next() == m.ImageOpened(2, 0.5)
    return wire


def test_a_question_and_its_answer(ready: Wire) -> None:
    ready.ask(3, "hello")
    text = "hello (20, 30, 3) 1800 [1] (('q', 'a'),) True"
    assert ready.next() == m.Text(3, text)
    done = ready.next()
    assert isinstance(done, m.Answered)
    assert (done.id, done.answer) == (3, text)


def test_a_photo_is_prepared_until_another_one_comes(ready: Wire) -> None:
    ready.worker.send(m.OpenImage(3, 30, 20), np.zeros((20, 30, 3), dtype=np.uint8))
    assert ready.next() == m.ImageOpened(3, 0.5)
    ready.worker.send(m.OpenImage(4, 30, 20), np.ones((20, 30, 3), dtype=np.uint8))
    assert ready.next() == m.ImageOpened(4, 0.5)
    ready.ask(5, "hello")
    text = ready.next()
    assert isinstance(text, m.Text)
    assert text.text.endswith(" True")


def test_proposals(ready: Wire) -> None:
    ready.worker.send(m.Propose(3))
    assert ready.next() == m.Proposed(3, (m.Found((1, 2, 3, 4), "cup", 0.9),))


def test_an_answer_is_stopped_in_its_midst_and_the_next_one_comes(ready: Wire) -> None:
    ready.ask(3, "endless")
    assert ready.next() == m.Text(3, "word ")
    ready.worker.send(m.Cancel(3))
    while (event := ready.next()) == m.Text(3, "word "):
        pass
    assert event == m.Stopped(3)
    ready.ask(4, "hello")
    assert isinstance(ready.next(), m.Text)


def test_a_question_is_stopped_before_it_begins(ready: Wire) -> None:
    ready.ask(3, "endless")
    ready.next()
    ready.ask(4, "hello")
    ready.worker.send(m.Cancel(4))
    ready.worker.send(m.Cancel(3))
    ended = [event for event in iter(ready.next, m.Stopped(4)) if not isinstance(event, m.Text)]
    assert ended == [m.Stopped(3)]


def test_errors_and_bugs_come_as_words_and_the_process_lives(ready: Wire) -> None:
    ready.ask(3, "fail")
    assert ready.next() == m.Failed(3, "no", "Say yes.")
    ready.ask(4, "bug")
    failed = ready.next()
    assert isinstance(failed, m.Failed)
    assert "KeyError" in failed.problem
    ready.worker.send(m.OpenBundle(5, b"missing"))
    assert ready.next() == m.Failed(5, "missing is missing", "Choose another.")
    ready.ask(6, "hello")
    assert ready.next() == m.Failed(6, "no model is loaded", "Choose a model's folder.")


def test_death_is_told_with_its_status(ready: Wire) -> None:
    ready.ask(3, "die")
    assert ready.next() == m.Died(0, 3)


def test_a_killed_process_is_told(ready: Wire) -> None:
    psutil.Process(ready.worker.pid).kill()
    assert ready.next() == m.Died(0, -9)


def test_garbage_on_the_pipe_ends_the_process(ready: Wire) -> None:
    ready.ask(3, "garbage")
    assert ready.next() == m.Died(0, -9)


def test_closing_during_an_answer_leaves_no_process(ready: Wire) -> None:
    ready.ask(3, "endless")
    ready.next()
    pid = ready.worker.pid
    ready.worker.close()
    assert not psutil.pid_exists(pid)
    heard = [ready.events.get_nowait() for _ in range(ready.events.qsize())]
    assert not any(isinstance(event, m.Died) for event in heard)


def test_a_command_that_is_not_there() -> None:
    with pytest.raises(EngineError, match="cannot be started"):
        WorkerProcess(lambda _: None, ("/nonexistent/python",))


class TestFrames:
    def test_there_and_back(self) -> None:
        pipe = io.BytesIO()
        write_frame(pipe, b"abc")
        write_frame(pipe, b"")
        pipe.seek(0)
        assert read_frame(pipe) == b"abc"
        assert read_frame(pipe) == b""
        assert read_frame(pipe) is None

    @pytest.mark.parametrize("content", [b"\x00\x00", b"\x00\x00\x00\x05abc", b"\xff\xff\xff\xff"])
    def test_what_is_no_frame(self, content: bytes) -> None:
        with pytest.raises(BrokenWireError):
            read_frame(io.BytesIO(content))
