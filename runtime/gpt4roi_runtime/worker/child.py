"""`python -m gpt4roi_runtime.worker.child`: serves the pipeline on its standard streams. Knows no caller."""

import faulthandler
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import sleep
from typing import BinaryIO

import psutil

from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.asking import EncodedImage
from gpt4roi_runtime.errors import Gpt4RoiError
from gpt4roi_runtime.events import Done, TextDelta
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.image_store import ImageStore
from gpt4roi_runtime.llm.decoder import CancelCheck, Prefilled
from gpt4roi_runtime.own_python import leave_no_core_dump
from gpt4roi_runtime.pipeline import Pipeline
from gpt4roi_runtime.prompt import Turn
from gpt4roi_runtime.vision.proposals import DEFAULT_MAX_BOXES
from gpt4roi_runtime.worker import messages as m
from gpt4roi_runtime.worker.kept_images import KeptImages
from gpt4roi_runtime.worker.service import OpenModel, Service

_PATIENCE_S = 5.0


class PipelineModel:
    """A pipeline, with the images it was given.

    Args:
        pipeline: Is closed with it.
        request: What it was opened for.
    """

    def __init__(self, pipeline: Pipeline, request: m.OpenBundle) -> None:
        self.pipeline = pipeline
        self.sampling = request.sampling
        self.max_tokens = request.max_tokens
        self.images = KeptImages(request.images_bytes)
        self.shown: EncodedImage | None = None
        self.shown_photo: RgbImage | None = None

    @classmethod
    def open(cls, request: m.OpenBundle, on_note: Callable[[str], None]) -> "PipelineModel":
        """Load what was asked for; ``on_note`` hears what the store has to say."""
        store = opened_store(request.store, on_note)
        return cls(Pipeline.open(Path(os.fsdecode(request.folder)), request.settings, store), request)

    def opened(self, request_id: int) -> m.BundleOpened:
        """What was loaded."""
        info, manifest = self.pipeline.decoder.info, self.pipeline.bundle.manifest
        return m.BundleOpened(
            request_id,
            bundle_id=self.pipeline.bundle.id,
            name=manifest.name,
            vision_engine=self.pipeline.encoder.engine,
            language_engine=info.engine,
            n_threads=info.n_threads,
            has_detector=manifest.detector is not None,
            load_s=self.pipeline.load_s,
            notes=self.pipeline.notes,
            context_length=info.context_length,
            max_regions=manifest.vision.max_regions,
        )

    def knows(self, image: int) -> bool:
        """Whether an image of this number is there."""
        return image in self.images

    def encode(self, request: m.OpenImage, photo: RgbImage) -> m.ImageOpened:
        """Encode a photo, uint8 ``[h w 3]``, and keep it under its number."""
        if request.image == m.SHOWN:
            self.shown, self.shown_photo = None, photo
        image = self.pipeline.encode(photo)
        if request.image == m.SHOWN:
            self.shown = image
        else:
            self.images.keep(request.image, image)
        return m.ImageOpened(request.id, image.seconds, image.key)

    def prepare(self, image: int, cancel: CancelCheck) -> Prefilled:
        """Fill the cache with an image's rows, so that a question costs its own words only."""
        return self.pipeline.prepare(self._image(image), cancel=cancel)

    def answer(self, request: m.Ask, cancel: CancelCheck) -> Iterator[m.Accepted | m.Text | m.Answered]:
        """Stream an answer about an image."""
        events = self.pipeline.ask(
            self._image(request.image),
            request.question,
            _boxes(request),
            history=_turns(request),
            sampling=request.sampling or self.sampling,
            max_tokens=self.max_tokens if request.max_tokens is None else request.max_tokens,
            allowed=request.allowed,
            n_top=request.n_top,
            cancel=cancel,
        )
        yield m.Accepted(request.id)
        for event in events:
            match event:
                case TextDelta():
                    yield m.Text(request.id, event.text)
                case Done():
                    yield m.Answered(request.id, event, _memory_bytes())

    def choose(self, request: m.Choose, cancel: CancelCheck) -> m.Weighed:
        """Find the likeliest of several answers."""
        chosen = self.pipeline.choose(
            self._image(request.image),
            request.question,
            _boxes(request),
            request.choices,
            lead=request.lead,
            history=_turns(request),
            cancel=cancel,
        )
        return m.Weighed(request.id, chosen, _memory_bytes())

    def answer_each(
        self, request: m.AskEach, cancel: CancelCheck
    ) -> Iterator[m.Accepted | m.BoxAnswered | m.AllAnswered]:
        """Stream the answers to one question about many boxes."""
        answers = self.pipeline.ask_each(
            self._image(request.image),
            request.question,
            [Box(*corners) for corners in request.boxes],
            sampling=request.sampling or self.sampling,
            max_tokens=self.max_tokens if request.max_tokens is None else request.max_tokens,
            cancel=cancel,
        )
        yield m.Accepted(request.id)
        for answer in answers:
            yield m.BoxAnswered(request.id, answer.index, answer.done)
        yield m.AllAnswered(request.id, _memory_bytes())

    def propose(self, request: m.Propose, photo: RgbImage | None) -> m.Proposed:
        """Boxes on a photo, uint8 ``[h w 3]``, or on the one that is shown."""
        photo = self.shown_photo if photo is None else photo
        if photo is None:
            raise _no_photo()
        max_boxes = DEFAULT_MAX_BOXES if request.max_boxes is None else request.max_boxes
        found = self.pipeline.propose(photo, threshold=request.threshold, max_boxes=max_boxes)
        return m.Proposed(request.id, tuple(m.Found(each.box.xyxy, each.name, each.score) for each in found))

    def close(self) -> None:
        """Free the engines."""
        self.pipeline.close()

    def _image(self, number: int) -> EncodedImage:
        if number != m.SHOWN:
            return self.images.get(number)
        if self.shown is None:
            raise _no_photo()
        return self.shown


def opened_store(wanted: m.StoreFolder | None, on_note: Callable[[str], None]) -> ImageStore | None:
    """The store of a message, for this process."""
    if wanted is None:
        return None
    return ImageStore(Path(os.fsdecode(wanted.folder)), wanted.budget_bytes, on_note)


def _boxes(request: m.Ask | m.Choose) -> dict[int, Box]:
    return {number: Box(*corners) for number, corners in request.regions.items()}


def _turns(request: m.Ask | m.Choose) -> tuple[Turn, ...]:
    return tuple(Turn(question, answer) for question, answer in request.history)


def _memory_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def _no_photo() -> Gpt4RoiError:
    return Gpt4RoiError("no photo is open", "Open one, then ask again.")


def private_streams() -> tuple[BinaryIO, BinaryIO]:
    """Our ends of the pipes, out of the reach of engines that print and of processes that they start."""
    source, sink = os.dup(0), os.dup(1)  # not inheritable, unlike 0 and 1
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return os.fdopen(source, "rb"), os.fdopen(sink, "wb")


def leave_with_caller(service: Service) -> None:
    """End the process by force where an engine goes on working for a caller who is gone; runs in a thread."""
    service.closing.wait()
    sleep(_PATIENCE_S)
    os._exit(1)


def serve(open_model: OpenModel) -> None:
    """Serve models on the standard streams until the caller closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's; it cancels by a message
    faulthandler.enable()
    leave_no_core_dump()
    source, sink = private_streams()
    service = Service(source, sink, open_model)
    threading.Thread(target=leave_with_caller, args=(service,), name="leave", daemon=True).start()
    service.run()


if __name__ == "__main__":
    serve(PipelineModel.open)
