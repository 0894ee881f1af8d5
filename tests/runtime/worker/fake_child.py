"""The model's process with engines that a test can follow: what a question says is what happens.

Beside the bundle's files, ``starts`` counts the processes; where there is a file ``dies_at_start``, they die at once.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from gpt4roi_runtime.arrays import EmbeddingRows, PixelValues
from gpt4roi_runtime.bundle.folder import open_bundle
from gpt4roi_runtime.errors import Cancelled, QuestionError
from gpt4roi_runtime.llm.decoder import Allowed, CancelCheck, DecodedToken, Prefilled, Sampling, Scores
from gpt4roi_runtime.pipeline import Pipeline
from gpt4roi_runtime.vision.encoder import ImageFeatures
from gpt4roi_runtime.worker import messages as m
from gpt4roi_runtime.worker.child import PipelineModel, serve
from tests.helpers.fakes import WIDTH, FakeDecoder, FakeEncoder

BLACK, WHITE = 0, 255
"""A black photo takes until somebody cancels its preparation; a white one ends the process."""


class Encoder(FakeEncoder):
    """Image rows are minus the mean of the pixels as a photo has them, and minus 1."""

    def __init__(self) -> None:
        super().__init__(n_image_rows=2, n_rows_per_region=1)

    def encode(self, pixels: PixelValues) -> ImageFeatures:
        self.n_encoded += 1
        mean = round(float((pixels.mean() / 4 + 0.5) * 255))
        if mean == WHITE:
            os.kill(os.getpid(), signal.SIGKILL)
        return ImageFeatures(np.full((2, WIDTH), -1 - mean, dtype=np.float32), (pixels[:, :1].copy(),))


class Decoder(FakeDecoder):
    """Answers with the question, the photo's mean, the number of photos encoded and of rows that were kept.

    A plain question is answered without the two numbers, so alike in every process.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(context_length=2000)
        self.encoder = encoder

    def prepare(self, prefix: EmbeddingRows, cancel: CancelCheck) -> Prefilled:
        if _mean(prefix) == BLACK:
            _wait_for(cancel)
        return super().prepare(prefix, cancel)

    def prefill(self, rows: EmbeddingRows, cancel: CancelCheck, n_prefix: int = 0) -> Prefilled:
        filled = super().prefill(rows, cancel, n_prefix)
        self.question = _text(rows).removesuffix("\n### ").rpartition("### Human: ")[2].removeprefix("Look: ")
        self.answer = f"{self.question}|{_mean(rows)}|{self.encoder.n_encoded}|{filled.n_kept}"
        if "plain" in self.question:
            self.answer = f"{self.question}|{_mean(rows)}"
        if "slow prefill" in self.question:
            _wait_for(cancel)
        return filled

    def score(
        self, rows: EmbeddingRows, texts: Sequence[Sequence[int]], cancel: CancelCheck, n_prefix: int = 0
    ) -> Scores:
        if "slow prefill" in _text(rows):
            _wait_for(cancel)
        return super().score(rows, texts, cancel, n_prefix)

    def decode(
        self,
        sampling: Sampling,
        max_tokens: int,
        cancel: CancelCheck,
        *,
        allowed: Allowed | None = None,
        n_top: int | None = None,
    ) -> Iterator[DecodedToken]:
        for word, act in ACTS.items():
            if word in self.question:
                act()
        while "endless" in self.question:
            yield DecodedToken(1, b"word ")
            if cancel():
                raise Cancelled
            threading.Event().wait(0.002)  # a model takes its time too
        if "allowed" in self.question:
            self.answer = str(allowed.texts if allowed else None)
        self.answer += f"|{sampling.temperature}"
        yield from super().decode(sampling, max_tokens, cancel, allowed=allowed, n_top=n_top)


def _text(rows: EmbeddingRows) -> str:
    return "".join(chr(int(row[0])) for row in rows if row[0] >= ord("\n"))


def _mean(rows: EmbeddingRows) -> int:
    return int(-1 - rows.min())


def _wait_for(cancel: CancelCheck) -> None:
    while not cancel():
        threading.Event().wait(0.002)
    raise Cancelled


def _fail() -> None:
    raise QuestionError("no", "Say yes.")


def _bug() -> None:
    raise KeyError("x")


def _leave() -> None:
    print("out of luck", flush=True)  # noqa: T201 - engines print; it must not reach the pipe
    os._exit(3)


def _garbage() -> None:
    os.write(RAW_OUTPUT, b"\xff\xff\xff\xff")
    threading.Event().wait()


def _break_off() -> None:
    os.write(RAW_OUTPUT, b"\x00\x00\x00\x40half of it")
    os.kill(os.getpid(), signal.SIGSEGV)


def _fall_silent() -> None:
    os.closerange(3, 64)
    threading.Event().wait()


ACTS = {
    "silent": _fall_silent,
    "exit": _leave,
    "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "fail": _fail,
    "bug": _bug,
    "garbage": _garbage,
    "half a word": _break_off,
}


def pipeline_of(folder: Path) -> Pipeline:
    """The same in this process."""
    encoder = Encoder()
    return Pipeline(open_bundle(folder), encoder, Decoder(encoder))


def open_model(request: m.OpenBundle, _: Callable[[str], None]) -> PipelineModel:
    folder = Path(os.fsdecode(request.folder))
    with (folder / "starts").open("a") as starts:
        starts.write(f"{os.getpid()}\n")
    if (folder / "dies_at_start").exists():
        print("no luck at all", file=sys.stderr, flush=True)  # noqa: T201
        os._exit(4)
    return PipelineModel(pipeline_of(folder), request)


if __name__ == "__main__":
    RAW_OUTPUT = os.dup(1)
    serve(open_model)
