"""Hundreds of mixed requests to a tiny model leave nothing behind, and each is answered as if it were the only one."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.errors import (
    BundleError,
    Cancelled,
    ContextOverflowError,
    Gpt4RoiError,
    QuestionError,
    RegionError,
    SettingsError,
)
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.image_store import ImageStore
from gpt4roi_runtime.pipeline import Pipeline
from gpt4roi_runtime.worker.client import WorkerPipeline
from tests.runtime.worker.conftest import PATIENCE_S, WATCHED_COMMAND
from tests.runtime.worker.tiny import CHOICES, N_PHOTOS, ONE, QUESTIONS, SETTINGS, ColdAnswers, Either, never, photo

pytestmark = pytest.mark.usefixtures("importable")

STORE_BYTES = 40_000
"""Of some of the photos' features and prefixes."""
IMAGES_BYTES = 16_000
"""Of two photos."""
WARM_AFTER, MOST_GROWTH_BYTES = 100, 6 << 20


@pytest.fixture(scope="module")
def cold(tiny_folder: Path) -> Iterator[ColdAnswers]:
    language = replace(SETTINGS.language, kept_bytes=0)
    with Pipeline.open(tiny_folder, replace(SETTINGS, language=language)) as pipeline:
        yield ColdAnswers(pipeline)


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store", STORE_BYTES)


@pytest.fixture
def here(tiny_folder: Path, store: ImageStore) -> Iterator[Pipeline]:
    with Pipeline.open(tiny_folder, SETTINGS, store) as pipeline:
        yield pipeline


@pytest.fixture
def elsewhere(tiny_folder: Path, store: ImageStore) -> Iterator[WorkerPipeline]:
    with WorkerPipeline.open(
        tiny_folder, SETTINGS, store, images_bytes=IMAGES_BYTES, command=WATCHED_COMMAND
    ) as pipeline:
        yield pipeline


BAD: tuple[tuple[type[Gpt4RoiError], Callable[[Either, Either], object]], ...] = (
    (QuestionError, lambda p, i: p.ask(i, " ", {})),
    (QuestionError, lambda p, i: p.ask(i, "what?", {}, allowed=["a", "a"])),
    (QuestionError, lambda p, i: p.choose(i, "what?", {}, [])),
    (RegionError, lambda p, i: p.ask_each(i, "what?", [ONE])),
    (RegionError, lambda p, i: p.ask(i, "<region1>?", {1: Box(0, 0, 31, 20)})),
    (RegionError, lambda p, i: p.choose(i, "<region2>?", {1: ONE}, CHOICES)),
    (SettingsError, lambda p, i: p.ask(i, "what?", {}, n_top=-1)),
    (ContextOverflowError, lambda p, i: p.ask(i, "what is this? " * 100, {})),
    (ContextOverflowError, lambda p, i: p.choose(i, "what is this? " * 100, {}, CHOICES)),
    (BundleError, lambda p, i: p.prepare(replace(i, bundle_id="f" * 16))),
    (BundleError, lambda p, _: p.propose(photo(0))),
)


