"""The window's side of the model's process: starts it, sends, hears, ends it. Knows no Qt and keeps no order of things.

One object is one process: after a death there is a new object, so nothing of the old one can be mistaken for news.
"""

import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from gpt4roi_desktop.worker import messages as m
from gpt4roi_desktop.worker.wire import BrokenWireError, read_frame, write_frame
from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.errors import EngineError

COMMAND = (sys.executable, "-m", "gpt4roi_desktop.worker.child")
_PATIENCE_S = 2.0


@dataclass(frozen=True)
class _Letter:
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
        self._letters: queue.SimpleQueue[_Letter | None] = queue.SimpleQueue()
        self._closed = False
        try:
            self._child = subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
                list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        except OSError as error:
            raise EngineError(
                f"the model's process cannot be started: {error.strerror}", "Free some memory, then try again."
            ) from error
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._write, self._read)]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    def send(self, request: m.Request, photo: RgbImage | None = None) -> None:
        """Send a request, with its photo where it has one; returns at once."""
        self._letters.put(_Letter(request, photo))

    def close(self) -> None:
        """End the process, by force where it does not go by itself; no event is heard afterwards."""
        self._closed = True
        self._letters.put(None)
        try:
            self._child.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        for thread in self._threads:
            thread.join(_PATIENCE_S)

    def _write(self) -> None:
        sink = self._child.stdin
        assert sink is not None  # noqa: S101 - asked for above
        with suppress(OSError):  # it died: the reading thread tells
            while (letter := self._letters.get()) is not None:
                write_frame(sink, msgspec.msgpack.encode(letter.request))
                if letter.photo is not None:
                    write_frame(sink, letter.photo.data.cast("B"))
        with suppress(OSError):
            sink.close()

    def _read(self) -> None:
        source = self._child.stdout
        assert source is not None  # noqa: S101 - asked for above
        decoder = msgspec.msgpack.Decoder(m.Event)
        try:
            while (frame := read_frame(source)) is not None:
                self._tell(decoder.decode(frame))
        except (BrokenWireError, msgspec.MsgspecError, OSError):
            self._child.kill()
        source.close()
        self._letters.put(None)
        self._tell(m.Died(0, self._child.wait()))

    def _tell(self, event: m.Event) -> None:
        if not self._closed:
            self._hear(event)
