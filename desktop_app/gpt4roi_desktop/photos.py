"""Opens photos aside, and remembers what is known about each. Knows no model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gpt4roi_desktop.photo_file import OpenedPhoto, is_there, read_photo
from gpt4roi_desktop.places import Places
from gpt4roi_desktop.session import Session
from gpt4roi_desktop.threads import Threads
from gpt4roi_desktop.workspace import Notice, Workspace
from gpt4roi_runtime.errors import Gpt4RoiError, InputError


class Photos:
    """The photos of one window, one after another.

    Args:
        threads: Reading and writing are done aside.
        places: Where sessions are remembered.
        workspace: What is open, and where troubles are told.
        opened: Called with a photo that was read and its session, while the one before is still open.

    Attributes:
        reading: Whether one is being read.
    """

    def __init__(
        self, threads: Threads, places: Places, workspace: Workspace, opened: Callable[[OpenedPhoto, Session], None]
    ) -> None:
        self.reading = False
        self._threads = threads
        self._places = places
        self._workspace = workspace
        self._opened = opened
        self._n_opening = 0

    def open(self, path: Path, resumed: Session | None = None) -> None:
        """Read a photo; what is known about it comes back with it.

        Args:
            path: The photo.
            resumed: A session to go on with; None takes the one that was kept for this photo, if any.
        """
        self.keep()  # before it is read back: the photo may be the one that is open
        self._n_opening += 1
        opening = self._n_opening
        self.reading = True
        self._workspace.notify("status")

        def read() -> tuple[OpenedPhoto, Session | None, Notice | None]:
            opened = read_photo(path)
            return opened, *((resumed, None) if resumed is not None else self._known(opened.photo.sha256))

        def then(result: tuple[OpenedPhoto, Session | None, Notice | None]) -> None:
            if opening == self._n_opening:
                self.reading = False
                self._take(*result)

        def failed(error: Gpt4RoiError) -> None:
            if opening == self._n_opening:
                self.reading = False
                self._workspace.complain(error)
                self._workspace.notify("status")

        self._threads.aside(read, then, failed)

    def keep(self) -> None:
        """Remember the session, aside; where that fails, say so and go on."""
        session = self._workspace.session
        if session is not None and self._worth_keeping(session):
            self._threads.aside(lambda: self._places.keep(session), lambda _: None, self._workspace.complain)

    def _known(self, sha256: str) -> tuple[Session | None, Notice | None]:
        """What was kept about a photo; what cannot be read is laid aside, as it would be written over."""
        if not is_there(self._places.autosaved(sha256)):
            return None, None
        try:
            return self._places.kept(sha256), None
        except InputError as error:
            aside = self._places.lay_aside(sha256)
            problem = f"what was kept about this photo cannot be read: {error.problem}"
            return None, Notice(problem, f"The photo was opened without it. The file lies in {aside} now.")

    def _take(self, opened: OpenedPhoto, known: Session | None, notice: Notice | None) -> None:
        self._workspace.tell(notice)
        self._opened(opened, self._joined(opened, known))

    def _joined(self, opened: OpenedPhoto, known: Session | None) -> Session:
        """What is known about a photo, if it is this photo."""
        if known is None:
            return Session(opened.photo)
        if known.photo.sha256 != opened.photo.sha256:
            problem = f"{opened.photo.path.name} is not the photo of that session"
            self._workspace.tell(Notice(problem, "It was opened without it."))
            return Session(opened.photo)
        return replace(known, photo=opened.photo)

    def _worth_keeping(self, session: Session) -> bool:
        """There is something in it, or something that was kept before must be forgotten."""
        return bool(session.regions or session.exchanges()) or is_there(self._places.autosaved(session.photo.sha256))
