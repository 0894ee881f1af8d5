"""Boxes that the bundle's detector offers on the photo: asked for, adopted one by one, dropped. Knows no question."""

from gpt4roi_desktop.model_process import ModelProcess
from gpt4roi_desktop.workspace import Notice, Workspace
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.vision.proposals import Proposal
from gpt4roi_runtime.worker import messages as m


class Suggestions:
    """What the detector offers.

    Args:
        process: Has the detector.
        workspace: Told when there is something new.

    Attributes:
        proposals: What is offered now.
    """

    def __init__(self, process: ModelProcess, workspace: Workspace) -> None:
        self.proposals: tuple[Proposal, ...] = ()
        self._process = process
        self._workspace = workspace
        self._request = 0

    @property
    def looking(self) -> bool:
        """Whether the detector is at work."""
        return self._request > 0

    @property
    def can_propose(self) -> bool:
        """There is a detector and a photo for it."""
        opened = self._process.opened
        return self._process.has_photo and opened is not None and opened.has_detector

    def propose(self) -> None:
        """Ask the detector for boxes."""
        if not self._process.has_photo or self.looking:
            return
        self._request = self._process.new_id()
        self._process.send(m.Propose(self._request), self._hear)
        self._workspace.notify("status")

    def take(self, place: int) -> Box:
        """A box that was offered, to be adopted; it is offered no longer."""
        taken = self.proposals[place]
        self.proposals = tuple(each for each in self.proposals if each is not taken)
        self._workspace.notify("proposals")
        return taken.box

    def drop(self) -> None:
        """Forget the boxes that were offered."""
        if self.proposals:
            self.proposals = ()
            self._workspace.notify("proposals")

    def leave(self) -> None:
        """Forget what is about the photo that was open."""
        self.give_up()
        self.proposals = ()

    def give_up(self) -> None:
        """Wait for the detector no longer."""
        self._process.forget(self._request)
        self._request = 0

    def _hear(self, event: m.Event) -> None:
        match event:
            case m.Proposed():
                self._request = 0
                self._offer(event)
            case m.Failed():
                self._request = 0
                self._workspace.tell(Notice(event.problem, event.advice))
                self._workspace.notify("status")
            case m.Died():
                self._request = 0

    def _offer(self, event: m.Proposed) -> None:
        self.proposals = tuple(Proposal(Box(*each.box), each.name, each.score) for each in event.found)
        if not self.proposals:
            self._workspace.tell(Notice("the detector found nothing that it is sure of", "Draw boxes by hand."))
        self._workspace.notify("proposals")
        self._workspace.notify("status")
