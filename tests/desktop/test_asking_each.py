"""All boxes at once: one request for a whole survey, and whatever may happen while it is answered."""

from pathlib import Path

import pytest

from gpt4roi_desktop import edits, surveys, talk
from gpt4roi_desktop.session import Chip, Dialogue, State
from gpt4roi_runtime.errors import QuestionError
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.worker import messages as m
from tests.desktop.desk import BOX, Desk
from tests.desktop.fakes import photo_file

BOXES = (BOX, Box(70, 10, 90, 60), Box(100, 10, 150, 60))


@pytest.fixture
def three(ready: Desk) -> Desk:
    """A survey of three boxes, which the model is being asked."""
    ids = ready.draw(*BOXES)
    ready.controller.ask_each(("What is ", Chip(ids[1]), "?"))
    return ready


def answers(desk: Desk) -> list[str]:
    return [row.answer for row in desk.survey.exchanges]


def states(desk: Desk) -> list[State]:
    return [row.state for row in desk.survey.exchanges]


def corners(*boxes: Box) -> tuple[m.Corners, ...]:
    return tuple(box.xyxy for box in boxes)


def test_a_survey_is_one_request_about_region_1(three: Desk) -> None:
    request = three.worker.last(m.AskEach)
    assert (request.question, request.boxes) == ("What is <region1>?", corners(*BOXES))
    assert (three.worker.count(m.AskEach), three.worker.count(m.Ask)) == (1, 0)
    assert states(three) == ["streaming"] * 3
    assert three.controller.stage == "answering"


def test_answers_come_into_their_rows_in_any_order_under_the_rows_own_number(three: Desk) -> None:
    three.worker.answer_boxes({2: "region1 is a plate"}, complete=False)
    assert answers(three) == ["", "", "region3 is a plate"]
    assert states(three) == ["streaming", "streaming", "done"]
    three.worker.answer_boxes({0: "region1 is a cup", 1: "Region 1 is no region 5"}, complete=False)
    assert (three.controller.stage, three.controller.running) == ("answering", None)
    three.worker.answer_boxes({})
    assert answers(three) == ["region1 is a cup", "Region 2 is no region 5", "region3 is a plate"]
    assert [Chip(row.asked[0].region_id) in talk.answer_parts(row) for row in three.survey.exchanges] == [True] * 3
    assert three.controller.stage == "ready"
    assert three.controller.memory_bytes == 600_000_000


def test_a_row_knows_what_it_took_and_what_gave_it(three: Desk) -> None:
    three.worker.answer_boxes({0: "a cup", 1: "a mug", 2: "a plate"})
    row = three.survey.exchanges[0]
    assert row.timing is not None
    assert (row.timing.first_text_s, row.timing.tokens_per_s) == (0.75, 20)
    assert {each.setup.bundle_id for each in three.survey.exchanges if each.setup} == {"0123456789abcdef"}


def test_a_box_that_is_renumbered_meanwhile_is_still_called_right(three: Desk) -> None:
    third = three.session.regions[2].id
    three.controller.replace(edits.renumber(three.session, third, 1))
    three.worker.answer_boxes({0: "a cup", 1: "a mug", 2: "region1 is a plate"})
    assert talk.renamed(three.session, three.survey.exchanges[2]) == "region1 is a plate"
    assert Chip(third) in talk.answer_parts(three.survey.exchanges[2])


def test_it_waits_for_photo_and_model(desk: Desk, tmp_path: Path) -> None:
    desk.controller.open_model(tmp_path)
    desk.controller.open_photo(photo_file(tmp_path))
    ids = desk.draw(*BOXES)
    desk.worker.open_model()
    assert desk.controller.stage == "encoding"
    desk.controller.ask_each(("What is ", Chip(ids[0]), "?"))
    assert states(desk) == ["queued"] * 3
    assert desk.worker.count(m.AskEach) == 0
    desk.worker.open_image()
    assert desk.worker.last(m.AskEach).boxes == corners(*BOXES)


