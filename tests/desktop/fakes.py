"""A model's process that a test plays itself, and threads that run at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from gpt4roi_desktop.session import Photo, Session
from gpt4roi_runtime.errors import Gpt4RoiError
from gpt4roi_runtime.events import Done
from gpt4roi_runtime.worker import messages as m

T = TypeVar("T")


class FakeWorker:
    """Hears requests; the test says the events."""

    def __init__(self, hear: Callable[[m.Event], None]) -> None:
        self.say = hear
        self.requests: list[m.Request] = []
        self.photos: list[Any] = []
        self.closed = False

    def send(self, request: m.Request, photo: Any = None) -> None:
        self.requests.append(request)
        if photo is not None:
            self.photos.append(photo)

    def close(self) -> None:
        self.closed = True

    def last(self, kind: type[T]) -> T:
        return [each for each in self.requests if isinstance(each, kind)][-1]

    def count(self, kind: type[object]) -> int:
        return sum(isinstance(each, kind) for each in self.requests)

    def open_model(self, *, has_detector: bool = True, notes: tuple[str, ...] = ()) -> None:
        self.say(opened(self.last(m.OpenBundle).id, has_detector=has_detector, notes=notes))

    def open_image(self) -> None:
        self.say(m.ImageOpened(self.last(m.OpenImage).id, {"encode": 0.1}))

    def answer(self, *texts: str) -> None:
        """Stream these texts as the answer to the last question."""
        number = self.last(m.Ask).id
        for text in texts:
            self.say(m.Text(number, text))
        self.say(answered(number, "".join(texts)))

    def answer_boxes(self, answers: dict[int, str], *, complete: bool = True) -> None:
        """Answer some boxes of the last question about many, by place; if ``complete``, no other follows."""
        number = self.last(m.AskEach).id
        for place, text in answers.items():
            self.say(m.BoxAnswered(number, place, whole(text)))
        if complete:
            self.say(m.AllAnswered(number, memory_bytes=600_000_000))


class Workers:
    """Starts fake workers, and keeps them."""

    def __init__(self) -> None:
        self.started: list[FakeWorker] = []

    def __call__(self, hear: Callable[[m.Event], None]) -> FakeWorker:
        self.started.append(FakeWorker(hear))
        return self.started[-1]

    @property
    def last(self) -> FakeWorker:
        return self.started[-1]


class AtOnce:
    """Threads without threads."""

    def post(self, call: Callable[[], None]) -> None:
        call()

    def aside(self, work: Callable[[], T], then: Callable[[T], None], failed: Callable[[Gpt4RoiError], None]) -> None:
        try:
            result = work()
        except Gpt4RoiError as error:
            failed(error)
        else:
            then(result)


def opened(number: int, *, has_detector: bool = True, notes: tuple[str, ...] = ()) -> m.BundleOpened:
    return m.BundleOpened(
        number,
        bundle_id="0123456789abcdef",
        name="fake",
        vision_engine="fake vision",
        language_engine="fake language",
        n_threads=1,
        has_detector=has_detector,
        load_s=0.1,
        notes=notes,
    )


def answered(number: int, answer: str) -> m.Answered:
    seconds = {"first_text": 0.25, "decode": 0.5}
    done = Done(answer, "end", (), n_prompt_rows=40, n_answer_tokens=11, prompt_text="", seconds=seconds)
    return m.Answered(number, done, memory_bytes=600_000_000)


def whole(answer: str) -> Done:
    """An answer that was written beside others."""
    seconds = {"regions": 0.05, "rows": 0.05, "prefill": 0.15, "decode": 0.5}
    return Done(answer, "end", (), n_prompt_rows=40, n_answer_tokens=11, prompt_text="", seconds=seconds)


def photo_file(folder: Path, name: str = "photo.png", size: tuple[int, int] = (200, 100)) -> Path:
    path = folder / name
    rows = np.arange(size[0] * size[1] * 3, dtype=np.int64) % 251
    Image.fromarray(rows.astype(np.uint8).reshape(size[1], size[0], 3)).save(path)
    return path


def session(width_px: int = 200, height_px: int = 100) -> Session:
    return Session(Photo(Path("photo.png"), "0" * 64, width_px, height_px))
