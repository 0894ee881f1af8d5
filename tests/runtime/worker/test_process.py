"""A real process and a real pipe, as a window uses them: requests go, events come."""

import os
import queue
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import psutil
import pytest

from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.backends.load import EngineSettings
from gpt4roi_runtime.errors import EngineError, InputError, QuestionError
from gpt4roi_runtime.llm.decoder import Sampling
from gpt4roi_runtime.worker import messages as m
from gpt4roi_runtime.worker.process import Letter, WorkerProcess
from gpt4roi_runtime.worker.wire import MAX_MESSAGE_BYTES, BrokenWireError, read_frame, write_frame
from tests.runtime.worker.conftest import COMMAND, PATIENCE_S, photo


class Wire:
    """A worker, and the events it said."""

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[m.Event] = queue.SimpleQueue()
        self.worker = WorkerProcess(self.events.put, COMMAND)

    def next(self) -> m.Event:
        return self.events.get(timeout=PATIENCE_S)

    def until(self, *kinds: type[m.Event]) -> m.Event:
        while not isinstance(event := self.next(), kinds):
            pass
        return event

    def ask(self, number: int, question: str) -> None:
        self.worker.send(m.Ask(number, question, {}))


@pytest.fixture(scope="module")
def wire(importable: None) -> Iterator[Wire]:
    """One for all tests that leave it alive; each opens its bundle anew."""
    wire = Wire()
    yield wire
    wire.worker.close()


@pytest.fixture
def ready(wire: Wire, folder: Path) -> Wire:
    return with_photo(wire, folder)


@pytest.fixture
def mortal(importable: None, folder: Path) -> Iterator[Wire]:
    """One for a test that ends it."""
    wire = Wire()
    yield with_photo(wire, folder)
    wire.worker.close()


def with_photo(wire: Wire, folder: Path) -> Wire:
    wire.worker.send(m.OpenBundle(1, os.fsencode(folder)))
    while not isinstance(wire.next(), m.BundleOpened):
        pass  # the last events of the test before
    show(wire, 2)
    return wire


def show(wire: Wire, number: int, value: int = 51) -> None:
    wire.worker.send(m.OpenImage(number, 30, 20), photo(value))
    opened = wire.until(m.ImageOpened)
    assert opened.id == number


def test_a_question_and_its_answer(ready: Wire) -> None:
    ready.worker.send(m.Ask(3, "<region1>?", {1: (0, 0, 1, 1)}, (("q", "a"),)))
    assert [ready.next(), ready.next()] == [m.Begun(3), m.Accepted(3)]
    texts = []
    while isinstance(event := ready.next(), m.Text):
        assert event.id == 3
        texts.append(event.text)
    assert isinstance(event, m.Answered)
    assert event.done.answer == "".join(texts)
    assert event.done.answer.startswith("region1 ?|51|1|")
    assert [turn.question for turn in event.done.history] == ["q", "<region1>?"]
    assert event.memory_bytes > 1 << 20


def test_a_shown_photo_is_prepared_until_another_one_comes(ready: Wire) -> None:
    show(ready, 3, value=0)
    show(ready, 4, value=51)
    ready.ask(5, "hello")
    answered = ready.until(m.Answered)
    assert isinstance(answered, m.Answered)
    assert answered.done.n_kept_rows > 0


def test_settings_are_of_questions_that_name_none(wire: Wire, folder: Path) -> None:
    settings = EngineSettings(vision_threads=2, language=LlamaCppSettings(n_threads=1, context_length=640))
    sampling = Sampling(temperature=0.75)
    wire.worker.send(m.OpenBundle(1, os.fsencode(folder), settings, sampling, max_tokens=40))
    show(wire, 2)
    wire.ask(3, "hello")
    answered = wire.until(m.Answered)
    assert isinstance(answered, m.Answered)
    assert answered.done.answer.endswith("|0.75")
    wire.worker.send(m.Ask(4, "hello", {}, sampling=Sampling(temperature=0.5), max_tokens=2))
    answered = wire.until(m.Answered)
    assert isinstance(answered, m.Answered)
    assert answered.done.n_answer_tokens == 2


def test_who_has_nothing_to_do_takes_no_time(ready: Wire) -> None:
    """Neither side asks a clock while nobody asks anything: the processor's seconds of a second of silence."""
    ready.ask(3, "hello")
    ready.until(m.Answered)
    both = (psutil.Process(ready.worker.pid), psutil.Process())
    before = [sum(process.cpu_times()[:2]) for process in both]
    with pytest.raises(queue.Empty):
        ready.events.get(timeout=1.0)
    spent = [sum(process.cpu_times()[:2]) - then for process, then in zip(both, before, strict=True)]
    assert max(spent) < 0.1


def test_many_boxes(ready: Wire) -> None:
    ready.worker.send(m.AskEach(3, "<region1>?", ((0, 0, 1, 1), (0, 0, 2, 2))))
    answers = [ready.until(m.BoxAnswered, m.AllAnswered) for _ in range(3)]
    assert {each.index for each in answers if isinstance(each, m.BoxAnswered)} == {0, 1}
    assert isinstance(answers[-1], m.AllAnswered)


def test_a_question_about_an_image_that_is_not_there(ready: Wire, folder: Path) -> None:
    ready.worker.send(m.Ask(3, "hello", {}, image=17))
    assert ready.next() == m.PhotoWanted(3)
    ready.worker.send_all(Letter(m.OpenImage(4, 30, 20, image=17), photo(102)), Letter(m.Ask(5, "hello", {}, image=17)))
    answered = ready.until(m.Answered)
    assert isinstance(answered, m.Answered)
    assert answered.done.answer.startswith("hello|102|2|")
    ready.worker.send(m.OpenBundle(6, os.fsencode(folder)))
    ready.ask(7, "hello")
    assert ready.until(m.Failed) == m.Failed(7, "no photo is open", "Open one, then ask again.")