def test_a_typed_region_counts_as_the_box_of_a_survey(ready: Desk) -> None:
    ready.draw(*BOXES)
    ready.controller.ask_each(("What is <region2>?",))
    assert ready.worker.last(m.AskEach).question == "What is <region1>?"


def test_a_box_may_be_named_twice(ready: Desk) -> None:
    ids = ready.draw(*BOXES)
    ready.controller.ask_each(("Is ", Chip(ids[0]), " as red as ", Chip(ids[0]), "?"))
    assert ready.worker.last(m.AskEach).question == "Is <region1> as red as <region1>?"


def test_the_models_own_words_are_refused_for_every_box(ready: Desk) -> None:
    ids = ready.draw(BOX)
    with pytest.raises(QuestionError):
        ready.controller.ask_each(("What is ### ", Chip(ids[0]), "?"))
    assert ready.session.of_kind("survey") == ()


def test_a_question_about_several_boxes_is_asked_by_itself(ready: Desk) -> None:
    ids = ready.draw(*BOXES)
    both = ("Is ", Chip(ids[0]), " like ", Chip(ids[1]), "?")
    with pytest.raises(QuestionError, match="mention one box"):
        ready.controller.ask_each(both)
    ready.controller.ask(both)
    assert ready.worker.last(m.Ask).regions == {1: BOXES[0].xyxy, 2: BOXES[1].xyxy}


def test_rows_of_a_strangers_file_that_name_several_boxes_go_one_by_one(ready: Desk) -> None:
    ids = ready.draw(*BOXES)
    question = ("Is ", Chip(ids[0]), " like ", Chip(ids[1]), "?")
    state, first = talk.ask(ready.session, question)
    state, second = talk.ask(state, question)
    state = type(state)(
        **{**state.__dict__, "dialogues": (Dialogue(90, state.dialogues[0].exchanges, "survey"), Dialogue(91))}
    )
    ready.controller.replace(talk.end(state, first, "stopped"))
    ready.controller.ask_again(first)
    for exchange in (first, second):
        assert ready.worker.count(m.AskEach) == 0
        assert ready.exchange(exchange).state == "streaming"
        ready.worker.answer("no")
    assert states(ready) == ["done", "done"]


class TestStopping:
    def test_rows_that_are_finished_stay(self, three: Desk) -> None:
        three.worker.answer_boxes({1: "a mug"}, complete=False)
        three.controller.stop_kind("survey")
        assert three.worker.count(m.Cancel) == 1
        assert three.worker.last(m.Cancel).id == three.worker.last(m.AskEach).id
        three.worker.say(m.Stopped(three.worker.last(m.AskEach).id))
        assert states(three) == ["stopped", "done", "stopped"]
        assert answers(three) == ["", "a mug", ""]
        assert three.controller.stage == "ready"
        assert three.worker.count(m.AskEach) == 1

    def test_what_is_finished_before_the_stop_is_heard_counts(self, three: Desk) -> None:
        three.controller.stop_kind("survey")
        three.worker.answer_boxes({0: "a cup", 1: "a mug", 2: "a plate"})
        assert states(three) == ["done"] * 3

    def test_esc_stops_all_rows_that_are_answered_side_by_side(self, three: Desk) -> None:
        assert three.controller.running is not None
        three.controller.stop(three.controller.running)
        three.worker.say(m.Stopped(three.worker.last(m.AskEach).id))
        assert states(three) == ["stopped"] * 3

    def test_a_second_survey_that_waits_is_stopped_too(self, three: Desk) -> None:
        three.controller.ask_each(("Where is ", Chip(three.session.regions[0].id), "?"))
        three.controller.stop_kind("survey")
        three.worker.say(m.Stopped(three.worker.last(m.AskEach).id))
        assert [row.state for one in three.session.of_kind("survey") for row in one.exchanges] == ["stopped"] * 6

    def test_leaving_the_photo_stops_it(self, three: Desk, tmp_path: Path) -> None:
        three.worker.answer_boxes({1: "a mug"}, complete=False)
        old = three.worker.last(m.AskEach).id
        three.controller.open_photo(photo_file(tmp_path, "other.png", (50, 40)))
        assert three.worker.last(m.Cancel).id == old
        three.worker.say(m.Stopped(old))
        three.controller.open_photo(tmp_path / "photo.png")
        assert states(three) == ["stopped", "done", "stopped"]


