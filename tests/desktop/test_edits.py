from dataclasses import replace

import pytest

from gpt4roi_desktop import edits
from gpt4roi_desktop.session import Chip, Session, with_chips
from gpt4roi_runtime.errors import RegionError
from gpt4roi_runtime.geometry import Box
from tests.desktop.fakes import session

A, B, C = Box(0, 0, 20, 20), Box(30, 30, 60, 60), Box(70, 10, 90, 40)


def three() -> Session:
    return edits.add(session(), [A, B, C])


def ids(state: Session) -> list[int]:
    return [region.id for region in state.regions]


def boxes(state: Session) -> list[Box]:
    return [region.box for region in state.regions]


def test_new_regions_come_last_and_are_selected() -> None:
    state = edits.add(three(), [Box(1, 1, 9, 9)])
    assert state.number_of(ids(state)[-1]) == 4
    assert state.selected == {ids(state)[-1]}


def test_deleting_renumbers_and_takes_chips_out_of_the_question() -> None:
    state = three()
    first, _, third = ids(state)
    state = edits.write(state, ("Is ", Chip(first), " like ", Chip(third), "?"))
    state = edits.delete(state, {first})
    assert state.draft == ("Is  like ", Chip(third), "?")
    assert state.number_of(third) == 2
    assert state.number_of(first) is None


def test_undo_brings_regions_and_question_back() -> None:
    before = edits.write(three(), ("What is ", Chip(ids(three())[0]), "?"))
    after = edits.delete(before, set(ids(before)))
    left, to = edits.drawing_of(after), edits.drawing_of(before)
    back = edits.restored(after, left=left, to=to)
    assert back.regions == before.regions
    assert back.draft == before.draft
    assert edits.restored(back, left=to, to=left).regions == ()


def test_undo_keeps_what_was_typed_since() -> None:
    before = three()
    after = edits.delete(before, {ids(before)[0]})
    typed = edits.write(after, ("new words",))
    assert edits.restored(typed, left=edits.drawing_of(after), to=edits.drawing_of(before)).draft == ("new words",)


def test_an_id_never_comes_back_as_another_region() -> None:
    before = session()
    drawn = edits.add(before, [A])
    undone = edits.restored(drawn, left=edits.drawing_of(drawn), to=edits.drawing_of(before))
    again = edits.add(undone, [B])
    assert not set(ids(drawn)) & set(ids(again))


def test_locked_regions_are_neither_moved_nor_deleted() -> None:
    state = edits.lock(edits.select_all(three()), ids(three())[:1])
    moved = edits.nudge(state, 5, 5)
    assert boxes(moved) == [A, Box(35, 35, 65, 65), Box(75, 15, 95, 45)]
    assert boxes(edits.delete(state, ids(state))) == [A]
    assert not any(region.locked for region in edits.lock(state, ids(state)[:1]).regions)


def test_nudging_stops_at_the_side() -> None:
    state = edits.select_number(three(), 1)
    assert boxes(edits.nudge(state, -10, -10))[0] == A


def test_cycle_skips_what_is_hidden() -> None:
    state = edits.hide(three(), ids(three())[1:2])
    chosen = []
    state = edits.select(state, ())
    for _ in range(3):
        state = edits.cycle(state, 1)
        chosen.append(state.number_of(next(iter(state.selected))))
    assert chosen == [1, 3, 1]
    assert edits.cycle(state, -1).selected == {ids(state)[2]}
    assert edits.cycle(session(), 1) == session()


def test_duplicates_lie_beside_and_on_the_photo() -> None:
    state = edits.duplicate(edits.select(edits.add(session(), [Box(180, 80, 200, 100)]), [2]))
    assert boxes(state) == [Box(180, 80, 200, 100), Box(168, 68, 188, 88)]


def test_pasting_from_a_larger_photo_cuts() -> None:
    assert boxes(edits.paste(session(), [Box(150, 50, 400, 300), Box(500, 500, 600, 600)])) == [Box(138, 38, 188, 88)]


def test_renumber() -> None:
    state = three()
    first, second, third = ids(state)
    assert ids(edits.renumber(state, third, 1)) == [third, first, second]
    assert ids(edits.renumber(state, first, 99)) == [second, third, first]
    assert edits.renumber(state, 999, 1) == state


def test_too_many_boxes_are_refused() -> None:
    with pytest.raises(RegionError, match="the most"):
        edits.add(session(), [A] * 101)


def test_selection_by_number_and_by_click() -> None:
    state = edits.select_number(three(), 2)
    assert state.selected == {ids(state)[1]}
    assert edits.select_number(state, 7) == state
    both = edits.toggle(state, ids(state)[0])
    assert both.selected == set(ids(state)[:2])
    assert edits.toggle(both, ids(state)[0]) == state


def test_typed_mentions_become_chips() -> None:
    state = three()
    first, second, _ = ids(state)
    assert with_chips("Is <region2> or <region1> a <region9>?", state) == (
        "Is ",
        Chip(second),
        " or ",
        Chip(first),
        " a <region9>?",
    )
    assert with_chips("", state) == ()


def test_edits_leave_the_old_session_alone() -> None:
    state = three()
    copy = replace(state)
    edits.delete(state, ids(state))
    assert state == copy
