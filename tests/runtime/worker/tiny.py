"""Questions to a tiny bundle whose right answers are known, for a pipeline here and for one in another process."""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.backends.load import EngineSettings
from gpt4roi_runtime.events import Done
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.llm.decoder import CancelCheck, Sampling
from gpt4roi_runtime.pipeline import Pipeline
from gpt4roi_runtime.prompt import Turn
from tests.helpers.tiny_gguf import WIDTH

SETTINGS = EngineSettings(
    vision_threads=1, language=LlamaCppSettings(n_threads=1, context_length=512, repack="on", kept_bytes=60_000)
)
"""Little is kept of some images."""

N_PHOTOS = 6
ONE, OTHER, WHOLE = Box(1, 2, 11, 12), Box(5, 0, 30, 15), Box(0, 0, 30, 20)
CHOICES = ("red", "the red", "a thé", "no")
HISTORY = (Turn("is <region2> the red?", "no."),)

Either = Any
"""A Pipeline or a WorkerPipeline; and an image of its own."""


def never() -> bool:
    return False


def photo(number: int) -> RgbImage:
    """A photo like no other, all of one size."""
    return np.random.default_rng(number).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def written(pipeline: Either, image: Either, cancel: CancelCheck, **more: object) -> tuple[object, ...]:
    """An answer, and how likely every token of it was."""
    with closing(pipeline.ask(image, "what is <region1>?", {1: ONE}, n_top=2, cancel=cancel, **more)) as events:
        *_, done = events
    assert isinstance(done, Done)
    return done.answer, done.tokens, done.stop_reason, done.history, done.prompt_text


def weighed(pipeline: Either, image: Either, cancel: CancelCheck, choices: Sequence[str] = CHOICES) -> object:
    """How likely each choice is."""
    regions = {1: OTHER, 2: ONE}
    chosen = pipeline.choose(image, "is <region1>?", regions, choices, lead="the", history=HISTORY, cancel=cancel)
    return chosen.choices, chosen.history, chosen.prompt_text, chosen.n_prompt_rows


def side_by_side(pipeline: Either, image: Either, cancel: CancelCheck) -> object:
    """Answers about five boxes."""
    boxes = [ONE, OTHER, WHOLE, OTHER, ONE]
    with closing(pipeline.ask_each(image, "a <region1> is", boxes, max_tokens=8, cancel=cancel)) as answers:
        return sorted((one.index, one.box.xyxy, one.done.answer, one.done.n_answer_tokens) for one in answers)


QUESTIONS: dict[str, Callable[[Either, Either, CancelCheck], object]] = {
    "ask": written,
    "ask with dice": lambda p, i, c: written(p, i, c, sampling=Sampling(temperature=1.0, seed=3), max_tokens=9),
    "ask a follow-up": lambda p, i, c: written(p, i, c, history=(Turn("is <region1> red?", "no"),)),
    "ask for one of a list": lambda p, i, c: written(p, i, c, allowed=CHOICES),
    "choose": weighed,
    "choose of many": lambda p, i, c: weighed(p, i, c, [f"{a}{b}" for a in "abcdef" for b in "ghijk"]),
    "ask each": side_by_side,
}


class ColdAnswers:
    """What a pipeline says that has forgotten all images before it is asked; every question is asked once.

    Args:
        pipeline: Keeps nothing.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._images = [pipeline.encode(photo(number)) for number in range(N_PHOTOS)]
        self._known: dict[tuple[int, str], object] = {}

    def to(self, number: int, question: str) -> object:
        """The answer to a question about a photo."""
        if (number, question) not in self._known:
            self._pipeline.decoder.prefill(np.ones((3, WIDTH), dtype=np.float32), never)
            self._known[number, question] = QUESTIONS[question](self._pipeline, self._images[number], never)
        return self._known[number, question]