class TestMakingWay:
    def test_a_typed_question_goes_before_what_has_no_answer(self, three: Desk) -> None:
        three.worker.answer_boxes({0: "a cup"}, complete=False)
        typed = three.controller.ask(("Hello",))
        another = three.controller.ask(("Hello again",))
        assert three.worker.count(m.Cancel) == 1
        assert three.worker.count(m.Ask) == 0
        three.worker.say(m.Stopped(three.worker.last(m.AskEach).id))
        assert states(three) == ["done", "queued", "queued"]
        for exchange in (typed, another):
            assert three.exchange(exchange).state == "streaming"
            three.worker.answer("Hi")
        assert three.worker.last(m.AskEach).boxes == corners(*BOXES[1:])
        three.worker.answer_boxes({0: "region1 is a mug", 1: "region1 is a plate"})
        assert answers(three) == ["a cup", "region2 is a mug", "region3 is a plate"]

    def test_what_is_stopped_while_it_makes_way_does_not_go_on(self, three: Desk) -> None:
        three.controller.ask(("Hello",))
        three.controller.stop_kind("survey")
        three.worker.say(m.Stopped(three.worker.last(m.AskEach).id))
        assert states(three) == ["stopped"] * 3
        three.worker.answer("Hi")
        assert three.worker.count(m.AskEach) == 1

    def test_another_survey_does_not_push_in(self, three: Desk) -> None:
        three.controller.ask_each(("Where is ", Chip(three.session.regions[0].id), "?"))
        assert (three.worker.count(m.Cancel), three.worker.count(m.AskEach)) == (0, 1)
        three.worker.answer_boxes({0: "a cup", 1: "a mug", 2: "a plate"})
        assert three.worker.last(m.AskEach).question == "Where is <region1>?"


class TestBoxesThatChange:
    def test_what_is_recorded_is_what_was_asked(self, three: Desk) -> None:
        """A row that is asked again takes the box as it is by then."""
        second = three.session.regions[1].id
        moved = Box(0, 0, 9, 9)
        three.controller.replace(edits.reshape(three.session, {second: moved}))
        three.worker.answer_boxes({0: "a cup", 1: "a mug", 2: "a plate"})
        assert [row.box_px for row in surveys.captions_of(three.session, three.survey)] == [*corners(*BOXES)]
        row = three.survey.exchanges[1].id
        three.controller.ask_again(row)
        assert three.worker.last(m.AskEach).boxes == corners(moved)
        assert three.exchange(row).asked[0].box == moved

    def test_boxes_that_move_while_their_rows_wait(self, desk: Desk, tmp_path: Path) -> None:
        desk.controller.open_model(tmp_path)
        desk.controller.open_photo(photo_file(tmp_path))
        ids = desk.draw(*BOXES)
        desk.controller.ask_each(("What is ", Chip(ids[0]), "?"))
        desk.controller.replace(edits.reshape(desk.session, {ids[1]: Box(0, 0, 9, 9)}))
        desk.come_up()
        assert desk.worker.last(m.AskEach).boxes == corners(*BOXES)

    def test_a_box_that_is_deleted_before_its_turn(self, desk: Desk, tmp_path: Path) -> None:
        desk.controller.open_model(tmp_path)
        desk.controller.open_photo(photo_file(tmp_path))
        ids = desk.draw(*BOXES)
        desk.controller.ask_each(("What is ", Chip(ids[0]), "?"))
        desk.controller.replace(edits.delete(desk.session, {ids[0]}))
        desk.come_up()
        assert desk.worker.last(m.AskEach).boxes == corners(*BOXES[1:])
        assert states(desk) == ["failed", "streaming", "streaming"]
        assert "deleted" in desk.survey.exchanges[0].problem

    def test_a_box_that_is_deleted_meanwhile_keeps_its_row(self, three: Desk) -> None:
        three.controller.replace(edits.delete(three.session, {three.session.regions[1].id}))
        three.worker.answer_boxes({0: "a cup", 1: "region1 is a mug", 2: "a plate"})
        assert answers(three) == ["a cup", "region2 is a mug", "a plate"]


