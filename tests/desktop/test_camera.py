"""The camera's thread, with a camera that a test plays."""

import queue
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt4roi_desktop.camera import Camera, keep_frame
from gpt4roi_desktop.photo_file import read_photo
from gpt4roi_desktop.places import Places
from gpt4roi_runtime.errors import Gpt4RoiError, OutputError

PATIENCE_S = 20


class FakeSource:
    """Gives the frames that a test puts into it; None is an empty one."""

    def __init__(self, *, there: bool = True) -> None:
        self.frames: queue.Queue[Any] = queue.Queue()
        self.there = there
        self.released = threading.Event()

    def isOpened(self) -> bool:  # noqa: N802
        return self.there

    def read(self) -> tuple[bool, Any]:
        try:
            frame = self.frames.get(timeout=0.05)
        except queue.Empty:
            return True, None if self.released.is_set() else solid(0)
        if isinstance(frame, Exception):
            raise frame
        return frame is not None, frame

    def release(self) -> None:
        self.released.set()


def solid(blue: int) -> np.ndarray:
    """A frame as OpenCV gives it."""
    frame = np.zeros((4, 6, 3), dtype=np.uint8)
    frame[:, :, 0] = blue
    return frame


class Watcher:
    def __init__(self, source: FakeSource) -> None:
        self.ready, self.failures = threading.Semaphore(0), queue.Queue[Gpt4RoiError]()
        self.camera = Camera(3, self.ready.release, self.failures.put, lambda number: source)


def test_frames_are_offered_in_red_green_blue() -> None:
    source = FakeSource()
    source.frames.put(solid(200))
    watcher = Watcher(source)
    assert watcher.ready.acquire(timeout=PATIENCE_S)
    frame = watcher.camera.take()
    watcher.camera.close()
    assert frame is not None
    assert frame[0, 0].tolist() == [0, 0, 200]
    assert source.released.wait(PATIENCE_S)


def test_a_window_that_is_slow_gets_the_newest() -> None:
    source = FakeSource()
    watcher = Watcher(source)
    assert watcher.ready.acquire(timeout=PATIENCE_S)
    source.frames.put(solid(10))
    source.frames.put(solid(20))
    source.frames.put(RuntimeError("unplugged"))  # now both were read
    watcher.failures.get(timeout=PATIENCE_S)
    assert not watcher.ready.acquire(blocking=False)
    frame = watcher.camera.take()
    assert frame is not None
    assert frame[0, 0, 2] == 20
    assert watcher.camera.take() is None
    watcher.camera.close()


@pytest.mark.parametrize(
    ("source", "frames", "words"),
    [
        (FakeSource(there=False), [], "there is no camera 3"),
        (FakeSource(), [None] * 31, "gives no picture"),
        (FakeSource(), [RuntimeError("unplugged")], "unplugged"),
    ],
)
def test_a_camera_that_fails_is_said_once(source: FakeSource, frames: list[Any], words: str) -> None:
    for frame in frames:
        source.frames.put(frame)
    watcher = Watcher(source)
    error = watcher.failures.get(timeout=PATIENCE_S)
    assert words in error.problem
    assert error.advice
    assert source.released.wait(PATIENCE_S)
    assert watcher.failures.empty()


def test_nothing_is_said_after_it_was_closed() -> None:
    source = FakeSource()
    watcher = Watcher(source)
    assert watcher.ready.acquire(timeout=PATIENCE_S)
    watcher.camera.close()
    assert source.released.wait(PATIENCE_S)
    assert watcher.failures.empty()


def test_a_frame_becomes_a_photo(tmp_path: Path) -> None:
    frame = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    path = keep_frame(frame, Places(tmp_path))
    assert np.array_equal(read_photo(path).pixels, frame)
    assert path.is_relative_to(tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError):
        keep_frame(solid(1), Places(tmp_path / "file"))
