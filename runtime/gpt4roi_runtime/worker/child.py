"""`python -m gpt4roi_desktop.worker.child`: serves the runtime's pipeline on its standard streams. Knows no window."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import psutil

from gpt4roi_desktop.worker import messages as m
from gpt4roi_desktop.worker.service import CancelCheck, Service, boxes_of, turns_of
from gpt4roi_runtime import Done, EncodedImage, Gpt4RoiError, Pipeline, TextDelta
from gpt4roi_runtime.arrays import RgbImage


class PipelineModel:
    """The runtime's pipeline, with the photo it looks at."""

    def __init__(self, folder: Path) -> None:
        self.pipeline = Pipeline.open(folder)
        self.photo: RgbImage | None = None
        self.image: EncodedImage | None = None

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
            notes=tuple(info.notes),
        )

    def encode(self, photo: RgbImage) -> float:
        """Encode a photo, uint8 ``[h w 3]``; returns seconds."""
        self.photo, self.image = photo, None
        self.image = self.pipeline.encode(photo)
        return sum(self.image.seconds.values())

    def prepare(self, cancel: CancelCheck) -> None:
        """Fill the cache with the photo's rows, so that a question costs its own words only."""
        if self.image is not None:
            self.pipeline.prepare(self.image, cancel=cancel)

    def answer(self, request: m.Ask, cancel: CancelCheck) -> Iterator[m.Text | m.Answered]:
        """Stream an answer about the photo."""
        if self.image is None:
            raise _no_photo()
        events = self.pipeline.ask(
            self.image, request.question, boxes_of(request), history=turns_of(request), cancel=cancel
        )
        for event in events:
            match event:
                case TextDelta():
                    yield m.Text(request.id, event.text)
                case Done():
                    yield _account(request.id, event)

    def propose(self) -> tuple[m.Found, ...]:
        """Boxes on the photo."""
        if self.photo is None:
            raise _no_photo()
        return tuple(m.Found(each.box.xyxy, each.name, each.score) for each in self.pipeline.propose(self.photo))

    def close(self) -> None:
        """Free the engines."""
        self.pipeline.close()


def _account(request_id: int, done: Done) -> m.Answered:
    return m.Answered(
        request_id,
        answer=done.answer,
        stop_reason=done.stop_reason,
        n_prompt_rows=done.n_prompt_rows,
        n_answer_tokens=done.n_answer_tokens,
        first_text_s=done.seconds.get("first_text"),
        decode_s=done.seconds["decode"],
        memory_bytes=psutil.Process().memory_info().rss,
    )


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


def main() -> int:
    """Serve until the window closes the pipe."""
    source, sink = private_streams()
    Service(source, sink, PipelineModel).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
