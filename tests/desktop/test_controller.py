from collections.abc import Callable
from pathlib import Path

import pytest

from gpt4roi_desktop import edits, replay, session_file, talk
from gpt4roi_desktop.controller import Controller
from gpt4roi_desktop.places import Places
from gpt4roi_desktop.session import Chip
from gpt4roi_desktop.workspace import Notice
from gpt4roi_runtime.errors import EngineError, QuestionError, RegionError
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.worker import messages as m
from tests.desktop.desk import BOX, Desk
from tests.desktop.fakes import AtOnce, FakeWorker, photo_file


def test_photo_first_or_model_first(desk: Desk, tmp_path: Path) -> None:
    desk.controller.open_photo(photo_file(tmp_path))
    desk.controller.open_model(tmp_path)
    assert desk.controller.stage == "loading"
    desk.worker.open_model()
    assert desk.controller.stage == "encoding"
    assert desk.worker.last(m.OpenImage) == m.OpenImage(desk.worker.last(m.OpenImage).id, 200, 100)
    desk.worker.open_image()
    assert desk.controller.stage == "ready"
    assert desk.worker.photos[0] is desk.controller.pixels


def test_a_question_streams_into_the_session(ready: Desk) -> None:
    (region,) = ready.draw(BOX)
    number = ready.ask(region)
    request = ready.worker.last(m.Ask)
    assert (request.question, request.regions) == ("What is <region1>?", {1: BOX.xyxy})
    assert ready.controller.stage == "answering"
    ready.worker.say(m.Text(request.id, "a "))
    assert (ready.exchange(number).answer, ready.exchange(number).state) == ("a ", "streaming")
    ready.worker.answer("a ", "cup")
    done = ready.exchange(number)
    assert (done.answer, done.state) == ("a cup", "done")
    assert done.timing is not None
    assert done.timing.tokens_per_s == 20
    assert ready.controller.stage == "ready"
    assert ready.controller.memory_bytes == 600_000_000


def test_a_question_waits_for_the_photo(desk: Desk, tmp_path: Path) -> None:
    desk.controller.open_model(tmp_path)
    desk.controller.open_photo(photo_file(tmp_path))
    number = desk.ask(*desk.draw(BOX))
    desk.worker.open_model()
    assert desk.worker.count(m.Ask) == 0
    assert desk.exchange(number).state == "queued"
    desk.worker.open_image()
    assert desk.worker.count(m.Ask) == 1


def test_questions_wait_for_one_another_and_follow_up(ready: Desk) -> None:
    (region,) = ready.draw(BOX)
    first = ready.ask(region)
    second = ready.controller.ask(("Why?",))
    assert ready.worker.count(m.Ask) == 1
    ready.worker.answer("a cup")
    request = ready.worker.last(m.Ask)
    assert (request.question, request.history) == ("Why?", (("What is <region1>?", "a cup"),))
    assert request.regions == {1: BOX.xyxy}
    ready.worker.answer("because")
    assert [ready.exchange(number).answer for number in (first, second)] == ["a cup", "because"]


def test_stopping(ready: Desk) -> None:
    (region,) = ready.draw(BOX)
    first, second = ready.ask(region), ready.ask(region)
    ready.controller.stop(second)
    assert ready.exchange(second).state == "stopped"
    request = ready.worker.last(m.Ask)
    ready.worker.say(m.Text(request.id, "half"))
    ready.controller.stop(first)
    assert ready.worker.last(m.Cancel).id == request.id
    ready.worker.say(m.Stopped(request.id))
    assert (ready.exchange(first).state, ready.exchange(first).answer) == ("stopped", "half")
    ready.controller.ask_again(first)
    ready.worker.answer("whole")
    assert ready.exchange(first).answer == "whole"


def test_a_failure_belongs_to_its_question(ready: Desk) -> None:
    number = ready.ask(*ready.draw(BOX))
    ready.worker.say(m.Failed(ready.worker.last(m.Ask).id, "too long", "Ask less."))
    failed = ready.exchange(number)
    assert (failed.state, failed.problem, failed.advice) == ("failed", "too long", "Ask less.")
    assert ready.controller.stage == "ready"
    assert ready.controller.notice is None


