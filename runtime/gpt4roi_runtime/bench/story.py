"""Tests of the whole pipeline, from a bundle on disk to answers; knows no engine.

* ``prefill cold``: the prompt of a question about an image never seen before.
* ``prefill image hit``: about an image that was prepared earlier, with another one in between: its rows are read back.
* ``prefill prefix hit``: about the image that was asked about last: its rows are in the KV cache.
* ``ttft cold``: from a photo's pixels to the first text; ``ttft open``: the same on a prepared image.
* ``tpot``: seconds a token after the first, in a long answer.
* ``captionsN``: one question about N boxes of a prepared image, answered side by side, regions included.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.asking import EncodedImage
from gpt4roi_runtime.backends.load import EngineSettings
from gpt4roi_runtime.bench.measure import Clock, NotMeasured, Trial
from gpt4roi_runtime.bench.vision import BenchPhoto, some_boxes
from gpt4roi_runtime.events import Done
from gpt4roi_runtime.llm.decoder import Sampling
from gpt4roi_runtime.pipeline import Pipeline

_GREEDY = Sampling()
_QUESTION = "What is <region1>?"
_LONG_QUESTION = "Write a long story about <region1>."
ANSWER_TOKENS = 32
LONG_ANSWER_TOKENS = 64


def load_trial(folder: Path, settings: EngineSettings) -> Trial:
    """Hash, check and load a bundle whose files are in the system's cache; freed again before the next."""

    def once(clock: Clock) -> None:
        with clock.running():
            pipeline = Pipeline.open(folder, settings)
        pipeline.close()
        clock.count(1)

    return Trial("bundle load", "pipeline", "load", once)


def as_trials(pipeline: Pipeline, photo: BenchPhoto, n_sequences: tuple[int, ...]) -> tuple[Trial, ...]:
    """The tests, for one loaded bundle."""
    session = _Session(pipeline, photo)
    prefills: tuple[tuple[str, Callable[[Clock], None]], ...] = (
        ("prefill cold", session.prefill_cold),
        ("prefill image hit", session.prefill_image_hit),
        ("prefill prefix hit", session.prefill_prefix_hit),
    )
    return (
        *(Trial(name, "pipeline", "row", once) for name, once in prefills),
        Trial("ttft cold", "pipeline", "answer", session.ttft_cold),
        Trial("ttft open", "pipeline", "answer", session.ttft_open),
        Trial("tpot", "pipeline", "token", session.tpot),
        *(_captions(session, n) for n in n_sequences),
    )


def _captions(session: "_Session", n: int) -> Trial:
    return Trial(f"captions{n}", "pipeline", "token", lambda clock: session.captions(clock, n), n_regions=n)


@dataclass
class _Session:
    """One loaded bundle and one photo, and as many others as are needed, made of it."""

    pipeline: Pipeline
    photo: BenchPhoto
    n_others: int = 0
    opened: EncodedImage | None = None
    second: EncodedImage | None = None

    def prefill_cold(self, clock: Clock) -> None:
        """Every row is computed."""
        done = self._ask(self.pipeline.encode(self._other()), max_tokens=1)
        if done.n_kept_rows:
            raise NotMeasured(f"prefill cold: {done.n_kept_rows} rows were there already")
        self._note_prefill(clock, done)

    def prefill_image_hit(self, clock: Clock) -> None:
        """The image's rows come back from memory, those of the question are computed."""
        image = self._image()
        if self.second is None:
            self.second = self.pipeline.encode(self._other())
        self.pipeline.prepare(image)
        self.pipeline.prepare(self.second)
        done = self._ask(image, max_tokens=1)
        if not done.n_kept_rows:
            raise NotMeasured("prefill image hit: there is no memory to keep a second image's rows in")
        self._note_prefill(clock, done)

    def prefill_prefix_hit(self, clock: Clock) -> None:
        """The image's rows are in the KV cache, those of the question are computed."""
        image = self._image()
        self.pipeline.prepare(image)
        done = self._ask(image, max_tokens=1)
        if not done.n_kept_rows:
            raise NotMeasured("prefill prefix hit: this engine keeps no rows")
        self._note_prefill(clock, done)

    def ttft_cold(self, clock: Clock) -> None:
        """Preprocessing, encode graph, region graph, prefill and the first text."""
        image = self.pipeline.encode(self._other())
        done = self._ask(image, max_tokens=ANSWER_TOKENS)
        clock.add_seconds(sum(image.seconds.values()) + self._first_text(done))
        clock.count(1)

    def ttft_open(self, clock: Clock) -> None:
        """Region graph, prefill of the question and the first text."""
        image = self._image()
        self.pipeline.prepare(image)
        clock.add_seconds(self._first_text(self._ask(image, max_tokens=ANSWER_TOKENS)))
        clock.count(1)

    def tpot(self, clock: Clock) -> None:
        """An answer as long as it gets."""
        done = self._ask(self._image(), max_tokens=LONG_ANSWER_TOKENS, question=_LONG_QUESTION)
        if done.n_answer_tokens < 2:
            raise NotMeasured("tpot: the answer has no second token")
        clock.add_seconds(done.seconds["decode"])
        clock.count(done.n_answer_tokens - 1)

    def captions(self, clock: Clock, n: int) -> None:
        """All boxes at once."""
        most = self.pipeline.decoder.info.max_answers
        if n > most:
            raise NotMeasured(f"captions{n}: this engine answers {most} questions side by side")
        image = self._image()
        self.pipeline.prepare(image)
        boxes = some_boxes(self.photo.size, n)
        with clock.running():
            answers = list(self.pipeline.ask_each(image, _QUESTION, boxes, sampling=_GREEDY, max_tokens=ANSWER_TOKENS))
        clock.count(sum(answer.done.n_answer_tokens for answer in answers))

    def _note_prefill(self, clock: Clock, done: Done) -> None:
        clock.add_seconds(done.seconds["prefill"])
        clock.count(done.n_prompt_rows)

    def _first_text(self, done: Done) -> float:
        if "first_text" not in done.seconds:
            raise NotMeasured("ttft: the model answers without a word")
        return done.seconds["first_text"]

    def _image(self) -> EncodedImage:
        if self.opened is None:
            self.opened = self.pipeline.encode(self.photo.image)
        return self.opened

    def _other(self) -> RgbImage:
        """The photo moved round by some rows and columns, so that no engine has seen it yet."""
        self.n_others += 1
        n_rows, n_columns = divmod(self.n_others, self.photo.size[0])
        return np.ascontiguousarray(np.roll(self.photo.image, (1 + n_rows, n_columns), axis=(0, 1)))

    def _ask(self, image: EncodedImage, *, max_tokens: int, question: str = _QUESTION) -> Done:
        width_px, height_px = self.photo.size
        (box,) = some_boxes((width_px, height_px), 1)
        *_, last = self.pipeline.ask(image, question, {1: box}, sampling=_GREEDY, max_tokens=max_tokens)
        if not isinstance(last, Done):
            raise TypeError(f"an answer ended with {last!r}")
        return last
