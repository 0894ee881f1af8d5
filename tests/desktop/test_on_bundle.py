"""The controller with the embedded model in a process of its own, without a window."""

import os
import queue
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from gpt4roi_desktop import edits, talk
from gpt4roi_desktop.controller import Controller
from gpt4roi_desktop.places import Places
from gpt4roi_desktop.session import Chip, Session
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.worker import messages as m
from gpt4roi_runtime.worker.process import WorkerProcess
from tests.conftest import REPOSITORY
from tests.desktop.fakes import AtOnce

pytestmark = pytest.mark.bundle
PATIENCE_S = 120.0
CUP_SAUCER_SPOON = (Box(190, 60, 420, 260), Box(90, 150, 520, 370), Box(400, 120, 560, 300))


class Turns(AtOnce):
    """The test's own thread: what is posted waits until somebody lives it."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def post(self, call: Callable[[], None]) -> None:
        self._calls.put(call)

    def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._calls.get(timeout=PATIENCE_S)()


class RealDesk:
    """The sample photo with three boxes on it."""

    def __init__(self, bundle: Path, photo: Path, state: Path) -> None:
        self.turns = Turns()
        self.processes: list[WorkerProcess] = []
        self.controller = Controller(self._launch, self.turns, Places(state), lambda _: None)
        self.controller.open_model(bundle)
        self.controller.open_photo(photo)
        self.controller.replace(edits.add(self.session, CUP_SAUCER_SPOON))
        self.turns.until(lambda: self.controller.stage == "ready")

    def _launch(self, hear: Callable[[m.Event], None]) -> WorkerProcess:
        self.processes.append(WorkerProcess(hear))
        return self.processes[-1]

    def kill(self) -> None:
        """End the model's process as a system that wants its memory does."""
        psutil.Process(self.processes[-1].pid).kill()

    @property
    def session(self) -> Session:
        assert self.controller.session is not None
        return self.controller.session

    def answered(self) -> dict[int, str]:
        """All answers by region, as they are read today; waits for them."""
        self.turns.until(lambda: self.controller.stage == "ready")
        rows = self.session.exchanges()
        assert {row.state for row in rows} <= {"done"}
        return {row.asked[0].region_id: talk.renamed(self.session, row) for row in rows}


@pytest.fixture
def real(bundle_dir: Path, sample_photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealDesk]:
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY / 'runtime'}:{REPOSITORY / 'desktop_app'}")
    desk = RealDesk(bundle_dir, sample_photo, tmp_path)
    yield desk
    desk.controller.close()


def test_a_survey_answers_as_the_same_questions_one_by_one(real: RealDesk) -> None:
    """Every box is region 1 when it is asked about by itself, as it is in a survey."""
    ids = [region.id for region in real.session.regions]
    real.controller.ask_each(("Describe ", Chip(ids[0]), "."))
    together = real.answered()
    real.controller.replace(Session(real.session.photo, real.session.regions, next_id=real.session.next_id))
    for region_id in ids:
        real.controller.replace(edits.renumber(real.session, region_id, 1))
        real.controller.new_dialogue()
        real.controller.ask(("Describe ", Chip(region_id), "."))
        real.answered()
    for region_id in reversed(ids):
        real.controller.replace(edits.renumber(real.session, region_id, 1))
    assert real.answered() == together
    assert len(set(together.values())) == len(ids)


def linked(source: str, target: str) -> None:
    """A file at a second place, without its bytes where the system can."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


def test_a_bundle_that_is_removed_while_it_is_used(real: RealDesk, bundle_dir: Path, tmp_path: Path) -> None:
    """What is loaded goes on; what would have to be loaded is said, with what to do."""
    folder, controller = tmp_path / "lent", real.controller
    shutil.copytree(bundle_dir, folder, copy_function=linked)
    controller.open_model(folder)
    real.turns.until(lambda: controller.stage == "ready")
    shutil.rmtree(folder)
    survey = controller.ask_each(("What is ", Chip(real.session.regions[0].id), "?"))
    real.answered()
    controller.propose()
    real.turns.until(lambda: controller.stage == "ready")
    assert controller.notice is not None
    assert (controller.proposals, bool(controller.notice.advice)) == ((), True)
    assert str(folder) in controller.notice.problem
    controller.ask_again(real.session.exchanges()[0].id)
    real.kill()
    real.turns.until(lambda: controller.stage == "dead")
    controller.restart()
    real.turns.until(lambda: controller.stage == "no_model")
    assert controller.notice.remedy == "choose_model"
    assert str(folder) in controller.notice.problem
    controller.open_model(bundle_dir)
    assert set(real.answered().values()) != {""}
    assert [dialogue.id for dialogue in real.session.of_kind("survey")] == [survey]
