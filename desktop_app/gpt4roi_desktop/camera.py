"""A live camera on a thread of its own, and a frame of it as a photo's file. Knows no Qt.

Only the newest frame is offered, and the next one once that was taken: a slow window falls behind by one frame.
"""

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from gpt4roi_desktop.places import Places
from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.errors import Gpt4RoiError, InputError, OutputError
from gpt4roi_runtime.storage import written_aside

_MOST_EMPTY_FRAMES = 30


class Source(Protocol):
    """What OpenCV's cameras are."""

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        """Whether there is a camera."""

    def read(self) -> tuple[bool, Any]:
        """The next frame, uint8 ``[h w 3]`` in blue, green, red; waits for it."""

    def release(self) -> None:
        """Let the camera go."""


class Camera:
    """Reads frames until it is closed.

    Args:
        number: Which camera, from 0.
        ready: Called from the camera's thread when there is a frame to ``take``.
        failed: Called from that thread, once, when there will be no more.
        open_source: Opens the camera; may take seconds.
    """

    def __init__(
        self,
        number: int,
        ready: Callable[[], None],
        failed: Callable[[Gpt4RoiError], None],
        open_source: Callable[[int], Source] = cv2.VideoCapture,
    ) -> None:
        self._number = number
        self._ready = ready
        self._failed = failed
        self._open_source = open_source
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._frame: RgbImage | None = None
        threading.Thread(target=self._run, name="camera", daemon=True).start()

    def take(self) -> RgbImage | None:
        """The newest frame, uint8 ``[h w 3]``; None where it was taken already."""
        with self._lock:
            frame, self._frame = self._frame, None
        return frame

    def close(self) -> None:
        """Let the camera go, as soon as its driver returns; does not wait for that, for some take seconds."""
        self._closing.set()

    def _run(self) -> None:
        try:
            source = self._open_source(self._number)
            try:
                self._read(source)
            finally:
                source.release()
        except Gpt4RoiError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - whatever a driver does, the window has to be told
            self._fail(InputError(f"camera {self._number} failed: {error}", _ADVICE))

    def _read(self, source: Source) -> None:
        if not source.isOpened():
            raise InputError(f"there is no camera {self._number}, or it may not be used", _ADVICE)
        n_empty = 0
        while not self._closing.is_set():
            good, frame = source.read()
            if not good or frame is None:
                n_empty += 1
                if n_empty > _MOST_EMPTY_FRAMES:
                    raise InputError(f"camera {self._number} gives no picture", _ADVICE)
                continue
            n_empty = 0
            self._offer(np.ascontiguousarray(frame[:, :, ::-1], dtype=np.uint8))

    def _offer(self, frame: RgbImage) -> None:
        with self._lock:
            waiting, self._frame = self._frame is not None, frame
        if not waiting and not self._closing.is_set():
            self._ready()

    def _fail(self, error: Gpt4RoiError) -> None:
        if not self._closing.is_set():
            self._failed(error)


_ADVICE = "Check the cable, close other programs that use it, or choose another number."


def keep_frame(frame: RgbImage, places: Places) -> Path:
    """Write a frame as a photo of ours.

    Args:
        frame: UInt8 ``[h w 3]``.
        places: Where the app keeps things.

    Raises:
        OutputError: It cannot be written.
    """
    good, content = cv2.imencode(".png", frame[:, :, ::-1])
    if not good:
        raise OutputError("the frame cannot be made a picture", "Freeze another one.")
    raw = content.tobytes()
    path = places.frozen(hashlib.sha256(raw).hexdigest())
    places.make(path.parent)
    with written_aside(path) as file:
        file.write(raw)
    return path
