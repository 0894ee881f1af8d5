"""The way to the model's process: starts it, brings every event to the request it is of, starts it again after a death.

Knows what a restart needs, and no question.
"""

import os
import queue
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from threading import Lock
from typing import TypeVar

from msgspec.structs import replace

from gpt4roi_runtime.errors import BundleError, Cancelled, EngineError, WorkerDiedError
from gpt4roi_runtime.llm.decoder import CancelCheck
from gpt4roi_runtime.worker import messages as m
from gpt4roi_runtime.worker.faults import death, error_of, how_it_ended
from gpt4roi_runtime.worker.process import Letter, WorkerProcess

E = TypeVar("E")
MOST_FAILED_STARTS = 3

_CANCEL_POLL_S = 0.02
_POLL_S = None if os.name == "posix" else 0.2  # a wait without a limit cannot be interrupted by Ctrl-C on Windows


class Call:
    """A request on its way, and the events that come back for it.

    Attributes:
        id: Of the request.
        begun: Whether the process was working on it.
        over: Nothing comes any more, or nobody waits for it.
    """

    def __init__(self, request_id: int, doing: str, connection: "Connection") -> None:
        self.id = request_id
        self.begun = False
        self.over = False
        self._doing = doing
        self._connection = connection
        self._events: queue.SimpleQueue[m.Event] = queue.SimpleQueue()

    def put(self, event: m.Event) -> None:
        """Deliver an event; called in the thread that hears the process."""
        self._events.put(event)

    def next(self, cancel: CancelCheck | None) -> m.Event:
        """Wait for the next event; what interrupts the wait, Ctrl-C above all, stops the request.

        Notes of the store are passed on meanwhile, from this thread.

        Raises:
            Gpt4RoiError: The request failed, or the process died over it.
            Cancelled: ``cancel`` said so.
        """
        try:
            while isinstance(event := self._take(cancel), m.Noted):
                self._connection.on_note(event.text)
        except BaseException:
            self.drop()
            raise
        self.begun = self.begun or isinstance(event, m.Begun)
        self.over = not isinstance(event, m.Progress)
        match event:
            case m.Failed():
                raise error_of(event)
            case m.Stopped():
                raise Cancelled
            case m.Died():
                raise closed_error() if self._connection.closed else death(event, self._doing)
        return event

    def until(self, kind: type[E], cancel: CancelCheck | None) -> E:
        """Wait for an event of a kind; see ``next``."""
        while True:
            event = self.next(cancel)
            if isinstance(event, kind):
                return event

    def drop(self) -> None:
        """Nobody waits any more: stop the work. Takes no lock, so that garbage collection may call it."""
        if not self.over:
            self.over = True
            self._connection.process.send(m.Cancel(self.id))

    def _take(self, cancel: CancelCheck | None) -> m.Event:
        wait_s = _POLL_S if cancel is None else _CANCEL_POLL_S
        while cancel is None or not cancel():
            with suppress(queue.Empty):
                return self._events.get(timeout=wait_s)
        raise Cancelled


class Connection:
    """One process and the requests that are with it.

    Attributes:
        process: The process.
        on_note: Hears what the process's store has to say.
        died: Its end, or None while it lives.
        closed: Whether it lived until it was ended by us.
    """

    def __init__(self, command: Sequence[str], on_note: Callable[[str], None]) -> None:
        self.on_note = on_note
        self.died: m.Died | None = None
        self.closed = False
        self._calls: dict[int, Call] = {}
        self.process = WorkerProcess(self._hear, command)

    def send(self, doing: str, *letters: Letter) -> list[Call]:
        """Send requests one right behind the other.

        Raises:
            InputError: A request does not fit into a message; none is sent.
        """
        calls = [Call(letter.request.id, doing, self) for letter in letters]
        self._calls.update((call.id, call) for call in calls)
        try:
            self.process.send_all(*letters)
        except BaseException:
            for call in calls:
                self._calls.pop(call.id)
            raise
        if self.died is not None:  # it may have died before these calls were there to hear of it
            self._hear(self.died)
        return calls

    def close(self, end: Callable[[WorkerProcess], None] = WorkerProcess.close) -> None:
        """End the process; whoever waits for it hears that it is closed, or that it had died before."""
        end(self.process)
        if self.died is None:
            self.closed = True
            self._hear(m.Died(0, 0))

    def _hear(self, event: m.Event) -> None:
        if isinstance(event, m.Died):
            self.died = event
            for waiting in self._calls.copy().values():
                waiting.put(event)
            return
        call = self._calls.get(event.id) if isinstance(event, m.Progress) else self._calls.pop(event.id, None)
        if call is not None:
            call.put(event)