class Soak:
    """One request after another, as dice say.

    Args:
        pipeline: Is asked.
        cold: What is right.
    """

    def __init__(self, pipeline: Either, cold: ColdAnswers) -> None:
        self.pipeline = pipeline
        self.cold = cold
        self.dice = np.random.default_rng(11)
        self.images = [pipeline.encode(photo(number)) for number in range(N_PHOTOS)]
        self.n_right = self.n_cancelled = 0

    def step(self) -> None:
        """One request."""
        number, kind = int(self.dice.integers(N_PHOTOS)), int(self.dice.integers(10))
        question = str(self.dice.choice(list(QUESTIONS)))
        image = self.images[number]
        match kind:
            case 0:
                again = self.pipeline.encode(photo(number))
                assert again.key == image.key
                self.images[number] = again
            case 1:
                self.pipeline.prepare(image)
            case 2:
                error, call = BAD[int(self.dice.integers(len(BAD)))]
                with pytest.raises(error):
                    call(self.pipeline, image)
            case 3:
                events = self.pipeline.ask(image, "is <region1> red?", {1: ONE}, max_tokens=100)
                for _ in range(int(self.dice.integers(4))):
                    next(events, None)
                events.close()
            case 4 | 5:
                self.ask_and_perhaps_cancel(number, question)
            case _:
                self.check(number, question, never)

    def ask_and_perhaps_cancel(self, number: int, question: str) -> None:
        """Ask, and cancel after some steps of the work, if it takes so many."""
        left = int(self.dice.integers(30))

        def cancel() -> bool:
            nonlocal left
            left -= 1
            return left < 0

        try:
            self.check(number, question, cancel)
        except Cancelled:
            self.n_cancelled += 1

    def check(self, number: int, question: str, cancel: Callable[[], bool]) -> None:
        """Hold an answer against the one of a model that has seen nothing else."""
        assert QUESTIONS[question](self.pipeline, self.images[number], cancel) == self.cold.to(number, question)
        self.n_right += 1


def test_the_questions_tell_photos_apart(cold: ColdAnswers) -> None:
    for question in QUESTIONS:
        said = [cold.to(number, question) for number in range(N_PHOTOS)]
        assert all(one != other for place, one in enumerate(said) for other in said[:place])


N_REQUESTS = pytest.mark.parametrize("n_requests", [60, pytest.param(500, marks=pytest.mark.slow)])


@N_REQUESTS
def test_in_this_process(here: Pipeline, cold: ColdAnswers, store: ImageStore, n_requests: int) -> None:
    assert isinstance(here.decoder, LlamaCppDecoder)
    soak, memory = Soak(here, cold), Memory(psutil.Process())
    for n_done in range(n_requests):
        soak.step()
        assert not any(here.decoder.sequence_lengths()[1:])
        memory.look(n_done)
    check_end(soak, memory, store, n_requests)


@N_REQUESTS
def test_in_another_process(elsewhere: WorkerPipeline, cold: ColdAnswers, store: ImageStore, n_requests: int) -> None:
    pid = elsewhere.pid
    soak, memory = Soak(elsewhere, cold), Memory(psutil.Process(pid))
    for n_done in range(n_requests):
        soak.step()
        memory.look(n_done)
    assert elsewhere.pid == pid
    assert elsewhere._line._connection is not None
    assert elsewhere._line._connection._calls == {}
    check_end(soak, memory, store, n_requests)


class Memory:
    """What a process holds once it is warm."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.warm_bytes: int | None = None

    def look(self, n_done: int) -> None:
        """After so many requests."""
        if n_done == WARM_AFTER:
            self.warm_bytes = self._process.memory_info().rss

    @property
    def growth_bytes(self) -> int:
        """Since then."""
        return 0 if self.warm_bytes is None else self._process.memory_info().rss - self.warm_bytes


def check_end(soak: Soak, memory: Memory, store: ImageStore, n_requests: int) -> None:
    assert soak.n_right > n_requests / 4
    assert soak.n_cancelled > n_requests / 50
    n_files, n_bytes = store.usage()
    assert n_files > 0
    assert n_bytes <= STORE_BYTES
    assert memory.growth_bytes < MOST_GROWTH_BYTES


def test_two_callers_at_once_are_both_right(elsewhere: WorkerPipeline, cold: ColdAnswers) -> None:
    expected = {(number, question): cold.to(number, question) for number in (0, 1) for question in QUESTIONS}
    found: list[tuple[tuple[int, str], object]] = []
    meet = threading.Barrier(2)

    def ask(number: int) -> None:
        image = elsewhere.encode(photo(number))
        meet.wait(PATIENCE_S)
        for question, call in (*QUESTIONS.items(), *reversed(QUESTIONS.items())):
            found.append(((number, question), call(elsewhere, image, never)))

    threads = [threading.Thread(target=ask, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not any(thread.is_alive() for thread in threads)
    assert len(found) == 4 * len(QUESTIONS)
    assert all(answer == expected[asked] for asked, answer in found)
