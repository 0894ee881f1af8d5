"""The embedded model in a process of its own says what it says in this one, and comes back when it is killed."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from gpt4roi_runtime import (
    Box,
    Done,
    EngineSettings,
    LlamaCppSettings,
    Pipeline,
    Sampling,
    TextDelta,
    WorkerDiedError,
    WorkerPipeline,
    load_image,
)
from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.events import Event

pytestmark = [pytest.mark.bundle, pytest.mark.usefixtures("importable")]
SETTINGS = EngineSettings(vision_threads=1, language=LlamaCppSettings(n_threads=1, context_length=512))
CUP, SPOON = Box(165, 10, 415, 300), Box(318, 60, 425, 330)


@pytest.fixture(scope="module")
def photo(sample_photo: Path) -> RgbImage:
    return load_image(sample_photo)


@pytest.fixture
def worker(bundle_dir: Path) -> Iterator[WorkerPipeline]:
    with WorkerPipeline.open(bundle_dir, SETTINGS) as worker:
        yield worker


def timeless(events: Iterator[Event]) -> list[Event]:
    return [replace(event, seconds={}) if isinstance(event, Done) else event for event in events]


def test_answers_are_those_of_this_process(worker: WorkerPipeline, bundle_dir: Path, photo: RgbImage) -> None:
    with Pipeline.open(bundle_dir, SETTINGS) as here:
        near, far = here.encode(photo), worker.encode(photo)
        assert far.key == near.key
        first = timeless(here.ask(near, "What is <region1>?", {1: CUP}))
        assert timeless(worker.ask(far, "What is <region1>?", {1: CUP})) == first
        assert isinstance(first[-1], Done)
        history = first[-1].history
        more = ("Is it <region2>?", {1: CUP, 2: SPOON})
        assert timeless(worker.ask(far, *more, history=history)) == timeless(here.ask(near, *more, history=history))
        assert worker.propose(photo) == here.propose(photo)
        boxes = [CUP, SPOON]
        said = {each.index: each.done.answer for each in worker.ask_each(far, "What is <region1>?", boxes)}
        assert said == {each.index: each.done.answer for each in here.ask_each(near, "What is <region1>?", boxes)}
        closed = ("Is <region1> a dog?", {1: CUP}, ["Yes", "No", "a cup"])
        assert replace(worker.choose(far, *closed), seconds={}) == replace(here.choose(near, *closed), seconds={})
        listed = timeless(here.ask(near, "What is <region1>?", {1: CUP}, allowed=["a dog", "a cup"], n_top=2))
        again = timeless(worker.ask(far, "What is <region1>?", {1: CUP}, allowed=["a dog", "a cup"], n_top=2))
        assert again == listed
        info = here.decoder.info
        opened = worker.opened
        assert (opened.language_engine, opened.context_length) == (info.engine, info.context_length)
        assert opened.n_threads == info.n_threads == 1


def test_a_killed_one_comes_back_with_the_image_open(worker: WorkerPipeline, photo: RgbImage) -> None:
    image = worker.encode(photo)
    before = timeless(worker.ask(image, "What is <region1>?", {1: CUP}))
    dead = worker.pid
    assert dead is not None
    os.kill(dead, signal.SIGKILL)
    assert timeless(worker.ask(image, "What is <region1>?", {1: CUP})) == before
    assert worker.pid != dead
    assert not psutil.pid_exists(dead)
    rambling = Sampling(temperature=10.0)
    events = worker.ask(image, "What is <region1>?", {1: CUP}, sampling=rambling, max_tokens=400)
    assert isinstance(next(events), TextDelta)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerDiedError, match="while answering"):
        list(events)
    assert timeless(worker.ask(image, "What is <region1>?", {1: CUP})) == before


def test_engines_with_threads_of_their_own_rest_between_questions(bundle_dir: Path, photo: RgbImage) -> None:
    settings = EngineSettings(vision_threads=2, language=LlamaCppSettings(n_threads=2, context_length=512))
    with WorkerPipeline.open(bundle_dir, settings) as worker:
        list(worker.ask(worker.encode(photo), "What is <region1>?", {1: CUP}, max_tokens=4))
        process = psutil.Process(worker.pid)
        before = sum(process.cpu_times()[:2])
        with pytest.raises(psutil.TimeoutExpired):
            process.wait(2.0)
        assert sum(process.cpu_times()[:2]) - before < 0.1
    assert not process.is_running()  # and no zombie: whoever closes waits for it