class Line:
    """The way to a process that may be another one tomorrow. Calls may come from any thread.

    Args:
        wanted: What a process is to open first.
        bundle_id: Of the bundle that it must be.
        command: How to start it.
        on_note: Hears what its store has to say, from the thread of the caller whose request it is about.

    Attributes:
        opened: What the process said of itself when it was last started.
    """

    def __init__(
        self, wanted: m.OpenBundle, bundle_id: str, command: Sequence[str], on_note: Callable[[str], None]
    ) -> None:
        self.opened: m.BundleOpened | None = None
        self._wanted = wanted
        self._bundle_id = bundle_id
        self._command = command
        self._on_note = on_note
        self._ids = count(1)
        self._gate = Lock()
        self._connection: Connection | None = None
        self._n_failed_starts = 0
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        connection = self._connection
        return None if connection is None or connection.died is not None else connection.process.pid

    def begin(self, letter: Letter, doing: str, cancel: CancelCheck | None, image: Letter | None = None) -> Call:
        """Send a request, and wait until the process works on it.

        A process that died before, or while it did something else, is replaced without a word.

        Args:
            letter: The request; its id is given here.
            doing: For the words of an error, such as "answering".
            cancel: Asked while waiting; True stops the request.
            image: Opens the image that the request is about, where the process does not know it.

        Raises:
            Gpt4RoiError: The process cannot be started, or died over the request, or the image cannot be opened.
            Cancelled: ``cancel`` said so.
        """
        n_lives, letters = 2, [letter]
        while True:
            calls = self.connection(cancel).send(doing, *map(self._numbered, letters))
            try:
                for opening in calls[:-1]:
                    opening.until(m.ImageOpened, cancel)
                event = calls[-1].next(cancel)
            except WorkerDiedError:
                n_lives -= 1
                if not n_lives or any(call.begun for call in calls):
                    raise
                continue
            except BaseException:
                for call in calls:
                    call.drop()
                raise
            if not isinstance(event, m.PhotoWanted):
                return calls[-1]
            if image is None or len(letters) > 1:
                raise EngineError("the model's process does not keep the image", "Encode it again.")
            letters = [image, letter]

    def connection(self, cancel: CancelCheck | None) -> Connection:
        """The process with its bundle open, started where none lives.

        Raises:
            Gpt4RoiError: It cannot be started, or cannot open the bundle.
            Cancelled: ``cancel`` said so.
        """
        limit_s = _CANCEL_POLL_S if cancel is not None else _POLL_S or -1
        while not self._gate.acquire(timeout=limit_s):  # another thread starts it
            if cancel is not None and cancel():
                raise Cancelled
        try:
            if self._closed:
                raise closed_error()
            if self._connection is not None and self._connection.died is None:
                return self._connection
            return self._start(cancel)
        finally:
            self._gate.release()

    def close(self) -> None:
        """End the process and start no other; twice is harmless. Takes no lock that a waiting caller holds."""
        self._closed = True
        if (connection := self._connection) is not None:
            connection.close()

    def _start(self, cancel: CancelCheck | None) -> Connection:
        last = self._connection
        if last is not None:
            last.close()
            if self._n_failed_starts >= MOST_FAILED_STARTS and last.died is not None:
                raise WorkerDiedError(
                    f"the model's process ended {self._n_failed_starts} times in a row while it loaded the model; the "
                    f"last one {how_it_ended(last.died)}",
                    "It is not started again. `gpt4roi doctor` shows the state of the engines, and `gpt4roi plan` "
                    "whether the memory suffices.",
                    last.died.last_words,
                )
        connection = self._connection = Connection(self._command, self._on_note)
        if self._closed:  # while it was started
            connection.close(WorkerProcess.kill)
            raise closed_error()
        try:
            (call,) = connection.send("loading the model", self._numbered(Letter(self._wanted)))
            opened = call.until(m.BundleOpened, cancel)
            self._check_same(opened)
        except WorkerDiedError:
            self._n_failed_starts += 1
            raise
        except BaseException:  # nobody waits for the loading any more, and it cannot be stopped otherwise
            connection.close(WorkerProcess.kill)
            self._connection = None
            raise
        self._n_failed_starts, self.opened = 0, opened
        return connection

    def _check_same(self, opened: m.BundleOpened) -> None:
        if opened.bundle_id != self._bundle_id:
            folder = os.fsdecode(self._wanted.folder)
            raise BundleError(f"the bundle {folder} was replaced while it was in use", "Open it again.")

    def _numbered(self, letter: Letter) -> Letter:
        return Letter(replace(letter.request, id=next(self._ids)), letter.photo)


def closed_error() -> EngineError:
    """What every request to a closed process raises."""
    return EngineError("the model is closed", "Open it again.")