def test_what_cannot_be_asked_is_refused_and_stays_in_the_box(ready: Desk) -> None:
    assert ready.controller.session is not None
    ready.controller.replace(edits.write(ready.controller.session, ("a <bbox>?",)))
    for question in (("  ",), ("a <bbox>?",), ("is ### ok",)):
        with pytest.raises(QuestionError):
            ready.controller.ask(question)
    with pytest.raises(RegionError):
        ready.controller.ask(("is <region7> a cup?",))
    assert ready.controller.session.draft == ("a <bbox>?",)
    assert ready.controller.session.exchanges() == ()


def test_a_mention_that_was_typed_out_is_a_chip_too(ready: Desk) -> None:
    (region,) = ready.draw(BOX)
    number = ready.controller.ask(("What is <region1>?",))
    assert ready.exchange(number).question == ("What is ", Chip(region), "?")
    assert ready.worker.last(m.Ask).regions == {1: BOX.xyxy}


def test_without_a_photo_there_is_no_question(desk: Desk) -> None:
    with pytest.raises(QuestionError, match="no photo"):
        desk.controller.ask(("What?",))


def test_a_box_that_is_deleted_before_its_turn(ready: Desk) -> None:
    first, second = ready.draw(BOX, Box(70, 10, 90, 40))
    ready.ask(first)
    waiting = ready.ask(second)
    assert ready.controller.session is not None
    ready.controller.replace(edits.delete(ready.controller.session, {second}))
    ready.worker.answer("a cup")
    assert ready.exchange(waiting).state == "failed"
    assert "deleted" in ready.exchange(waiting).problem


def test_a_box_that_is_renumbered_while_its_question_waits(ready: Desk) -> None:
    first, second = ready.draw(BOX, Box(70, 10, 90, 60))
    ready.ask(first)
    waiting = ready.ask(second)
    assert ready.controller.session is not None
    ready.controller.replace(edits.renumber(ready.controller.session, second, 1))
    ready.worker.answer("a cup")
    assert ready.worker.last(m.Ask).question == "What is <region1>?"
    ready.worker.answer("region1 is a mug")
    assert Chip(second) in talk.answer_parts(ready.exchange(waiting))


class TestDeath:
    def test_nothing_is_lost(self, ready: Desk) -> None:
        number = ready.ask(*ready.draw(BOX))
        dead = ready.worker
        dead.say(m.Text(dead.last(m.Ask).id, "half"))
        dead.say(m.Died(0, -11))
        assert ready.controller.stage == "dead"
        assert ready.controller.notice is not None
        assert "signal 11" in ready.controller.notice.problem
        assert ready.controller.notice.remedy == "restart"
        assert (ready.exchange(number).state, ready.exchange(number).answer) == ("queued", "")
        ready.controller.restart()
        assert ready.worker is not dead
        assert ready.controller.notice is None
        ready.worker.open_model()
        ready.worker.open_image()
        ready.worker.answer("a cup")
        assert ready.exchange(number).answer == "a cup"

    def test_a_question_that_kills_twice_is_not_asked_a_third_time(self, ready: Desk) -> None:
        number = ready.ask(*ready.draw(BOX))
        for _ in range(2):
            ready.worker.say(m.Died(0, 3))
            ready.controller.restart()
            ready.worker.open_model()
            ready.worker.open_image()
        assert ready.exchange(number).state == "failed"
        assert ready.worker.count(m.Ask) == 0

    def test_the_dead_are_not_heard(self, ready: Desk) -> None:
        number = ready.ask(*ready.draw(BOX))
        dead = ready.worker
        dead.say(m.Died(0, 3))
        ready.controller.restart()
        dead.answer("late")
        assert ready.exchange(number).answer == ""

    def test_a_process_that_cannot_be_started(self, tmp_path: Path) -> None:
        def launch(hear: object) -> FakeWorker:
            raise EngineError("no memory", "Free some.")

        controller = Controller(launch, AtOnce(), Places(tmp_path), lambda _: None)
        controller.open_model(tmp_path)
        assert controller.notice is not None
        assert controller.notice.remedy == "restart"
        assert controller.stage == "dead"


