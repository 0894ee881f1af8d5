"""The model's process: started, given bundle and photo, asked, ended, started again. Knows no question and no answer.

A request is heard of by whoever sent it, until its last event; of the process's end hear all who still wait. What a
process says that was given up, or of a request that was forgotten, nobody hears.
"""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Literal, Protocol

from gpt4roi_desktop import requests
from gpt4roi_desktop.threads import Threads
from gpt4roi_desktop.workspace import Notice, Workspace
from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.errors import Gpt4RoiError
from gpt4roi_runtime.worker import messages as m
from gpt4roi_runtime.worker.faults import how_it_ended

ProcessStage = Literal["idle", "loading", "encoding", "ready", "no_model", "dead"]
Listener = Callable[[m.Event], None]


class Worker(Protocol):
    """One process, as ``WorkerProcess`` is it."""

    def send(self, request: m.Request, photo: RgbImage | None = None) -> None:
        """Send a request; returns at once."""

    def close(self) -> None:
        """End the process."""


Launch = Callable[[Listener], Worker]


class ModelProcess:
    """The one process of a window, which may be another one tomorrow.

    Args:
        launch: Starts one.
        threads: How its events come to the window's thread, and how it is ended aside.
        workspace: The photo that it is to see, the preferences it is opened with, and where its end is told.
        ready: Called when it has seen the photo.

    Attributes:
        folder: Of the bundle that is open or being opened.
        opened: What the model said of itself, or None while there is none.
        has_photo: Whether it can be asked about the photo.
    """

    def __init__(self, launch: Launch, threads: Threads, workspace: Workspace, ready: Callable[[], None]) -> None:
        self.folder: Path | None = None
        self.opened: m.BundleOpened | None = None
        self.has_photo = False
        self._launch = launch
        self._threads = threads
        self._workspace = workspace
        self._ready = ready
        self._ids = count(1)
        self._worker: Worker | None = None
        self._listeners: dict[int, Listener] = {}
        self._image_request = 0
        self._refused = False
        self._photo_refused = False
        self._switching = False

    @property
    def stage(self) -> ProcessStage:
        """What is going on with it."""
        facts: tuple[tuple[bool, ProcessStage], ...] = (
            (self._switching, "loading"),
            (self._refused, "no_model"),
            (self.folder is not None and self._worker is None, "dead"),
            (self._worker is None, "idle"),
            (self.opened is None, "loading"),
            (self._photo_refused, "idle"),
            (self._workspace.session is not None and not self.has_photo, "encoding"),
        )
        return next((stage for holds, stage in facts if holds), "ready")

    def open(self, folder: Path) -> None:
        """Load a bundle, in a new process; the photo is encoded again behind it."""
        self.folder = folder
        old, self._worker = self._worker, None
        self._forget_all()
        if old is None:
            self.restart()
            return
        self._switching = True  # the old process first, so that never two models are in memory; it may take seconds
        self._threads.aside(old.close, lambda _: self._switched(), self._workspace.complain)
        self._workspace.notify("status")

    def restart(self) -> None:
        """Start a process where none is, and open bundle and photo again."""
        if self.folder is None or self._worker is not None or self._switching:
            return
        self._workspace.tell(None)
        worker: Worker | None = None

        def hear(event: m.Event) -> None:
            self._threads.post(lambda: self._hear(worker, event))

        try:
            worker = self._launch(hear)
        except Gpt4RoiError as error:
            self._workspace.tell(Notice(error.problem, error.advice, "restart"))
            return
        self._worker, self._refused = worker, False
        opening = requests.open_bundle(self.new_id(), self.folder, self._workspace.preferences)
        self.send(opening, self._hear_of_bundle)
        self._workspace.notify("status")

    def show_photo(self) -> None:
        """Let it see the photo that is open, as soon as there is a model."""
        self.has_photo = self._photo_refused = False
        pixels = self._workspace.pixels
        if self.opened is not None and pixels is not None:
            self.forget(self._image_request)
            self._image_request = self.new_id()
            height_px, width_px = pixels.shape[:2]
            self.send(m.OpenImage(self._image_request, width_px, height_px), self._hear_of_photo, pixels)
        self._workspace.notify("status")

    def new_id(self) -> int:
        """For a request."""
        return next(self._ids)

    def send(self, request: m.Request, listener: Listener, photo: RgbImage | None = None) -> None:
        """Send a request; returns at once.

        Args:
            request: With a ``new_id``.
            listener: Hears all that comes of it: events to the last one, or that the process died.
            photo: Uint8 ``[h w 3]``, where one goes with it.

        Raises:
            InputError: The request does not fit into a message.
        """
        if self._worker is not None:
            self._worker.send(request, photo)
            self._listeners[request.id] = listener

    def cancel(self, request_id: int) -> None:
        """Stop a request; that it has stopped is heard in time."""
        if self._worker is not None:
            self._worker.send(m.Cancel(request_id))

    def forget(self, request_id: int) -> None:
        """Hear no more of a request."""
        self._listeners.pop(request_id, None)

    def close(self) -> None:
        """End the process aside: one that does not go takes seconds."""
        worker, self._worker = self._worker, None
        self._forget_all()
        if worker is not None:
            self._threads.aside(worker.close, lambda _: None, self._workspace.complain)

    def _switched(self) -> None:
        self._switching = False
        self.restart()

    def _forget_all(self) -> None:
        self.opened, self.has_photo = None, False
        self._listeners.clear()

    def _hear(self, worker: Worker | None, event: m.Event) -> None:
        if worker is not self._worker or worker is None:
            return  # a process that was given up
        if isinstance(event, m.Died):
            self._hear_death(event)
            return
        if isinstance(event, m.Noted):
            self._workspace.tell(Notice(event.text))
            return
        last = not isinstance(event, m.Progress)
        listener = self._listeners.pop(event.id, None) if last else self._listeners.get(event.id)
        if listener is not None:
            listener(event)

    def _hear_death(self, event: m.Died) -> None:
        for listener in tuple(self._listeners.values()):
            listener(event)
        self.close()
        advice = "Your boxes and answers are safe. Restart it to go on."
        self._workspace.tell(Notice(f"the model's process {how_it_ended(event)}", advice, "restart"))
        self._workspace.notify("status")

    def _hear_of_bundle(self, event: m.Event) -> None:
        match event:
            case m.BundleOpened():
                self.opened = event
                if event.notes:
                    self._workspace.tell(Notice("; ".join(event.notes)))
                self.show_photo()
            case m.Failed():
                self._refused = True
                self._workspace.tell(Notice(event.problem, event.advice, "choose_model"))
                self._workspace.notify("status")

    def _hear_of_photo(self, event: m.Event) -> None:
        match event:
            case m.ImageOpened():
                self.has_photo = True
                self._ready()
            case m.Failed():
                self._photo_refused = True
                self._workspace.tell(Notice(event.problem, event.advice))
                self._workspace.notify("status")