def test_an_answer_is_stopped_in_its_midst_and_the_next_one_comes(ready: Wire) -> None:
    ready.ask(3, "endless")
    ready.until(m.Text)
    ready.worker.send(m.Cancel(3))
    assert ready.until(m.Stopped, m.Answered) == m.Stopped(3)
    ready.ask(4, "hello")
    assert isinstance(ready.until(m.Answered), m.Answered)


def test_a_question_is_stopped_before_it_begins(ready: Wire) -> None:
    ready.ask(3, "endless")
    ready.until(m.Text)
    ready.ask(4, "hello")
    ready.worker.send(m.Cancel(4))
    ready.worker.send(m.Cancel(3))
    ready.worker.send(m.Cancel(99))
    ended = [event for event in iter(ready.next, m.Stopped(4)) if not isinstance(event, m.Text)]
    assert ended == [m.Stopped(3)]


def test_errors_and_bugs_come_as_words_and_the_process_lives(ready: Wire, tmp_path: Path) -> None:
    ready.ask(3, "fail")
    assert ready.until(m.Failed) == m.Failed(3, "no", "Say yes.", "QuestionError")
    ready.ask(4, "bug")
    failed = ready.until(m.Failed)
    assert isinstance(failed, m.Failed)
    assert "KeyError" in failed.problem
    (tmp_path / "empty").mkdir()
    ready.worker.send(m.OpenBundle(5, os.fsencode(tmp_path / "empty")))
    failed = ready.until(m.Failed)
    assert isinstance(failed, m.Failed)
    assert (failed.id, failed.error) == (5, "BundleError")
    ready.ask(6, "hello")
    assert ready.until(m.Failed) == m.Failed(6, "no model is loaded", "Choose a model's folder.")


def test_death_is_told_with_its_status_and_words(mortal: Wire) -> None:
    mortal.ask(3, "exit")
    assert mortal.until(m.Died) == m.Died(0, 3, ("out of luck",))


def test_a_killed_process_is_told(mortal: Wire) -> None:
    psutil.Process(mortal.worker.pid).kill()
    assert mortal.until(m.Died) == m.Died(0, -signal.SIGKILL)


def test_garbage_on_the_pipe_ends_the_process(mortal: Wire) -> None:
    mortal.ask(3, "garbage")
    died = mortal.until(m.Died)
    assert isinstance(died, m.Died)
    assert died.exit_status == -signal.SIGKILL
    assert "no message" in died.ended_because


@pytest.mark.parametrize("frame", [b"no message", msgspec.msgpack.encode({"kind": "ask", "id": "x"})])
def test_a_process_that_hears_garbage_leaves(mortal: Wire, frame: bytes) -> None:
    mortal.worker._outbox.put(((frame, None),))
    assert mortal.until(m.Died) == m.Died(0, 0)


def test_a_process_that_hears_of_a_photo_of_another_size_leaves(mortal: Wire) -> None:
    mortal.worker.send(m.OpenImage(3, 30, 21), photo())
    assert mortal.until(m.Died) == m.Died(0, 0)


def test_a_request_that_fits_no_message_is_not_sent(ready: Wire) -> None:
    with pytest.raises(InputError, match="the most is"):
        ready.ask(3, "x" * MAX_MESSAGE_BYTES)
    with pytest.raises(QuestionError, match="not a character"):
        ready.ask(3, "\ud800")
    for wrong in ("9", 10**30, object()):
        with pytest.raises(InputError, match="cannot be sent"):
            ready.worker.send(m.Ask(3, "hello", {}, max_tokens=wrong))  # type: ignore[arg-type]
    ready.ask(4, "hello")
    assert ready.next() == m.Begun(4)


def test_closing_during_an_answer_leaves_no_process(mortal: Wire) -> None:
    mortal.ask(3, "endless")
    mortal.until(m.Text)
    pid = mortal.worker.pid
    mortal.worker.close()
    assert not psutil.pid_exists(pid)
    heard = [mortal.events.get_nowait() for _ in range(mortal.events.qsize())]
    assert not any(isinstance(event, m.Died) for event in heard)


def test_a_command_that_is_not_there() -> None:
    with pytest.raises(EngineError, match="cannot be started"):
        WorkerProcess(lambda _: None, ("/nonexistent/python",))


def test_settings_go_there_and_back() -> None:
    language = LlamaCppSettings(n_threads=3, context_length=512, flash_attention="off", kept_bytes=0)
    request = m.OpenBundle(1, b"folder", EngineSettings(2, language), Sampling(0.5, 3, 0.5, 7), 9)
    assert msgspec.msgpack.decode(m.encoded(request), type=m.Request) == request
    assert replace(language) == request.settings.language  # type: ignore[union-attr]


class TestFrames:
    def test_there_and_back(self, tmp_path: Path) -> None:
        with (tmp_path / "pipe").open("w+b") as pipe:
            write_frame(pipe, b"abc")
            write_frame(pipe, b"")
            pipe.seek(0)
            assert read_frame(pipe) == b"abc"
            assert read_frame(pipe) == b""
            assert read_frame(pipe) is None

    @pytest.mark.parametrize("content", [b"\x00\x00", b"\x00\x00\x00\x05abc", b"\xff\xff\xff\xff"])
    def test_what_is_no_frame(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "pipe").write_bytes(content)
        with (tmp_path / "pipe").open("rb") as pipe, pytest.raises(BrokenWireError):
            read_frame(pipe)
