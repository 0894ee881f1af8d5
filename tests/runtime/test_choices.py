"""Closed lists as users type them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt4roi_runtime.choices import MAX_CHOICE_CHARS, MAX_CHOICES, check_choices, check_lead, parse_choices
from gpt4roi_runtime.errors import QuestionError


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("yes,no", ("yes", "no")),
        (" yes , no ", ("yes", "no")),
        ('"red, or so", blue', ("red, or so", "blue")),
        ('"say ""x"""', ('say "x"',)),
        ("ja", ("ja",)),
    ],
)
def test_a_line_becomes_a_list(text: str, choices: tuple[str, ...]) -> None:
    assert check_choices(parse_choices(text)) == choices


def test_an_open_quote_is_refused() -> None:
    with pytest.raises(QuestionError, match="cannot read"):
        parse_choices('yes,"no')


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ((), "^0 choices"),
        (("a",) * (MAX_CHOICES + 1), f"^{MAX_CHOICES + 1} choices"),
        (("yes", " \n"), "empty"),
        (("yes", "no", " yes "), "'yes' is there twice"),
        (("x" * (MAX_CHOICE_CHARS + 1),), f"has {MAX_CHOICE_CHARS + 1} characters"),
        (("a\0b",), "is not text"),
        (("a\x1b[31m",), "is not text"),
        (("a\udcffb",), "is not text"),
        (("a <bbox>",), "'<bbox>', which has a meaning"),
        (("###",), "'###'"),
        (("a <s>",), "'<s>'"),
        (("<region2>",), "Answers call it region2"),
        ("yes", "one text"),
    ],
)
def test_what_cannot_be_a_list_is_refused(choices: tuple[str, ...], words: str) -> None:
    with pytest.raises(QuestionError, match=words):
        check_choices(choices, ("<s>",))


def test_as_many_as_there_may_be_and_in_their_order() -> None:
    choices = tuple(f"{number} {'x' * 200}" for number in range(MAX_CHOICES, 0, -1))
    assert check_choices(choices) == choices


def test_first_words_may_be_none_but_not_reserved() -> None:
    assert check_lead("  ") == ""
    assert check_lead(" region1 is ") == "region1 is"
    with pytest.raises(QuestionError, match="region1"):
        check_lead("<region1> is")


@given(st.lists(st.text()))
def test_checking_ends_well_or_in_the_users_own_error(choices: list[str]) -> None:
    try:
        checked = check_choices(choices)
    except QuestionError:
        return
    assert checked == tuple(choice.strip() for choice in choices)
    assert len(set(checked)) == len(checked) > 0
