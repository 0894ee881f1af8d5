"""A controller with fakes around it, and what a test asks of it."""

from pathlib import Path

from gpt4roi_desktop import edits
from gpt4roi_desktop.controller import Controller
from gpt4roi_desktop.places import Places
from gpt4roi_desktop.session import Chip, Dialogue, Exchange, Session
from gpt4roi_desktop.workspace import Change
from gpt4roi_runtime.geometry import Box
from tests.desktop.fakes import AtOnce, FakeWorker, Workers, photo_file

BOX = Box(10, 10, 60, 60)


class Desk:
    """A controller with fakes around it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers = Workers()
        self.changes: list[Change] = []
        self.places = Places(folder / "state")
        self.controller = Controller(self.workers, AtOnce(), self.places, self.changes.append)

    @property
    def worker(self) -> FakeWorker:
        return self.workers.last

    @property
    def session(self) -> Session:
        assert self.controller.session is not None
        return self.controller.session

    @property
    def survey(self) -> Dialogue:
        """The last one."""
        return self.session.of_kind("survey")[-1]

    def open(self) -> None:
        """A model, and a photo of 200 x 100 pixels that it has seen."""
        self.controller.open_model(self.folder)
        self.controller.open_photo(photo_file(self.folder))
        self.come_up()

    def restart(self) -> None:
        """Another process, to the point where it can be asked."""
        self.controller.restart()
        self.come_up()

    def come_up(self) -> None:
        self.worker.open_model()
        self.worker.open_image()

    def draw(self, *boxes: Box) -> list[int]:
        assert self.controller.session is not None
        self.controller.replace(edits.add(self.controller.session, boxes))
        return [region.id for region in self.controller.session.regions]

    def ask(self, region_id: int) -> int:
        return self.controller.ask(("What is ", Chip(region_id), "?"))

    def exchange(self, number: int) -> Exchange:
        assert self.controller.session is not None
        found = self.controller.session.exchange(number)
        assert found is not None
        return found
