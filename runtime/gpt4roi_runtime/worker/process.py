"""The caller's side of the model's process: starts it, sends, hears, ends it. Keeps no order of things.

One object is one process: after a death there is a new object, so nothing of the old one can be mistaken for news.
"""

import os
import queue
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

import msgspec

from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.errors import EngineError
from gpt4roi_runtime.own_python import PACKAGE_HOME, command_of, own_environment
from gpt4roi_runtime.worker import messages as m
from gpt4roi_runtime.worker.wire import BrokenWireError, CutOffError, read_frame, write_frame

COMMAND = command_of("gpt4roi_runtime.worker.child")
_PATIENCE_S = 2.0
_N_LAST_WORDS = 60
_MAX_LINE_BYTES = 1000
_OWN_GROUP = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(subprocess, "CREATE_NO_WINDOW", 0)


_Frames = tuple[tuple[bytes, RgbImage | None], ...]


@dataclass(frozen=True)
class Letter:
    """A request, with its photo, uint8 ``[h w 3]`` in one piece of memory, where one follows it."""

    request: m.Request
    photo: RgbImage | None = None


class WorkerProcess:
    """A running model process.

    Args:
        hear: Called with every event, from a thread of its own; Died comes last, and once.
        command: What to start.

    Raises:
        EngineError: It cannot be started.
    """

    def __init__(self, hear: Callable[[m.Event], None], command: Sequence[str] = COMMAND) -> None:
        self._hear = hear
        self._outbox: queue.SimpleQueue[_Frames | None] = queue.SimpleQueue()
        self._last_words: deque[str] = deque(maxlen=_N_LAST_WORDS)
        self._closed = False
        self._ended_because = ""
        try:
            self._child = subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
                list(command),
                cwd=PACKAGE_HOME,
                env=own_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # A Ctrl-C in the terminal is for the caller, who decides what it means for the model.
                start_new_session=os.name == "posix",
                creationflags=_OWN_GROUP,
            )
        except OSError as error:
            raise EngineError(
                f"the model's process cannot be started: {error.strerror}", "Free some memory, then try again."
            ) from error
        works = (self._read_errors, self._write, self._read)
        self._threads = [threading.Thread(target=work, daemon=True) for work in works]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    def send(self, request: m.Request, photo: RgbImage | None = None) -> None:
        """Send a request, with its photo where it has one; returns at once.

        Raises:
            InputError: The request does not fit into a message.
        """
        self.send_all(Letter(request, photo))

    def send_all(self, *letters: Letter) -> None:
        """Send requests so that no other thread's come between them; returns at once.

        Raises:
            InputError: A request does not fit into a message; none is sent.
        """
        self._outbox.put(tuple((m.encoded(letter.request), letter.photo) for letter in letters))

    def kill(self) -> None:
        """End the process at once; no event is heard afterwards."""
        self._closed = True
        self._child.kill()
        self.close()

    def close(self) -> None:
        """End the process, by force where it does not go by itself; no event is heard afterwards."""
        self._closed = True
        self._outbox.put(None)
        self._ended()
        for thread in self._threads:
            if thread is not threading.current_thread():  # garbage is sometimes collected in one of them
                thread.join(_PATIENCE_S)

    def _ended(self) -> int:
        """Exit status of a process that has nothing more to do; by force where it does not go by itself."""
        try:
            return self._child.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._end_by_force("it had closed its pipe and did not leave")
            return self._child.wait()

    def _end_by_force(self, why: str) -> None:
        """Kill it, and remember why, unless it has ended in its own way."""
        if self._child.poll() is None:
            self._ended_because = why
            self._child.kill()

    def _write(self) -> None:
        sink = _pipe(self._child.stdin)
        with suppress(OSError):  # it died: the reading thread tells
            while (frames := self._outbox.get()) is not None:
                _write_frames(sink, frames)
                del frames  # a photo must not stay until the next request
        with suppress(OSError):
            sink.close()

    def _read(self) -> None:
        source = _pipe(self._child.stdout)
        decoder = msgspec.msgpack.Decoder(m.Event)
        try:
            while (frame := read_frame(source)) is not None:
                self._tell(decoder.decode(frame))
        except (CutOffError, OSError):
            pass  # it is ending: how, its exit status tells
        except (BrokenWireError, msgspec.MsgspecError) as error:
            self._end_by_force(f"what it sent is no message: {error}")
        source.close()
        self._outbox.put(None)
        exit_status = self._ended()
        self._threads[0].join(_PATIENCE_S)  # a process that it started may hold the pipe open
        self._tell(m.Died(0, exit_status, tuple(self._last_words), self._ended_because))

    def _read_errors(self) -> None:
        """Keep what engines print last, as it may say why they died; a terminal is not theirs."""
        source = _pipe(self._child.stderr)
        with suppress(OSError):
            while line := source.readline(_MAX_LINE_BYTES):
                if words := line.decode("utf-8", "replace").rstrip():
                    self._last_words.append(words)
        source.close()

    def _tell(self, event: m.Event) -> None:
        if not self._closed:
            self._hear(event)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # noqa: S101 - asked for above
    return stream


def _write_frames(sink: IO[bytes], frames: _Frames) -> None:
    for content, photo in frames:
        write_frame(sink, content)
        if photo is not None:
            write_frame(sink, photo.data.cast("B"))