def test_what_a_model_says_of_its_engines_is_shown(desk: Desk, tmp_path: Path) -> None:
    desk.controller.open_model(tmp_path)
    desk.worker.open_model(notes=("the CPU runs the vision half, not the GPU: no plan",))
    assert desk.controller.notice == Notice("the CPU runs the vision half, not the GPU: no plan")


def test_a_model_that_cannot_be_loaded(desk: Desk, tmp_path: Path) -> None:
    desk.controller.open_model(tmp_path)
    desk.worker.say(m.Failed(desk.worker.last(m.OpenBundle).id, "damaged", "Copy it again."))
    assert desk.controller.stage == "no_model"
    assert desk.controller.notice is not None
    assert desk.controller.notice.remedy == "choose_model"
    gone = desk.worker
    desk.controller.open_model(tmp_path)
    assert gone.closed
    desk.worker.open_model()
    assert desk.controller.stage == "ready"


def test_changing_the_model_during_an_answer_asks_again(ready: Desk, tmp_path: Path) -> None:
    number = ready.ask(*ready.draw(BOX))
    ready.controller.open_model(tmp_path)
    assert ready.exchange(number).state == "queued"
    ready.worker.open_model()
    ready.worker.open_image()
    ready.worker.answer("a cup")
    assert ready.exchange(number).answer == "a cup"


class TestPhotos:
    @pytest.mark.parametrize("content", [b"", b"not a picture"])
    def test_what_is_no_picture_leaves_the_old_one(self, ready: Desk, tmp_path: Path, content: bytes) -> None:
        before = ready.controller.session
        bad = tmp_path / "bad.png"
        bad.write_bytes(content)
        ready.controller.open_photo(bad)
        assert ready.controller.session is before
        assert ready.controller.notice is not None
        assert "bad.png" in ready.controller.notice.problem
        assert ready.controller.stage == "ready"

    def test_missing_and_folder(self, ready: Desk, tmp_path: Path) -> None:
        for path in (tmp_path / "none.png", tmp_path):
            ready.controller.open_photo(path)
            assert ready.controller.notice is not None
            assert str(path) in ready.controller.notice.problem

    def test_leaving_a_photo_stops_its_questions_and_coming_back_finds_them(self, ready: Desk, tmp_path: Path) -> None:
        (region,) = ready.draw(BOX)
        ready.ask(region)
        ready.worker.answer("a cup")
        waiting = ready.ask(region)
        ready.controller.open_photo(photo_file(tmp_path, "other.png", (50, 40)))
        assert ready.worker.count(m.Cancel) == 1
        assert ready.controller.session is not None
        assert ready.controller.session.regions == ()
        ready.worker.say(m.Stopped(ready.worker.last(m.Ask).id))
        ready.controller.open_photo(tmp_path / "photo.png")
        assert [each.box for each in ready.controller.session.regions] == [BOX]
        assert ready.exchange(waiting).state == "stopped"
        assert ready.controller.session.exchanges()[0].answer == "a cup"

    def test_opening_the_same_photo_again_loses_nothing(self, ready: Desk, tmp_path: Path) -> None:
        ready.draw(BOX)
        ready.controller.open_photo(tmp_path / "photo.png")
        assert ready.controller.session is not None
        assert [each.box for each in ready.controller.session.regions] == [BOX]

    def test_a_session_of_another_photo_is_not_laid_over_this_one(self, ready: Desk, tmp_path: Path) -> None:
        ready.draw(BOX)
        assert ready.controller.session is not None
        path = tmp_path / "a.gpt4roi.json"
        session_file.save(path, ready.controller.session)
        other = photo_file(tmp_path, "other.png", (50, 40))
        ready.controller.open_photo(other, session_file.load(path))
        assert ready.controller.session.regions == ()
        assert ready.controller.notice is not None
        assert "not the photo" in ready.controller.notice.problem

    def test_a_state_that_cannot_be_written_is_told(self, ready: Desk) -> None:
        ready.places.folder.parent.joinpath("state").write_bytes(b"in the way")
        ready.draw(BOX)
        ready.controller.keep()
        assert ready.controller.notice is not None
        assert "cannot make" in ready.controller.notice.problem


