"""A pipeline in a process of its own, with the face of the one that is not. Knows no pipe and no engine."""

import os
import weakref
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import randbits
from types import TracebackType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.asking import check_bundle
from gpt4roi_runtime.backends.load import EngineSettings
from gpt4roi_runtime.bundle.folder import Bundle, open_bundle
from gpt4roi_runtime.choices import check_choices
from gpt4roi_runtime.errors import ImageError
from gpt4roi_runtime.events import Chosen, Event, RegionAnswer, TextDelta
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.image_store import ImageStore
from gpt4roi_runtime.keeping import DEFAULT_IMAGES_BYTES
from gpt4roi_runtime.llm.decoder import CancelCheck, Prefilled, Sampling
from gpt4roi_runtime.prompt import Turn
from gpt4roi_runtime.vision.proposals import DEFAULT_MAX_BOXES, Proposal
from gpt4roi_runtime.worker import messages as m
from gpt4roi_runtime.worker.line import Call, Line
from gpt4roi_runtime.worker.process import COMMAND, Letter

T = TypeVar("T")
_MOST_PHOTO_BYTES = 2**32 - 1


@dataclass(frozen=True, eq=False)
class WorkerImage:
    """An image ready for questions to a WorkerPipeline; it stays so when the process has dropped it, or has died.

    Attributes:
        width_px: Width of the photo that boxes refer to.
        height_px: Its height.
        bundle_id: Of the bundle that encoded it.
        seconds: As ``EncodedImage.seconds``.
        key: As ``EncodedImage.key``.
        number: What the process knows it by.
        photo: A copy of the photo, uint8 ``[h w 3]``, to encode it once more.
    """

    width_px: int
    height_px: int
    bundle_id: str
    seconds: dict[str, float]
    key: str
    number: int
    photo: RgbImage = field(repr=False)


