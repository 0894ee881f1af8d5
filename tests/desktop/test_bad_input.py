"""What goes wrong comes as a notice with advice, and nothing of the session is lost; windows are tested in views."""

from pathlib import Path

import pytest

from gpt4roi_desktop import photo_file as photos
from gpt4roi_desktop.photo_file import is_there
from gpt4roi_desktop.session import Chip
from gpt4roi_desktop.workspace import Notice
from gpt4roi_runtime.errors import InputError
from gpt4roi_runtime.worker import messages as m
from tests.desktop.desk import BOX, Desk
from tests.desktop.fakes import FakeWorker, photo_file


def notice(desk: Desk) -> Notice:
    told = desk.controller.notice
    assert told is not None
    assert told.advice
    return told


class TestAKeptSessionThatIsDamaged:
    def test_it_is_laid_aside_and_the_photo_opens_without_it(self, ready: Desk, tmp_path: Path) -> None:
        ready.draw(BOX)
        ready.controller.keep()
        kept = ready.places.autosaved(ready.session.photo.sha256)
        kept.write_bytes(b'{"format": "gpt4roi-session", "ver')
        again = Desk(tmp_path)
        again.controller.open_photo(tmp_path / "photo.png")
        assert again.session.regions == ()
        assert "cannot be read" in notice(again).problem
        aside = kept.with_name(f"{kept.name}.damaged")
        assert str(aside) in notice(again).advice
        again.draw(BOX)
        again.controller.keep()
        assert aside.read_bytes().endswith(b'"ver')
        assert again.places.kept(again.session.photo.sha256) is not None

    def test_a_session_that_was_chosen_is_opened_all_the_same(self, ready: Desk, tmp_path: Path) -> None:
        (region,) = ready.draw(BOX)
        chosen = ready.session
        kept = ready.places.autosaved(chosen.photo.sha256)
        again = Desk(tmp_path)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(b"{")
        again.controller.open_photo(tmp_path / "photo.png", chosen)
        assert [each.id for each in again.session.regions] == [region]
        assert again.controller.notice is None


class TestPathsOfOthers:
    @pytest.mark.parametrize("way", ["is_file", "exists", "read_bytes"])
    def test_a_locked_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ready: Desk, way: str) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        path, before = photo_file(tmp_path, "locked.png"), ready.session
        with monkeypatch.context() as patch:
            patch.setattr(photos.Path, way, refuse)
            assert is_there(path) is (way != "is_file")
            ready.controller.open_photo(path)
        assert "Permission denied" in notice(ready).problem
        assert "rights" in notice(ready).advice
        assert ready.session is before

    @pytest.mark.parametrize("name", ["a" * 5000, "nul\0byte"])
    def test_a_name_that_no_file_can_have(self, ready: Desk, tmp_path: Path, name: str) -> None:
        before = ready.session
        assert not is_there(tmp_path / name)
        ready.controller.open_photo(tmp_path / name)
        assert "cannot be read" in notice(ready).problem
        assert ready.session is before


class TestABundleThatIsRemovedWhileInUse:
    def test_what_is_loaded_goes_on_and_the_detector_says_so(self, ready: Desk) -> None:
        """The detector is loaded when it is first asked."""
        ready.controller.propose()
        failed = m.Failed(ready.worker.last(m.Propose).id, "detector.onnx is missing", "Make the bundle again.")
        ready.worker.say(failed)
        assert notice(ready) == Notice("detector.onnx is missing", "Make the bundle again.")
        assert ready.controller.stage == "ready"
        number = ready.ask(*ready.draw(BOX))
        ready.worker.answer("a cup")
        assert ready.exchange(number).answer == "a cup"

    def test_after_a_restart_another_can_be_chosen_and_the_question_waits(self, ready: Desk) -> None:
        number = ready.ask(*ready.draw(BOX))
        ready.worker.say(m.Died(0, -9))
        ready.controller.restart()
        ready.worker.say(m.Failed(ready.worker.last(m.OpenBundle).id, "there is no bundle", "Choose another."))
        assert notice(ready).remedy == "choose_model"
        assert ready.controller.stage == "no_model"
        assert ready.exchange(number).state == "queued"
        ready.controller.open_model(ready.folder / "other")
        ready.come_up()
        ready.worker.answer("a cup")
        assert ready.exchange(number).answer == "a cup"


def test_a_photo_that_the_model_refuses_is_said_once_and_its_questions_wait(desk: Desk, tmp_path: Path) -> None:
    desk.controller.open_model(tmp_path)
    desk.controller.open_photo(photo_file(tmp_path))
    desk.worker.open_model()
    number = desk.ask(*desk.draw(BOX))
    desk.worker.say(m.Failed(desk.worker.last(m.OpenImage).id, "too long and thin", "Cut it."))
    assert notice(desk) == Notice("too long and thin", "Cut it.")
    assert desk.controller.stage == "idle"  # nothing is going on
    assert desk.exchange(number).state == "queued"
    desk.controller.open_model(tmp_path / "other")
    assert desk.controller.stage == "loading"
    desk.come_up()
    desk.worker.answer("a cup")
    assert desk.exchange(number).answer == "a cup"


@pytest.mark.parametrize("each", [False, True])
def test_a_question_that_fits_into_no_message_fails_and_the_next_is_asked(
    ready: Desk, monkeypatch: pytest.MonkeyPatch, each: bool
) -> None:
    (region,) = ready.draw(BOX)
    really = FakeWorker.send

    def send(worker: FakeWorker, request: m.Request, photo: object = None) -> None:
        if isinstance(request, m.Ask | m.AskEach) and len(request.question) > 1000:
            raise InputError("the question takes 5000 bytes; the most is 1000", "Ask a shorter one.")
        really(worker, request, photo)

    monkeypatch.setattr(FakeWorker, "send", send)
    question = ("long " * 1000, Chip(region))
    if each:
        ready.controller.ask_each(question)
    else:
        ready.controller.ask(question)
    failed = ready.session.exchanges()[0]
    assert (failed.state, failed.advice) == ("failed", "Ask a shorter one.")
    assert ready.controller.stage == "ready"
    number = ready.ask(region)
    ready.worker.answer("a cup")
    assert ready.exchange(number).answer == "a cup"
