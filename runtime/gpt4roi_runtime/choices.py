"""A closed list of answers, checked as a user gave it; knows no token and no model."""

import csv
import unicodedata
from collections.abc import Sequence

from gpt4roi_runtime.errors import QuestionError
from gpt4roi_runtime.prompt import ALWAYS_RESERVED, mentions

MAX_CHOICES = 256
MAX_CHOICE_CHARS = 256

_ADVICE = 'Give a list such as "yes,no"; a choice with a comma in it stands in double quotes.'
_FORMATTING = "\n\t"  # control characters that are ordinary text


def parse_choices(text: str) -> tuple[str, ...]:
    """The choices of one line such as ``yes,no`` or ``"red, or so",blue``.

    Raises:
        QuestionError: Quotes are left open.
    """
    try:
        rows = list(csv.reader([text], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise QuestionError(f"cannot read the choices {text!r}: {error}", _ADVICE) from error
    return tuple(rows[0]) if rows else ()


def check_choices(choices: Sequence[str], reserved: Sequence[str] = ()) -> tuple[str, ...]:
    """The choices without white space at their ends, in the given order.

    Args:
        choices: 1 to 256 texts of up to 256 characters, all different.
        reserved: Words with a meaning for the model, on top of those that have one for every model.

    Raises:
        QuestionError: There are none or too many, or one cannot be an answer.
    """
    if isinstance(choices, str):
        raise QuestionError(f"the choices are one text, {choices!r}", "Give a list of texts.")
    if not 1 <= len(choices) <= MAX_CHOICES:
        raise QuestionError(f"{len(choices)} choices were given", f"Give 1 to {MAX_CHOICES}.")
    found: list[str] = []
    for choice in choices:
        text = choice.strip()
        _check(text, (*ALWAYS_RESERVED, *reserved))
        if text in found:
            raise QuestionError(f"the choice {text!r} is there twice", "Leave one of them out.")
        found.append(text)
    return tuple(found)


def check_lead(lead: str, reserved: Sequence[str] = ()) -> str:
    """Words that stand before every choice, without white space at their ends; they may be none.

    Raises:
        QuestionError: They cannot be a part of an answer.
    """
    text = lead.strip()
    if text:
        _check(text, (*ALWAYS_RESERVED, *reserved))
    return text


def _check(text: str, reserved: Sequence[str]) -> None:
    if not text:
        raise QuestionError("a choice is empty", _ADVICE)
    if len(text) > MAX_CHOICE_CHARS:
        raise QuestionError(
            f"the choice {text[:40]!r}... has {len(text)} characters", f"Use at most {MAX_CHOICE_CHARS}."
        )
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs") and character not in _FORMATTING:
            raise QuestionError(f"the choice {text!r} holds {character!r}, which is not text", "Leave it out.")
    for number in mentions(text)[:1]:
        raise QuestionError(f"the choice {text!r} mentions <region{number}>", f"Answers call it region{number}.")
    for word in reserved:
        if word in text:
            raise QuestionError(
                f"the choice {text!r} contains {word!r}, which has a meaning of its own for the model", "Leave it out."
            )