class WorkerPipeline(AbstractContextManager["WorkerPipeline"]):
    """A bundle loaded in a process of its own, so that no crash of an engine takes the caller down.

    Use it as a context manager, or call ``close``; one that is forgotten ends its process too. It may be called from
    several threads at once: requests are served one after another. Where the process dies, the request it worked on
    raises WorkerDiedError, and the next one starts another process and opens bundle and image in it.

    Attributes:
        bundle: What was opened.
        settings: What the engines are loaded with.
        store: Where images are kept on disk; None keeps them in memory alone.
    """

    def __init__(self, bundle: Bundle, line: Line, settings: EngineSettings, store: ImageStore | None = None) -> None:
        self.bundle = bundle
        self.settings = settings
        self.store = store
        self._line = line
        self._end = weakref.finalize(self, line.close)

    @classmethod
    def open(
        cls,
        folder: Path,
        settings: EngineSettings | None = None,
        store: ImageStore | None = None,
        *,
        images_bytes: int = DEFAULT_IMAGES_BYTES,
        command: Sequence[str] = COMMAND,
    ) -> "WorkerPipeline":
        """Start a process, and let it check the bundle at ``folder`` and load its engines.

        Args:
            folder: The bundle.
            settings: How the engines are loaded.
            store: As of ``Pipeline.open``. The process opens the same folder with the same budget, and what it has to
                say goes to this store's ``on_note``, from the thread of the caller whose request it is about.
            images_bytes: What the process may keep of encoded images; one that it dropped is encoded once more.
            command: What to start instead of the model's process.

        Raises:
            BundleError: The folder is not a bundle, or not what its manifest says.
            EngineError: An engine is missing or fails, or the process does.
        """
        bundle, settings = open_bundle(folder), settings or EngineSettings()
        kept = None if store is None else m.StoreFolder(os.fsencode(store.folder.absolute()), store.budget_bytes)
        wanted = m.OpenBundle(0, os.fsencode(folder.absolute()), settings, images_bytes=images_bytes, store=kept)
        on_note = _say_nothing if store is None else store.note
        pipeline = cls(bundle, Line(wanted, bundle.id, command, on_note), settings, store)
        try:
            pipeline._line.connection(None)
        except BaseException:
            pipeline.close()
            raise
        return pipeline

    @property
    def opened(self) -> m.BundleOpened:
        """What the process said when it was last started: engines, threads, context, notes, seconds of loading."""
        assert self._line.opened is not None  # noqa: S101 - `open` returns behind it
        return self._line.opened

    @property
    def load_s(self) -> float:
        """Wall-clock seconds of checking and loading, without the start of the process."""
        return self.opened.load_s

    @property
    def notes(self) -> tuple[str, ...]:
        """What its user should know of the engines, a line each, as of the process that was last started."""
        return self.opened.notes

    @property
    def pid(self) -> int | None:
        """The process that runs now; None between a death and the next request."""
        return self._line.pid

    def propose(
        self, image: RgbImage, *, threshold: float | None = None, max_boxes: int = DEFAULT_MAX_BOXES
    ) -> tuple[Proposal, ...]:
        """Find boxes worth a question; see ``Pipeline.propose``.

        Raises:
            ImageError: ``image`` is not uint8 ``[h w 3]``.
            SettingsError: ``threshold`` or ``max_boxes`` is out of its range.
            BundleError: The bundle has no detector, or one that is not what the manifest says.
            EngineError: The engine is missing or fails, or the process died.
        """
        photo = np.ascontiguousarray(_checked(image))
        request = m.Propose(0, photo.shape[1], photo.shape[0], threshold, max_boxes)
        call = self._line.begin(Letter(request, photo), "looking for boxes", None)
        found = call.until(m.Proposed, None).found
        return tuple(Proposal(Box(*each.box), each.name, each.score) for each in found)

    def encode(self, image: RgbImage) -> WorkerImage:
        """Run the encode graph on a photo, uint8 ``[h w 3]``: once an image, or not at all if the store has it.

        Raises:
            ImageError: ``image`` is not uint8 ``[h w 3]``.
            EngineError: The engine failed, or the process died.
            NumericError: NaN or infinity came out of it.
        """
        photo = np.array(_checked(image), order="C")  # the caller may draw on the other
        photo.flags.writeable = False
        height_px, width_px = photo.shape[:2]
        number = 1 + randbits(62)  # nobody else's, so that images of another WorkerPipeline are not mistaken for it
        letter = Letter(m.OpenImage(0, width_px, height_px, number), photo)
        opened = self._line.begin(letter, "encoding the photo", None).until(m.ImageOpened, None)
        return WorkerImage(width_px, height_px, self.bundle.id, opened.seconds, opened.key, number, photo)

    def prepare(self, image: WorkerImage, *, cancel: CancelCheck | None = None) -> Prefilled:
        """Compute ahead of any question what all questions about an image begin with; see ``Pipeline.prepare``.

        Raises:
            BundleError: The image is another bundle's.
            ContextOverflowError: It does not fit the context.
            EngineError: An engine failed, or the process died.
            Cancelled: ``cancel`` said so.
        """
        call = self._begin(m.Prepare(0, image.number), image, "preparing for questions", cancel)
        return call.until(m.Prepared, cancel).filled

    def ask(
        self,
        image: WorkerImage,
        question: str,
        regions: Mapping[int, Box],
        *,
        history: Sequence[Turn] = (),
        sampling: Sampling | None = None,
        max_tokens: int | None = None,
        allowed: Sequence[str] | None = None,
        n_top: int | None = None,
        cancel: CancelCheck | None = None,
    ) -> Iterator[Event]:
        """Stream the answer to a question about regions of an image; see ``Pipeline.ask``.

        All that the user gave is checked by the call itself. Waits for its turn where other requests are served.

        Args:
            image: From ``encode``.
            question: Mentions regions as ``<region1>``, ``<region2>``, ...
            regions: The box of every number that ``question`` or ``history`` mentions, and of no other.
            history: ``Done.history`` of the turn before, for a follow-up.
            sampling: None takes what the bundle recommends.
            max_tokens: Most tokens of the answer; None takes what the bundle recommends.
            allowed: Where given, the model writes one of these texts and nothing else, whatever ``max_tokens``.
            n_top: Where given, ``Done.tokens`` tells how likely every token was, and so many of the likeliest in its
                place, 0 to 20.
            cancel: Asked often while waiting, from the caller's thread; True stops the work.

        Returns:
            An iterator over TextDelta events and, last, one Done. Closing or dropping it early stops the engine.

        Raises:
            InputError: Question, boxes or settings cannot be used, or exceed the context.
            EngineError: An engine failed, or the process died (WorkerDiedError).
            Cancelled: ``cancel`` said so.
        """
        request = m.Ask(
            0,
            question,
            _corners(regions),
            _pairs(history),
            image.number,
            sampling,
            max_tokens,
            None if allowed is None else _listed(allowed),
            n_top,
        )
        return _Answer(self, self._begin(request, image, "answering", cancel), cancel)

    def choose(
        self,
        image: WorkerImage,
        question: str,
        regions: Mapping[int, Box],
        choices: Sequence[str],
        *,
        lead: str = "",
        history: Sequence[Turn] = (),
        cancel: CancelCheck | None = None,
    ) -> Chosen:
        """Find the likeliest of several answers, without writing any; see ``Pipeline.choose``.

        Raises:
            InputError: Question, boxes or choices cannot be used, or exceed the context.
            EngineError: An engine failed, or the process died (WorkerDiedError).
            Cancelled: ``cancel`` said so.
        """
        request = m.Choose(0, question, _corners(regions), _listed(choices), lead, _pairs(history), image.number)
        return self._begin(request, image, "weighing the choices", cancel).until(m.Weighed, cancel).chosen

    def ask_each(
        self,
        image: WorkerImage,
        question: str,
        boxes: Sequence[Box],
        *,
        sampling: Sampling | None = None,
        max_tokens: int | None = None,
        cancel: CancelCheck | None = None,
    ) -> Iterator[RegionAnswer]:
        """Ask one question about many boxes, many at a time; see ``Pipeline.ask_each``.

        Returns:
            An iterator over answers, each as soon as it is complete. Closing or dropping it early stops the engine.

        Raises:
            InputError: Question, boxes or settings cannot be used, or exceed the context.
            EngineError: An engine failed, or the process died (WorkerDiedError).
            Cancelled: ``cancel`` said so.
        """
        corners = tuple(box.xyxy for box in boxes)
        request = m.AskEach(0, question, corners, image.number, sampling, max_tokens)
        return _BoxAnswers(self, self._begin(request, image, "answering", cancel), cancel, tuple(boxes))

    def close(self) -> None:
        """End the process, and give its memory back; closing twice is harmless."""
        self._end()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self, request: m.AboutImage, image: WorkerImage, doing: str, cancel: CancelCheck | None) -> Call:
        check_bundle(image.bundle_id, self.bundle)
        again = Letter(m.OpenImage(0, image.width_px, image.height_px, image.number), image.photo)
        return self._line.begin(Letter(request), doing, cancel, again)


