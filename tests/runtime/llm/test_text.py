"""AnswerText against its definition on the whole text."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt4roi_runtime.errors import SettingsError
from gpt4roi_runtime.llm.text import AnswerText

LETTERS = "abX \né字"


def by_definition(data: bytes, stop: list[str], lead: str, *, begun: bool = False) -> str:
    text = data.decode("utf-8", "replace")
    places = [place for place in (text.find(one) for one in stop) if place >= 0]
    text = text[: min(places, default=len(text))]
    words = lead.strip()
    if words and text.lstrip().startswith(words):
        text = text.lstrip()[len(words) :]
    return text.rstrip() if begun else text.strip()


def stream(pieces: list[bytes], stop: list[str], lead: str, *, begun: bool = False) -> list[str]:
    answer = AnswerText(stop, lead, begun=begun)
    return [*(answer.feed(piece) for piece in pieces), answer.finish()]


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(place % (len(data) + 1) for place in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


STOPS = st.lists(st.text(LETTERS, min_size=1, max_size=4), max_size=3)
LEADS = st.sampled_from(["", "ab", " ab X ", "a: "])
DATA = st.one_of(st.text(LETTERS, max_size=30).map(str.encode), st.binary(max_size=20))


@given(DATA, st.lists(st.integers(0, 200), max_size=8), STOPS, LEADS, st.booleans())
def test_streamed_text_is_the_text_by_definition(
    data: bytes, cuts: list[int], stop: list[str], lead: str, begun: bool
) -> None:
    assert "".join(stream(cut(data, cuts), stop, lead, begun=begun)) == by_definition(data, stop, lead, begun=begun)


@given(st.text(LETTERS, max_size=30), STOPS)
def test_only_what_could_become_a_stop_string_is_held_back(text: str, stop: list[str]) -> None:
    answer = AnswerText(stop, begun=True)
    given_out = "".join(answer.feed(character.encode()) for character in text)
    held = text[len(given_out) :].lstrip()  # white space waits for what follows it
    assert (
        answer.stopped
        or held == ""
        or any(one.startswith(held) or held.startswith(one) for one in stop)
        or any(one.startswith(held[:-drop]) for one in stop for drop in range(1, len(held)))
    )


def test_characters_come_whole() -> None:
    assert stream([b"\xc3", b"\xa9\xe5", b"\xad", b"\x97"], [], "") == ["", "é", "", "字", ""]


def test_bytes_that_are_no_text_become_replacement_characters() -> None:
    assert "".join(stream([b"a\xff", b"b\xe5\xad"], [], "")) == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"


def test_a_stop_string_may_cross_tokens() -> None:
    answer = AnswerText(["###"])
    assert [answer.feed(b"red #"), answer.feed(b"#"), answer.stopped, answer.feed(b"# more")] == ["red", "", False, ""]
    assert answer.stopped
    assert answer.feed(b"more") == answer.finish() == ""


def test_a_tail_that_came_to_nothing_is_given_out() -> None:
    assert stream([b"a ##", b"b"], ["###"], "") == ["a", " ##b", ""]


def test_white_space_at_the_ends_is_cut_and_inside_stays() -> None:
    assert stream([b" \n", b" red", b" ", b"or", b" blue\n", b"\n"], [], "") == ["", "red", "", " or", " blue", "", ""]
    assert stream([b" red", b"\n"], [], "", begun=True) == [" red", "", ""]


def test_a_longer_stop_string_that_began_earlier_wins() -> None:
    assert "".join(stream([b"zab", b"c"], ["abc", "b"], "")) == "z"
    assert "".join(stream([b"zab", b"d"], ["abc", "b"], "")) == "za"


@pytest.mark.parametrize("written", ["Assistant: red", " Assistant:red", "\nAssistant:  \nred"])
def test_a_lead_is_cut_whatever_white_space_is_around(written: str) -> None:
    assert "".join(stream([bytes([byte]) for byte in written.encode()], ["###"], "Assistant: ")) == "red"


def test_a_lead_in_the_middle_or_half_stays() -> None:
    assert "".join(stream([b"The Assistant: red"], [], "Assistant:")) == "The Assistant: red"
    assert "".join(stream([b"  Assist"], [], "Assistant:")) == "Assist"


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(SettingsError, match="empty"):
        AnswerText([""])
