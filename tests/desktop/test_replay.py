"""A session's questions once more."""

import csv
import io
from pathlib import Path

from gpt4roi_desktop import edits, replay, session_file, talk
from gpt4roi_desktop.session import Chip, Session, Setup, Timing
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.prompt import Turn
from tests.desktop.fakes import session

TIMING = Timing(0.1, None, 3, 40)
SETUP = Setup("0123456789abcdef", "fake", "one + two", 2, temperature=0.5)


def talked() -> Session:
    """Two boxes; a question about the first, then one about both."""
    state = edits.add(session(), [Box(0, 0, 20, 20), Box(30, 30, 60, 60)])
    one, two = (region.id for region in state.regions)
    state, first = talk.ask(state, ("What is ", Chip(one), "?"))
    state = talk.finish(state, first, "region1 is a cup", TIMING, SETUP)
    state, second = talk.ask(state, ("Is ", Chip(two), " like ", Chip(one), "?"))
    return talk.finish(state, second, "no", TIMING, SETUP)


def test_every_answered_question_waits_again() -> None:
    state = replay.begin(talked())
    pairs = replay.pairs(state)
    assert [pair.then and pair.then.answer for pair in pairs] == ["region1 is a cup", "no"]
    assert [pair.now.state for pair in pairs] == ["queued", "queued"]
    assert [pair.is_same for pair in pairs] == [None, None]
    assert state.dialogues[-1].kind == "talk"
    assert [each.answer for each in talked().exchanges()] == [
        each.answer for each in state.of_kind("talk")[0].exchanges
    ]


def test_a_second_replay_replaces_the_first() -> None:
    state = replay.begin(replay.begin(talked()))
    assert len(replay.pairs(state)) == 2


def test_what_was_never_answered_is_not_replayed() -> None:
    state, waiting = talk.ask(talked(), ("Hm?",))
    state = replay.begin(talk.end(state, waiting, "stopped"))
    assert len(replay.pairs(state)) == 2


def test_it_asks_about_the_boxes_of_then() -> None:
    state = talked()
    one, two = (region.id for region in state.regions)
    state = edits.delete(edits.reshape(state, {two: Box(1, 1, 9, 9)}), [one])
    state = replay.begin(state)
    first, second = (pair.now for pair in replay.pairs(state))
    state = talk.finish(state, first.id, "region1 is a mug", TIMING)
    prompt = replay.prompt_of(state, second.id)
    assert prompt is not None
    assert prompt.question == "Is <region2> like <region1>?"
    assert prompt.regions == {1: Box(0, 0, 20, 20), 2: Box(30, 30, 60, 60)}
    assert prompt.history == (Turn("What is <region1>?", "region1 is a mug"),)


def test_a_box_that_is_moved_and_renumbered_while_its_replay_waits() -> None:
    state = replay.begin(talked())
    _, two = (region.id for region in state.regions)
    first = replay.pairs(state)[0].now
    state = edits.renumber(edits.reshape(state, {two: Box(1, 1, 9, 9)}), two, 1)
    state = talk.start(state, first.id)
    assert (started := state.exchange(first.id)) is not None
    assert started.asked == first.asked
    state = talk.finish(state, first.id, "region1 is a mug", TIMING)
    prompt = replay.prompt_of(state, replay.pairs(state)[1].now.id)
    assert prompt is not None
    assert prompt.question == "Is <region2> like <region1>?"
    assert prompt.regions == {1: Box(0, 0, 20, 20), 2: Box(30, 30, 60, 60)}


def test_a_turn_about_another_box_of_the_same_region_is_left_out() -> None:
    state = edits.add(session(), [Box(0, 0, 20, 20)])
    (one,) = (region.id for region in state.regions)
    for box in (Box(0, 0, 20, 20), Box(5, 5, 25, 25)):
        state = edits.reshape(state, {one: box})
        state, exchange = talk.ask(state, ("What is ", Chip(one), "?"))
        state = talk.finish(state, exchange, "a cup", TIMING)
    state = replay.begin(state)
    first, second = (pair.now for pair in replay.pairs(state))
    state = talk.finish(state, first.id, "a cup", TIMING)
    prompt = replay.prompt_of(state, second.id)
    assert prompt is not None
    assert (prompt.history, prompt.regions) == ((), {1: Box(5, 5, 25, 25)})


def test_numbers_that_were_taken_since_move_out_of_the_way() -> None:
    state = edits.add(session(), [Box(0, 0, 20, 20), Box(30, 30, 60, 60)])
    one, two = (region.id for region in state.regions)
    state, first = talk.ask(state, ("What is ", Chip(one), "?"))
    state = talk.finish(state, first, "region1 is a cup", TIMING)
    state, second = talk.ask(edits.renumber(state, two, 1), ("And ", Chip(two), "?"))
    state = replay.begin(talk.finish(state, second, "a mug", TIMING))
    again, last = (pair.now for pair in replay.pairs(state))
    state = talk.finish(state, again.id, "region1 is a cup", TIMING)
    prompt = replay.prompt_of(state, last.id)
    assert prompt is not None
    assert prompt.question == "And <region1>?"
    assert prompt.history == (Turn("What is <region2>?", "region2 is a cup"),)
    assert prompt.regions == {1: Box(30, 30, 60, 60), 2: Box(0, 0, 20, 20)}


def test_same_and_different(tmp_path: Path) -> None:
    state = replay.begin(talked())
    first, second = (pair.now for pair in replay.pairs(state))
    state = talk.finish(state, first.id, "region1 is a cup", TIMING, SETUP)
    state = talk.finish(state, second.id, "yes", TIMING, SETUP)
    assert [pair.is_same for pair in replay.pairs(state)] == [True, False]
    replay.export(tmp_path / "a.csv", state)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text(encoding="utf-8"))))
    assert [row["same"] for row in rows] == ["True", "False"]
    assert rows[1]["question"] == "Is <region2> like <region1>?"
    assert rows[0]["bundle_now"] == "0123456789abcdef"


def test_a_session_file_keeps_it_with_what_gave_the_answers() -> None:
    state = replay.begin(edits.select(talked(), ()))
    state = talk.finish(state, replay.pairs(state)[0].now.id, "a cup", TIMING, SETUP)
    state = talk.end(state, replay.pairs(state)[1].now.id, "stopped")
    assert session_file.from_bytes(session_file.as_bytes(state)) == state


def test_asking_a_replayed_question_again_keeps_its_boxes() -> None:
    state = replay.begin(talked())
    row = replay.pairs(state)[0].now
    state = edits.reshape(state, {state.regions[0].id: Box(1, 1, 9, 9)})
    state = talk.again(talk.end(state, row.id, "stopped"), row.id)
    assert state.exchange(row.id) == row