class TestProposals:
    def test_they_are_offered_and_taken(self, ready: Desk) -> None:
        ready.controller.propose()
        ready.controller.propose()
        assert ready.worker.count(m.Propose) == 1
        found = (m.Found((1, 2, 30, 40), "cup", 0.9), m.Found((5, 5, 50, 50), "dog", 0.8))
        ready.worker.say(m.Proposed(ready.worker.last(m.Propose).id, found))
        assert [each.name for each in ready.controller.proposals] == ["cup", "dog"]
        assert ready.controller.take_proposal(0) == Box(1, 2, 30, 40)
        assert [each.name for each in ready.controller.proposals] == ["dog"]
        ready.controller.drop_proposals()
        assert ready.controller.proposals == ()

    def test_nothing_found_is_said(self, ready: Desk) -> None:
        ready.controller.propose()
        ready.worker.say(m.Proposed(ready.worker.last(m.Propose).id, ()))
        assert ready.controller.notice is not None

    def test_a_bundle_without_a_detector_offers_none(self, desk: Desk, tmp_path: Path) -> None:
        desk.controller.open_model(tmp_path)
        desk.controller.open_photo(photo_file(tmp_path))
        desk.worker.open_model(has_detector=False)
        desk.worker.open_image()
        assert not desk.controller.can_propose


def test_closing_keeps_the_session_and_ends_the_process(ready: Desk) -> None:
    ready.draw(BOX)
    ready.controller.close()
    assert ready.worker.closed
    assert ready.controller.session is not None
    kept = ready.places.kept(ready.controller.session.photo.sha256)
    assert kept is not None
    assert kept.regions == ready.controller.session.regions


class TestReplays:
    def test_a_replay_asks_everything_once_more(self, ready: Desk) -> None:
        (region,) = ready.draw(BOX)
        first = ready.ask(region)
        ready.worker.answer("a cup")
        ready.controller.ask(("Why?",))
        ready.worker.answer("because")
        assert ready.controller.session is not None
        ready.controller.replace(edits.reshape(ready.controller.session, {region: Box(0, 0, 9, 9)}))
        ready.controller.replay()
        assert ready.worker.last(m.Ask).regions == {1: BOX.xyxy}
        ready.worker.answer("a mug")
        assert ready.worker.last(m.Ask).history == (("What is <region1>?", "a mug"),)
        ready.worker.answer("because")
        assert ready.exchange(first).answer == "a cup"
        assert [pair.is_same for pair in replay.pairs(ready.controller.session)] == [False, True]

    def test_a_replay_that_is_begun_anew_stops_the_old_one(self, ready: Desk) -> None:
        (region,) = ready.draw(BOX)
        ready.ask(region)
        ready.worker.answer("a cup")
        ready.controller.replay()
        old = ready.worker.last(m.Ask).id
        ready.controller.replay()
        assert ready.worker.last(m.Cancel).id == old
        ready.worker.say(m.Stopped(old))
        ready.worker.answer("a cup")
        assert ready.controller.session is not None
        assert [pair.is_same for pair in replay.pairs(ready.controller.session)] == [True]


def test_another_model_is_loaded_once_the_old_one_is_gone(tmp_path: Path) -> None:
    waiting: list[Callable[[], None]] = []

    class Later(AtOnce):
        def aside(self, work, then, failed):  # type: ignore[no-untyped-def]
            waiting.append(lambda: AtOnce.aside(self, work, then, failed))

    desk = Desk(tmp_path)
    desk.controller = Controller(desk.workers, Later(), desk.places, desk.changes.append)
    desk.controller.open_model(tmp_path)
    first = desk.worker
    waiting.clear()
    desk.controller.open_model(tmp_path / "other")
    desk.controller.restart()  # an impatient hand
    assert (len(desk.workers.started), desk.controller.stage) == (1, "loading")
    while waiting:
        waiting.pop(0)()
    assert first.closed
    assert len(desk.workers.started) == 2
    assert desk.worker.last(m.OpenBundle).folder.endswith(b"other")
