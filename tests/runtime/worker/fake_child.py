"""A model's process without a model: what a question says is what happens."""

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpt4roi_desktop.worker import messages as m
from gpt4roi_desktop.worker.child import private_streams
from gpt4roi_desktop.worker.service import CancelCheck, Service
from gpt4roi_runtime.errors import BundleError, Cancelled, QuestionError


class Model:
    def __init__(self, folder: Path) -> None:
        if folder.name == "missing":
            raise BundleError(f"{folder} is missing", "Choose another.")
        self.photo: Any = None
        self.prepared: Any = None

    def opened(self, request_id: int) -> m.BundleOpened:
        print("engines print")  # noqa: T201 - must not reach the pipe
        return m.BundleOpened(request_id, "0123456789abcdef", "fake", "vision", "language", 1, True, 0.1)

    def encode(self, photo: Any) -> float:
        self.photo = photo
        return 0.5

    def prepare(self, cancel: CancelCheck) -> None:
        self.prepared = self.photo
        if self.photo.sum() == 0:  # a black photo takes until another one comes
            while not cancel():
                threading.Event().wait(0.005)
            raise Cancelled

    def answer(self, request: m.Ask, cancel: CancelCheck) -> Iterator[m.Text | m.Answered]:
        match request.question:
            case "die":
                os._exit(3)
            case "fail":
                raise QuestionError("no", "Say yes.")
            case "bug":
                raise KeyError("x")
            case "garbage":
                os.write(self.raw_output(), b"\xff\xff\xff\xff")
            case "endless":
                while not cancel():
                    yield m.Text(request.id, "word ")
                    threading.Event().wait(0.005)  # a model takes its time too
                raise Cancelled
        prepared = self.prepared is self.photo
        seen = f"{self.photo.shape} {self.photo.sum()} {sorted(request.regions)}"
        text = f"{request.question} {seen} {request.history} {prepared}"
        yield m.Text(request.id, text)
        yield m.Answered(request.id, text, "end", 9, 3, 0.1, 0.2, 1000)

    def raw_output(self) -> int:
        return sink.fileno()

    def propose(self) -> tuple[m.Found, ...]:
        return (m.Found((1, 2, 3, 4), "cup", 0.9),)

    def close(self) -> None:
        pass


if __name__ == "__main__":
    source, sink = private_streams()
    Service(source, sink, Model).run()
    sys.exit(0)