class _Stream(Iterator[T]):
    """Events of a request as a caller wants them."""

    def __init__(self, owner: WorkerPipeline, call: Call, cancel: CancelCheck | None) -> None:
        self._owner = owner  # which would end its process if it were forgotten before the answer is complete
        self._call = call
        self._cancel = cancel
        self._drop = weakref.finalize(self, call.drop)
        self._drop.atexit = False
        call.until(m.Accepted, cancel)

    def __next__(self) -> T:
        while not self._call.over:
            value = self._read(self._call.next(self._cancel))
            if value is not None:
                return value
        raise StopIteration

    def close(self) -> None:
        """Stop the engine, where it has not come to the end."""
        self._drop()

    @abstractmethod
    def _read(self, event: m.Event) -> T | None:
        """What an event means to the caller, if anything."""


class _Answer(_Stream[Event]):
    def _read(self, event: m.Event) -> Event | None:
        match event:
            case m.Text():
                return TextDelta(event.text)
            case m.Answered():
                return event.done
        return None


class _BoxAnswers(_Stream[RegionAnswer]):
    def __init__(self, owner: WorkerPipeline, call: Call, cancel: CancelCheck | None, boxes: tuple[Box, ...]) -> None:
        super().__init__(owner, call, cancel)
        self._boxes = boxes

    def _read(self, event: m.Event) -> RegionAnswer | None:
        if not isinstance(event, m.BoxAnswered):
            return None
        return RegionAnswer(event.index, self._boxes[event.index], event.done)


def _corners(regions: Mapping[int, Box]) -> dict[int, m.Corners]:
    return {number: box.xyxy for number, box in regions.items()}


def _pairs(history: Sequence[Turn]) -> tuple[tuple[str, str], ...]:
    return tuple((turn.question, turn.answer) for turn in history)


def _listed(choices: Sequence[str]) -> tuple[str, ...]:
    """Choices for a message, where one text must not become a list of its letters; the process checks the others.

    Raises:
        QuestionError: They are one text.
    """
    return check_choices(choices) if isinstance(choices, str) else tuple(choices)


def _say_nothing(_: str) -> None:
    """Without a store there is nothing to say."""


def _checked(image: NDArray[np.generic]) -> NDArray[np.uint8]:
    """The photo, if it is one that can be sent.

    Raises:
        ImageError: It is not uint8 ``[h w 3]``, is empty, or is too large.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not 0 < image.nbytes <= _MOST_PHOTO_BYTES:
        raise ImageError(
            f"an array of {image.dtype} {image.shape} is not a photo", "Give uint8 [h w 3], RGB, to 4 GiB."
        )
    return image.astype(np.uint8, copy=False)
