from gpt4roi_desktop import edits, talk
from gpt4roi_desktop.session import Chip, Session, Timing
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.prompt import Turn
from tests.desktop.fakes import session

A, B = Box(0, 0, 20, 20), Box(30, 30, 60, 60)
TIMING = Timing(0.1, 50.0, 5, 40)


def two() -> Session:
    return edits.add(session(), [A, B])


def asked(state: Session, number: int, answer: str) -> tuple[Session, int]:
    state, exchange = talk.ask(state, ("What is ", Chip(state.regions[number - 1].id), "?"))
    return talk.finish(state, exchange, answer, TIMING), exchange


def test_the_model_gets_numbers_and_just_the_boxes_it_needs() -> None:
    state, exchange = talk.ask(two(), ("What is ", Chip(two().regions[1].id), "?"))
    prompt = talk.prompt_of(state, exchange)
    assert prompt == talk.Prompt("What is <region2>?", {2: B}, ())
    assert state.draft == ()


def test_a_follow_up_brings_earlier_turns_and_their_boxes() -> None:
    state, _ = asked(two(), 1, "region1 is a cup.")
    state, exchange = talk.ask(state, ("Why?",))
    assert talk.prompt_of(state, exchange) == talk.Prompt(
        "Why?", {1: A}, (Turn("What is <region1>?", "region1 is a cup."),)
    )


def test_a_turn_about_a_box_that_was_moved_or_deleted_is_not_remembered() -> None:
    state, _ = asked(two(), 1, "a cup")
    state, exchange = talk.ask(state, ("Why?",))
    first = state.regions[0].id
    moved = edits.reshape(state, {first: Box(5, 5, 25, 25)})
    deleted = edits.delete(state, {first})
    assert talk.memory(moved, exchange) == talk.memory(deleted, exchange) == ()
    assert len(talk.memory(state, exchange)) == 1


def test_a_question_that_waits_keeps_its_boxes_and_the_turns_about_them() -> None:
    state, _ = asked(two(), 1, "a cup")
    first = state.regions[0].id
    state, exchange = talk.ask(state, ("And ", Chip(first), "?"))
    state = edits.reshape(state, {first: Box(5, 5, 25, 25)})
    assert talk.prompt_of(state, exchange) == talk.Prompt(
        "And <region1>?", {1: A}, (Turn("What is <region1>?", "a cup"),)
    )
    state, later = talk.ask(state, ("Now ", Chip(first), "?"))
    assert talk.prompt_of(state, later) == talk.Prompt("Now <region1>?", {1: Box(5, 5, 25, 25)}, ())


def test_renumbering_renames_questions_and_answers() -> None:
    state, first = asked(two(), 1, "Region 1 is a cup, region7 is not.")
    state = edits.renumber(state, state.regions[0].id, 2)
    exchange = state.exchange(first)
    assert exchange is not None
    assert talk.as_text(state, exchange.question) == "What is <region2>?"
    assert talk.renamed(state, exchange) == "region2 is a cup, region7 is not."


def test_an_answer_about_a_deleted_region_says_so() -> None:
    state, first = asked(two(), 1, "<region1> is a cup")
    state = edits.delete(state, {state.regions[0].id})
    exchange = state.exchange(first)
    assert exchange is not None
    assert talk.renamed(state, exchange) == "region? is a cup"
    assert talk.prompt_of(state, first) is None


def test_a_new_dialogue_remembers_nothing() -> None:
    state, _ = asked(two(), 1, "a cup")
    state = talk.begin_dialogue(state)
    assert talk.begin_dialogue(state) == state
    state, exchange = talk.ask(state, ("Why?",))
    assert talk.memory(state, exchange) == ()
    assert [len(dialogue.exchanges) for dialogue in state.dialogues] == [1, 1]


def test_stopped_and_failed_turns_are_not_remembered() -> None:
    state, first = asked(two(), 1, "a cup")
    state, exchange = talk.ask(state, ("Why?",))
    for ended in ("stopped", "failed"):
        assert talk.memory(talk.end(state, first, ended), exchange) == ()


def test_the_way_of_an_answer() -> None:
    state, exchange = talk.ask(two(), ("What is this?",))
    state = talk.hear(talk.hear(state, exchange, "a "), exchange, "cup")
    heard = state.exchange(exchange)
    assert heard is not None
    assert (heard.answer, heard.state) == ("a cup", "streaming")
    again = talk.again(talk.end(state, exchange, "failed", "no", "so"), exchange).exchange(exchange)
    assert again is not None
    assert (again.answer, again.state, again.problem) == ("", "queued", "")
    assert talk.hear(state, 99, "x") == state
