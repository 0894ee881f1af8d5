"""Which action has which keys, and who may take them."""

import pytest

from gpt4roi_desktop.keymap import Keymap

OWN = {"copy": ("Ctrl+C",), "delete": ("Del", "Backspace"), "fit": ("F",), "replay": ()}
KEYS = Keymap(OWN, frozenset({"Tab", "1"}))


def test_without_choices_the_programs_own() -> None:
    assert {name: KEYS.keys_of(name) for name in OWN} == OWN
    assert KEYS.holder_of("Backspace") == "delete"
    assert KEYS.holder_of("Backspace", "delete") == ""
    assert KEYS.holder_of("Ctrl+J") == ""


def test_a_chosen_key_is_in_place_of_all_own_ones_and_can_be_reset() -> None:
    other = KEYS.with_keys("delete", ("X",))
    assert other.keys_of("delete") == ("X",)
    assert (other.holder_of("X"), other.holder_of("Del")) == ("delete", "")
    assert other.reset("delete") == KEYS
    assert other.with_keys("fit", ()).reset_all() == KEYS


@pytest.mark.parametrize("key", ["Ctrl+C", "Tab", "1"])
def test_a_taken_or_fixed_key_is_nobody_elses(key: str) -> None:
    assert KEYS.with_keys("fit", (key,)).keys_of("fit") == ()
    assert KEYS.with_keys("fit", (key, "X")).keys_of("fit") == ("X",)


def test_choosing_what_it_had_is_no_choice() -> None:
    assert KEYS.with_keys("delete", ("Del", "Backspace")).chosen == {}


def test_a_key_that_was_taken_away_can_be_given_to_another() -> None:
    exchanged = KEYS.with_keys("copy", ()).with_keys("fit", ("Ctrl+C",)).with_keys("copy", ("F",))
    assert (exchanged.keys_of("copy"), exchanged.keys_of("fit")) == (("F",), ("Ctrl+C",))
    assert KEYS.with_all(exchanged.chosen) == exchanged
    assert exchanged.reset("fit").keys_of("fit") == ()  # copy has it now


def test_what_a_file_says_is_taken_as_far_as_it_can_be() -> None:
    read = KEYS.with_all({"unknown": ("X",), "fit": ("Tab",), "replay": ("Y", "Y"), "copy": ("Y",), "delete": ()})
    assert read.chosen == {"replay": ("Y",), "delete": ()}
    assert read.keys_of("copy") == ("Ctrl+C",)
    claimed = KEYS.with_all({"replay": ("F",)})
    assert (claimed.keys_of("replay"), claimed.keys_of("fit")) == (("F",), ())