class TestDeath:
    def test_rows_without_an_answer_say_why_and_a_restart_goes_on_with_just_those(self, three: Desk) -> None:
        three.worker.answer_boxes({1: "a mug"}, complete=False)
        three.worker.say(m.Died(0, -9))
        assert states(three) == ["failed", "done", "failed"]
        assert "signal 9" in three.survey.exchanges[0].problem
        assert "Restart" in three.survey.exchanges[0].advice
        assert three.controller.notice is not None
        assert three.controller.notice.remedy == "restart"
        second = three.session.regions[0].id
        three.controller.replace(edits.reshape(three.session, {second: Box(0, 0, 9, 9)}))
        three.restart()
        three.worker.answer_boxes({0: "region1 is a cup"})
        three.worker.answer_boxes({0: "region1 is a plate"})
        assert answers(three) == ["region1 is a cup", "a mug", "region3 is a plate"]
        asked = [each.boxes for each in three.worker.requests if isinstance(each, m.AskEach)]
        assert asked == [corners(BOXES[0]), corners(BOXES[2])]
        assert [row.problem for row in three.survey.exchanges] == [""] * 3

    def test_each_is_asked_alone_then_so_that_only_the_culprit_is_given_up(self, three: Desk) -> None:
        three.worker.say(m.Died(0, -11))
        three.restart()
        three.worker.answer_boxes({0: "a cup"})
        three.worker.say(m.Died(0, -11))
        three.restart()
        three.worker.answer_boxes({0: "a plate"})
        assert states(three) == ["done", "failed", "done"]
        assert "twice" in three.survey.exchanges[1].problem
        assert three.controller.stage == "ready"

    def test_without_a_restart_the_reason_is_kept(self, three: Desk) -> None:
        three.worker.say(m.Died(0, 3))
        three.controller.close()
        kept = three.places.kept(three.session.photo.sha256)
        assert kept is not None
        assert [row.state for row in kept.of_kind("survey")[0].exchanges] == ["failed"] * 3

    def test_another_model_goes_on_with_them_too(self, three: Desk, tmp_path: Path) -> None:
        three.worker.say(m.Died(0, 3))
        three.controller.open_model(tmp_path / "other")
        three.come_up()
        assert three.worker.last(m.AskEach).boxes == corners(BOXES[0])

    def test_choosing_another_model_meanwhile_asks_the_rest_of_it(self, three: Desk, tmp_path: Path) -> None:
        three.worker.answer_boxes({0: "a cup"}, complete=False)
        three.controller.open_model(tmp_path / "other")
        assert states(three) == ["done", "queued", "queued"]
        three.come_up()
        assert three.worker.last(m.AskEach).boxes == corners(*BOXES[1:])


def test_what_cannot_be_answered_is_said_in_every_row(three: Desk) -> None:
    three.worker.answer_boxes({0: "a cup"}, complete=False)
    three.worker.say(m.Failed(three.worker.last(m.AskEach).id, "too long", "Ask less."))
    assert states(three) == ["done", "failed", "failed"]
    assert {(row.problem, row.advice) for row in three.survey.exchanges[1:]} == {("too long", "Ask less.")}
    assert three.controller.stage == "ready"


def test_closing_meanwhile_keeps_the_rows_that_are_finished(three: Desk) -> None:
    three.worker.answer_boxes({1: "a mug"}, complete=False)
    three.controller.close()
    assert three.worker.closed
    session = three.session
    three.worker.answer_boxes({0: "late"})
    assert three.session is session
    kept = three.places.kept(session.photo.sha256)
    assert kept is not None
    assert [(row.state, row.answer) for row in kept.of_kind("survey")[0].exchanges] == [
        ("stopped", ""),
        ("done", "a mug"),
        ("stopped", ""),
    ]
