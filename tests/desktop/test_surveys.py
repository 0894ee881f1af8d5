"""One question about every box."""

import csv
import io
import json
from pathlib import Path

import pytest

from gpt4roi_desktop import edits, surveys, talk
from gpt4roi_desktop.session import Chip, Dialogue, Session, Timing, chips_of
from gpt4roi_runtime.errors import OutputError, QuestionError
from gpt4roi_runtime.geometry import Box
from tests.desktop.fakes import session


def three() -> Session:
    return edits.add(session(), [Box(0, 0, 20, 20), Box(30, 30, 60, 60), Box(70, 30, 90, 60)])


def asked(state: Session) -> tuple[Session, Dialogue]:
    state, survey_id = surveys.ask_each(state, ("What is ", Chip(state.regions[0].id), "?"))
    survey = next(one for one in state.dialogues if one.id == survey_id)
    return state, survey


def test_a_row_a_region() -> None:
    state, survey = asked(three())
    assert survey.kind == "survey"
    assert [chips_of(row.question) for row in survey.exchanges] == [(region.id,) for region in state.regions]
    assert [row.asked[0].box for row in survey.exchanges] == [region.box for region in state.regions]
    assert surveys.wording(survey) == "What is <region>?"
    assert state.dialogues[-1].kind == "talk"
    ids = [one.id for one in state.dialogues] + [row.id for row in state.exchanges()]
    assert len({*ids, *(region.id for region in state.regions)}) == len(ids) + 3
    assert state.next_id > max(ids)


def test_rows_know_nothing_of_one_another() -> None:
    state, survey = asked(three())
    first, second, _ = survey.exchanges
    state = talk.finish(state, first.id, "a cup", Timing(0.1, None, 3, 40))
    prompt = talk.prompt_of(state, second.id)
    assert prompt is not None
    assert prompt.history == ()
    assert prompt.question == "What is <region2>?"


def test_a_talk_goes_on_beside_a_survey() -> None:
    state, first = talk.ask(three(), ("Hello",))
    state = talk.finish(state, first, "Hi", Timing(0.1, None, 3, 40))
    state, _ = asked(state)
    state, second = talk.ask(state, ("And?",))
    assert [turn.id for turn in talk.memory(state, second)] == [first]


@pytest.mark.parametrize("question", [("What is it?",), ("Is ", Chip(2), " like ", Chip(3), "?"), ()])
def test_what_cannot_stand_for_every_box(question: tuple[str | Chip, ...]) -> None:
    with pytest.raises(QuestionError, match="mention one box"):
        surveys.ask_each(three(), question)


def test_without_boxes_there_is_nothing_to_ask_about() -> None:
    with pytest.raises(QuestionError, match="no box"):
        surveys.ask_each(session(), ("What?",))


def test_hidden_boxes_are_left_out_and_locked_ones_are_not() -> None:
    state = three()
    first, second, third = (region.id for region in state.regions)
    state = edits.lock(edits.hide(state, [first]), [third])
    state, survey = asked(state)  # the hidden one is mentioned: it stands for the others all the same
    assert [chips_of(row.question) for row in survey.exchanges] == [(second,), (third,)]
    assert [row.asked[0].number for row in survey.exchanges] == [2, 3]
    assert state.next_id > max(row.id for row in survey.exchanges)


def test_a_box_that_is_hidden_later_keeps_its_row() -> None:
    state, survey = asked(three())
    state = edits.hide(state, [state.regions[1].id])
    assert talk.prompt_of(state, survey.exchanges[1].id) is not None
    assert len(surveys.captions_of(state, survey)) == 3


def test_where_every_box_is_hidden_it_is_refused() -> None:
    state = three()
    with pytest.raises(QuestionError, match="hidden") as refused:
        asked(edits.hide(state, [region.id for region in state.regions]))
    assert "Show" in refused.value.advice


class TestExport:
    def answered(self) -> tuple[Session, Dialogue]:
        state, survey = asked(three())
        for row, answer in zip(survey.exchanges, ("a cup", "region2 is a mug"), strict=False):
            state = talk.finish(state, row.id, answer, Timing(0.1, None, 3, 40))
        state = talk.end(state, survey.exchanges[2].id, "stopped")
        return state, state.of_kind("survey")[0]

    @pytest.mark.parametrize("ending", surveys.LAYOUTS)
    def test_every_layout_holds_every_row(self, tmp_path: Path, ending: str) -> None:
        state, survey = self.answered()
        surveys.export(tmp_path / f"a{ending}", state, survey)
        text = (tmp_path / f"a{ending}").read_text(encoding="utf-8")
        assert "a cup" in text
        assert "is a mug" in text

    def test_csv(self, tmp_path: Path) -> None:
        state, survey = self.answered()
        surveys.export(tmp_path / "a.csv", state, survey)
        rows = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text(encoding="utf-8"))))
        assert [row["number"] for row in rows] == ["1", "2", "3"]
        assert [row["stop_reason"] for row in rows] == ["done", "done", "stopped"]

    def test_the_box_is_the_one_that_was_asked_about(self) -> None:
        state, survey = self.answered()
        state = edits.reshape(state, {state.regions[0].id: Box(5, 5, 50, 50)})
        assert surveys.captions_of(state, survey)[0].box_px == (0, 0, 20, 20)

    def test_the_chosen_kind_counts(self, tmp_path: Path) -> None:
        state, survey = self.answered()
        surveys.export(tmp_path / "a.json", state, survey, ".coco.json")
        assert "annotations" in json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))

    def test_another_ending(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match=r"a\.xyz"):
            surveys.export(tmp_path / "a.xyz", *self.answered())
