"""What happens when, and who does it: the one face that the window knows. Knows no Qt and no widget.

Everything here runs on one thread, the window's. What takes long is done ``aside`` or in the model's process, and comes
back through ``post``. The stories are told elsewhere: ``photos`` are opened, questions are asked in ``asking`` and
answered in ``answering``, boxes are offered in ``suggestions``, and all ask one ``model_process``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from gpt4roi_desktop import preferences
from gpt4roi_desktop.answering import Answering
from gpt4roi_desktop.asking import Asking
from gpt4roi_desktop.looking import Looking
from gpt4roi_desktop.model_process import Launch, ModelProcess, ProcessStage
from gpt4roi_desktop.photo_file import OpenedPhoto
from gpt4roi_desktop.photos import Photos
from gpt4roi_desktop.places import Places
from gpt4roi_desktop.preferences import Preferences
from gpt4roi_desktop.session import Session
from gpt4roi_desktop.suggestions import Suggestions
from gpt4roi_desktop.threads import Threads
from gpt4roi_desktop.workspace import Change, Notice, Workspace
from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.vision.proposals import Proposal
from gpt4roi_runtime.worker import messages as m

Stage = ProcessStage | Literal["reading", "answering", "proposing"]


class Controller:
    """One window's affairs.

    Attributes:
        looking: What the model sees of the photo.
        open_photo: Read a photo aside; what is known about it comes back with it.
        keep: Remember the session, aside.
        replace: Another state of the session, as made by ``edits``.
        tell: Show a notice, or take it away.
        ask: Ask about the photo.
        ask_each: Ask about every region that is shown.
        replay: Ask everything that was answered once more.
        new_dialogue: The next question begins a dialogue of its own.
        ask_again: The same question once more, in its old place.
        stop: Stop an answer, or take a waiting question out of the queue.
        stop_kind: Stop everything of one kind of dialogue.
        propose: Ask the detector for boxes.
        take_proposal: A box that was offered, to be adopted.
        drop_proposals: Forget the boxes that were offered.
    """

    def __init__(self, launch: Launch, threads: Threads, places: Places, notify: Callable[[Change], None]) -> None:
        self._threads = threads
        self._places = places
        self._workspace = Workspace(preferences.load(places.preferences), notify)
        self._process = ModelProcess(launch, threads, self._workspace, self._ready)
        self._answering = Answering(self._process, self._workspace)
        self._suggestions = Suggestions(self._process, self._workspace)
        asking = Asking(self._answering, self._workspace)
        photos = Photos(threads, places, self._workspace, self._arrive)
        self._photos = photos
        self.looking = Looking(threads, lambda: notify("sight"))
        self.open_photo = photos.open
        self.keep = photos.keep
        self.replace = self._workspace.replace
        self.tell = self._workspace.tell
        self.ask = asking.ask
        self.ask_each = asking.ask_each
        self.replay = asking.replay
        self.new_dialogue = asking.new_dialogue
        self.ask_again = self._answering.again
        self.stop = self._answering.stop
        self.stop_kind = self._answering.stop_kind
        self.propose = self._suggestions.propose
        self.take_proposal = self._suggestions.take
        self.drop_proposals = self._suggestions.drop

    # -- what is the case ----------------------------------------------------------------------------------------

    @property
    def session(self) -> Session | None:
        """The photo that is open and all about it."""
        return self._workspace.session

    @property
    def pixels(self) -> RgbImage | None:
        """Of that photo, uint8 ``[h w 3]``."""
        return self._workspace.pixels

    @property
    def preferences(self) -> Preferences:
        """What the user chose for good."""
        return self._workspace.preferences

    @property
    def notice(self) -> Notice | None:
        """What to tell."""
        return self._workspace.notice

    @property
    def model(self) -> m.BundleOpened | None:
        """What the model said of itself; None while there is none."""
        return self._process.opened

    @property
    def bundle(self) -> Path | None:
        """Folder of the model that is open or being opened."""
        return self._process.folder

    @property
    def running(self) -> int | None:
        """The exchange that is being answered."""
        return self._answering.running

    @property
    def memory_bytes(self) -> int:
        """Of the model's process, 0 while unknown."""
        return self._answering.memory_bytes

    @property
    def proposals(self) -> tuple[Proposal, ...]:
        """Boxes that the detector offers."""
        return self._suggestions.proposals

    @property
    def can_propose(self) -> bool:
        """There is a detector and a photo for it."""
        return self._suggestions.can_propose

    @property
    def stage(self) -> Stage:
        """What is going on, the nearest thing first."""
        if self._photos.reading:
            return "reading"
        if self._answering.busy:
            return "answering"
        return "proposing" if self._suggestions.looking else self._process.stage

    # -- what happens when ---------------------------------------------------------------------------------------

    def open_model(self, folder: Path) -> None:
        """Load a bundle, in a new process; the photo is encoded again, and waiting questions are asked, behind it."""
        self.looking.open_bundle(folder)
        self._answering.requeue()
        self._answering.resume()
        self._suggestions.give_up()
        self._process.open(folder)

    def use_model(self, folder: Path) -> None:
        """Load a bundle, and again the next time."""
        self.prefer(self.preferences.with_model(folder))
        self.open_model(folder)

    def prefer(self, chosen: Preferences) -> None:
        """Other preferences, remembered; a model that has to be loaded anew for them is."""
        old, self._workspace.preferences = self.preferences, chosen
        if chosen == old:
            return
        self._threads.aside(lambda: self._places.keep_preferences(chosen), lambda _: None, self._workspace.complain)
        self._workspace.notify("preferences")
        if chosen.engines() != old.engines() and self.bundle is not None:
            self.open_model(self.bundle)

    def restart(self) -> None:
        """Start the model's process with bundle and photo; go on with what waits, and what the last one died over."""
        self._answering.resume()
        self._process.restart()

    def close(self) -> None:
        """Remember the session and end the process, both aside: neither keeps the window waiting."""
        self._photos.keep()
        self._process.close()

    def _ready(self) -> None:
        self._answering.go_on()

    def _arrive(self, opened: OpenedPhoto, session: Session) -> None:
        """Another photo: stop what is about the old one, remember that, go on with the new one."""
        self._answering.leave()
        self._suggestions.leave()
        self._photos.keep()
        self._workspace.lay_out(session, opened.pixels)
        self.looking.open_photo(opened.photo, opened.pixels)
        self._process.show_photo()
        self._workspace.notify("photo")
        self._workspace.notify("proposals")
        self._workspace.notify("session")
