"""The store of a pipeline in another process: the same folder, the same budget, and its notes come home."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpt4roi_runtime.image_store import ImageStore
from gpt4roi_runtime.llm.decoder import Prefilled
from gpt4roi_runtime.pipeline import Pipeline
from gpt4roi_runtime.worker.client import WorkerPipeline
from tests.runtime.worker.tiny import SETTINGS, never, photo, weighed, written

pytestmark = pytest.mark.usefixtures("importable")


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, notes: list[str]) -> ImageStore:
    return ImageStore(tmp_path / "store", on_note=notes.append)


@pytest.fixture
def worker(tiny_folder: Path, store: ImageStore) -> Iterator[WorkerPipeline]:
    with WorkerPipeline.open(tiny_folder, SETTINGS, store) as pipeline:
        yield pipeline


def die(worker: WorkerPipeline) -> None:
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)


def test_a_photo_kept_there_is_reopened_by_the_next_process_and_by_this_one(
    worker: WorkerPipeline, tiny_folder: Path, store: ImageStore, notes: list[str]
) -> None:
    image = worker.encode(photo(1))
    assert set(image.seconds) == {"preprocess", "encode", "keep"}
    before = weighed(worker, image, never)
    assert store.usage()[0] == 2
    die(worker)
    again = worker.encode(photo(1))
    assert set(again.seconds) == {"preprocess", "reopen"}
    filled = worker.prepare(again)
    assert filled == Prefilled(filled.n_kept, 0)
    assert filled.n_kept > 0
    assert weighed(worker, again, never) == before
    with Pipeline.open(tiny_folder, SETTINGS, store) as here:
        near = here.encode(photo(1))
        assert "reopen" in near.seconds
        assert weighed(here, near, never) == before
    assert notes == []


def test_without_a_store_nothing_is_kept(tiny_folder: Path, tmp_path: Path) -> None:
    with WorkerPipeline.open(tiny_folder, SETTINGS) as worker:
        assert worker.store is None
        assert set(worker.encode(photo(1)).seconds) == {"preprocess", "encode"}
    assert list(tmp_path.iterdir()) == []


def test_notes_reach_the_caller_in_its_own_thread_and_once(tiny_folder: Path, tmp_path: Path) -> None:
    heard: list[tuple[str, threading.Thread]] = []
    (tmp_path / "taken").touch()
    store = ImageStore(tmp_path / "taken", on_note=lambda note: heard.append((note, threading.current_thread())))
    with WorkerPipeline.open(tiny_folder, SETTINGS, store) as worker:
        image = worker.encode(photo(1))
        ((note, thread),) = heard
        assert "the photo is not kept" in note
        assert thread is threading.current_thread()
        said = written(worker, image, never)
        die(worker)
        assert written(worker, image, never) == said
    assert len(heard) == 1


def test_damage_is_told_and_mended(worker: WorkerPipeline, tmp_path: Path, store: ImageStore, notes: list[str]) -> None:
    before = written(worker, worker.encode(photo(1)), never)
    for path in (tmp_path / "store").iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    die(worker)
    assert written(worker, worker.encode(photo(1)), never) == before
    assert len(notes) == 2
    assert all("damaged" in note for note in notes)
    assert store.usage()[0] == 2


def test_the_budget_is_the_callers(tiny_folder: Path, tmp_path: Path) -> None:
    with WorkerPipeline.open(tiny_folder, SETTINGS, ImageStore(tmp_path / "store", 9_000)) as worker:
        for number in range(3):
            worker.encode(photo(number))
    n_files, n_bytes = ImageStore(tmp_path / "store").usage()
    assert n_files == 1
    assert n_bytes <= 9_000


def test_a_relative_folder_is_the_callers(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with WorkerPipeline.open(tiny_folder, SETTINGS, ImageStore(Path("kept"))) as worker:
        worker.encode(photo(1))
    assert ImageStore(tmp_path / "kept").usage()[0] == 1


def test_an_on_note_that_fails_ends_the_request_and_nothing_else(tiny_folder: Path, tmp_path: Path) -> None:
    def fail(_: str) -> None:
        raise LookupError("mine")

    (tmp_path / "taken").touch()
    with WorkerPipeline.open(tiny_folder, SETTINGS, ImageStore(tmp_path / "taken", on_note=fail)) as worker:
        with pytest.raises(LookupError, match="mine"):
            worker.encode(photo(1))
        assert worker.encode(photo(2)).width_px == 30  # the same note: nobody is told twice
