import re
import string

import pytest

from gpt4roi_export.dialogues import wordings
from gpt4roi_export.dialogues.wordings import Phrasings, Wording

ALL = {name: value for name, value in vars(wordings).items() if isinstance(value, Wording)}
SLOTS = {"a", "b", "all", "any", "x", "xs", "color", "place", "side", "most", "more", "absent"}


def _plain(wording: str) -> str:
    return re.sub(r"[^a-z{} ]", "", wording.lower())


@pytest.mark.parametrize("name", ALL)
def test_held_out_wordings_are_never_trained_on(name: str) -> None:
    wording = ALL[name]
    assert not {_plain(text) for text in wording.train} & {_plain(text) for text in wording.held_out}
    assert len(set(wording.held_out)) >= 3
    assert len(set(wording.train)) >= 7
    assert wording.of(Phrasings.TRAIN) == wording.train
    assert wording.of(Phrasings.HELD_OUT) == wording.held_out


@pytest.mark.parametrize("name", ALL)
def test_all_ways_of_asking_have_the_same_slots(name: str) -> None:
    slots = [
        frozenset(field for _, field, _, _ in string.Formatter().parse(text) if field)
        for text in (*ALL[name].train, *ALL[name].held_out)
    ]
    assert set().union(*slots) <= SLOTS
    assert len({frozenset({"all" if slot == "any" else slot for slot in found}) for found in slots}) == 1
