"""The model's side of the conversation: requests in, events out, one at a time, cancellable. Knows no engine.

One thread reads, so that a cancel is heard while an answer is being written; the other does the work.
"""

import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec
import numpy as np

from gpt4roi_desktop.worker import messages as m
from gpt4roi_desktop.worker.wire import BrokenWireError, read_frame, write_frame
from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.errors import Cancelled, Gpt4RoiError
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.image import DEFAULT_MAX_PIXELS
from gpt4roi_runtime.prompt import Turn

CancelCheck = Callable[[], bool]


class Model(Protocol):
    """What the service asks of a model; every call may raise a Gpt4RoiError."""

    def opened(self, request_id: int) -> m.BundleOpened:
        """What was loaded."""

    def encode(self, photo: RgbImage) -> float:
        """Take a photo, uint8 ``[h w 3]``, for the questions that follow; returns seconds."""

    def prepare(self, cancel: CancelCheck) -> None:
        """Compute ahead what every question about the photo begins with."""

    def answer(self, request: m.Ask, cancel: CancelCheck) -> Iterator[m.Text | m.Answered]:
        """Stream an answer about the photo."""

    def propose(self) -> tuple[m.Found, ...]:
        """Boxes on the photo."""

    def close(self) -> None:
        """Free everything."""


@dataclass(frozen=True)
class _Job:
    request: m.Request
    pixels: bytearray | None = None


class Service:
    """Serves one window until it closes the pipe.

    Attributes:
        model: The model that was opened last.
    """

    def __init__(self, source: BinaryIO, sink: BinaryIO, open_model: Callable[[Path], Model]) -> None:
        self.model: Model | None = None
        self._source = source
        self._sink = sink
        self._open_model = open_model
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._closing = threading.Event()
        self._last_image = -1

    def run(self) -> None:
        """Serve until the window is gone."""
        threading.Thread(target=self._listen, name="requests", daemon=True).start()
        try:
            while (job := self._jobs.get()) is not None:
                self._do(job)
        except OSError:  # nobody reads us any more
            pass
        finally:
            if self.model is not None:
                self.model.close()

    def _listen(self) -> None:
        decoder = msgspec.msgpack.Decoder(m.Request)
        try:
            while (frame := read_frame(self._source)) is not None:
                request = decoder.decode(frame)
                match request:
                    case m.Cancel():
                        self._cancelled.add(request.id)
                    case m.OpenImage():
                        self._last_image = request.id
                        self._jobs.put(_Job(request, read_frame(self._source, DEFAULT_MAX_PIXELS * 3)))
                    case _:
                        self._jobs.put(_Job(request))
        except (BrokenWireError, msgspec.MsgspecError, OSError):  # the window died in the middle of a word
            pass
        finally:
            self._closing.set()
            self._jobs.put(None)

    def _do(self, job: _Job) -> None:
        request = job.request

        def cancel() -> bool:
            return self._closing.is_set() or request.id in self._cancelled

        if cancel():
            self._send(m.Stopped(request.id))
            return
        try:
            for event in self._events(job, cancel):
                self._send(event)
        except Cancelled:
            self._send(m.Stopped(request.id))
        except Gpt4RoiError as error:
            self._send(m.Failed(request.id, error.problem, error.advice))
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug must reach the window as a message, not as a silence
            self._send(m.Failed(request.id, f"unexpected {type(error).__name__}: {error}", "Please report it."))

    def _events(self, job: _Job, cancel: CancelCheck) -> Iterator[m.Event]:
        match job.request:
            case m.OpenBundle(id=number, folder=folder):
                if self.model is not None:
                    self.model.close()
                    self.model = None
                self.model = self._open_model(Path(os.fsdecode(folder)))
                yield self.model.opened(number)
            case m.OpenImage(id=number, width_px=width, height_px=height):
                pixels = np.frombuffer(job.pixels or b"", dtype=np.uint8).reshape(height, width, 3)
                yield m.ImageOpened(number, self._loaded().encode(pixels))
                # The person is still drawing; only another photo makes this useless.
                with suppress(Cancelled):
                    self._loaded().prepare(lambda: self._closing.is_set() or self._last_image != number)
            case m.Ask() as ask:
                yield from self._loaded().answer(ask, cancel)
            case m.Propose(id=number):
                yield m.Proposed(number, self._loaded().propose())

    def _loaded(self) -> Model:
        if self.model is None:
            raise Gpt4RoiError("no model is loaded", "Choose a model's folder.")
        return self.model

    def _send(self, event: m.Event) -> None:
        write_frame(self._sink, msgspec.msgpack.encode(event))


def boxes_of(ask: m.Ask) -> dict[int, Box]:
    """The boxes of a question by number."""
    return {number: Box(*corners) for number, corners in ask.regions.items()}


def turns_of(ask: m.Ask) -> tuple[Turn, ...]:
    """The earlier turns of a question."""
    return tuple(Turn(question, answer) for question, answer in ask.history)
