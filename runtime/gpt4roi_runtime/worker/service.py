"""The model's side of the conversation: requests in, events out, one at a time, cancellable. Knows no engine.

One thread reads, so that a cancel is heard while an answer is being written; the other does the work.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, Protocol, runtime_checkable

import msgspec
import numpy as np

from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.errors import Cancelled, Gpt4RoiError
from gpt4roi_runtime.llm.decoder import CancelCheck, Prefilled
from gpt4roi_runtime.worker import messages as m
from gpt4roi_runtime.worker.faults import failed
from gpt4roi_runtime.worker.wire import BrokenWireError, read_frame, write_frame


@runtime_checkable
class Model(Protocol):
    """What the service asks of a model; every call may raise a Gpt4RoiError."""

    def opened(self, request_id: int) -> m.BundleOpened:
        """What was loaded."""

    def knows(self, image: int) -> bool:
        """Whether an image of this number is there."""

    def encode(self, request: m.OpenImage, photo: RgbImage) -> m.ImageOpened:
        """Take a photo, uint8 ``[h w 3]``, for the questions that follow."""

    def prepare(self, image: int, cancel: CancelCheck) -> Prefilled:
        """Compute ahead what every question about an image begins with."""

    def answer(self, request: m.Ask, cancel: CancelCheck) -> Iterator[m.Accepted | m.Text | m.Answered]:
        """Stream an answer about an image."""

    def choose(self, request: m.Choose, cancel: CancelCheck) -> m.Weighed:
        """Find the likeliest of several answers."""

    def answer_each(
        self, request: m.AskEach, cancel: CancelCheck
    ) -> Iterator[m.Accepted | m.BoxAnswered | m.AllAnswered]:
        """Stream the answers to one question about many boxes."""

    def propose(self, request: m.Propose, photo: RgbImage | None) -> m.Proposed:
        """Boxes on a photo, uint8 ``[h w 3]``, or on the one that is shown."""

    def close(self) -> None:
        """Free everything."""


OpenModel = Callable[[m.OpenBundle, Callable[[str], None]], Model]
"""Loads what is wanted. The second argument hears, from the thread that calls the model, notes for a person."""


@dataclass(frozen=True)
class _Job:
    request: m.Request
    photo: RgbImage | None = None


class Service:
    """Serves one caller until it closes the pipe.

    Attributes:
        model: The model that was opened last.
        closing: Set when the caller has gone.
    """

    def __init__(self, source: BinaryIO, sink: BinaryIO, open_model: OpenModel) -> None:
        self.model: Model | None = None
        self.closing = threading.Event()
        self._source = source
        self._sink = sink
        self._open_model = open_model
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._unfinished: set[int] = set()
        self._cancelled: set[int] = set()
        self._last_shown = -1
        self._served_id = 0

    def run(self) -> None:
        """Serve until the caller is gone."""
        threading.Thread(target=self._listen, name="requests", daemon=True).start()
        try:
            while (job := self._jobs.get()) is not None:
                self._do(job)
                del job  # its photo must not stay until the next request
        except OSError:  # nobody reads us any more
            pass
        finally:
            if self.model is not None:
                self.model.close()

    def _listen(self) -> None:
        decoder = msgspec.msgpack.Decoder(m.Request)
        try:
            while (frame := read_frame(self._source)) is not None:
                self._hear(decoder.decode(frame))
        except (BrokenWireError, msgspec.MsgspecError, Gpt4RoiError, OSError):
            pass  # the caller died in the middle of a word, or is not who it should be
        finally:
            self.closing.set()
            self._jobs.put(None)

    def _hear(self, request: m.Request) -> None:
        if isinstance(request, m.Cancel):
            if request.id in self._unfinished:
                self._cancelled.add(request.id)
            return
        photo = self._photo(request)
        self._unfinished.add(request.id)
        if isinstance(request, m.OpenImage) and request.image == m.SHOWN:
            self._last_shown = request.id
        self._jobs.put(_Job(request, photo))

    def _photo(self, request: m.OpenImage | m.Propose | m.OpenBundle | m.AboutImage) -> RgbImage | None:
        if not isinstance(request, m.OpenImage | m.Propose) or not request.n_photo_bytes:
            return None
        pixels = read_frame(self._source, request.n_photo_bytes)
        if pixels is None or len(pixels) != request.n_photo_bytes:
            raise BrokenWireError("a photo is not of the size that was announced")
        return np.frombuffer(pixels, dtype=np.uint8).reshape(request.height_px, request.width_px, 3)

    def _do(self, job: _Job) -> None:
        request = job.request
        self._served_id = request.id
        try:
            for event in self._served(job, lambda: self.closing.is_set() or request.id in self._cancelled):
                self._send(event)
        except Cancelled:
            self._send(m.Stopped(request.id))
        except Gpt4RoiError as error:
            self._send(failed(request.id, error))
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug must reach the caller as a message, not as a silence
            self._send(m.Failed(request.id, f"unexpected {type(error).__name__}: {error}", "Please report it."))
        finally:
            self._unfinished.discard(request.id)
            self._cancelled.discard(request.id)

    def _served(self, job: _Job, cancel: CancelCheck) -> Iterator[m.Event]:
        request = job.request
        if cancel():
            raise Cancelled
        if isinstance(request, m.AboutImage) and request.image != m.SHOWN and not self._loaded().knows(request.image):
            yield m.PhotoWanted(request.id)
            return
        yield m.Begun(request.id)
        yield from self._events(job, cancel)

    def _events(self, job: _Job, cancel: CancelCheck) -> Iterator[m.Event]:
        match job.request:
            case m.OpenBundle() as wanted:
                if self.model is not None:
                    self.model.close()
                    self.model = None
                self.model = self._open_model(wanted, self._note)
                yield self.model.opened(wanted.id)
            case m.OpenImage() as wanted if job.photo is not None:
                yield self._loaded().encode(wanted, job.photo)
                if wanted.image == m.SHOWN:
                    self._prepare_shown(wanted.id)
            case m.Prepare(id=number, image=image):
                yield m.Prepared(number, self._loaded().prepare(image, cancel))
            case m.Ask() as ask:
                yield from self._loaded().answer(ask, cancel)
            case m.Choose() as choose:
                yield self._loaded().choose(choose, cancel)
            case m.AskEach() as ask_each:
                yield from self._loaded().answer_each(ask_each, cancel)
            case m.Propose() as propose:
                yield self._loaded().propose(propose, job.photo)

    def _prepare_shown(self, request_id: int) -> None:
        """The person is still drawing; only another photo makes this useless."""
        with suppress(Cancelled):
            self._loaded().prepare(m.SHOWN, lambda: self.closing.is_set() or self._last_shown != request_id)

    def _loaded(self) -> Model:
        if self.model is None:
            raise Gpt4RoiError("no model is loaded", "Choose a model's folder.")
        return self.model

    def _note(self, text: str) -> None:
        self._send(m.Noted(self._served_id, text))

    def _send(self, event: m.Event) -> None:
        write_frame(self._sink, msgspec.msgpack.encode(event))
