import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gpt4roi_runtime.bundle.manifest import ImagePiece, Prompt, TextPiece, TokenPiece
from gpt4roi_runtime.errors import QuestionError, RegionError
from gpt4roi_runtime.prompt import (
    ALWAYS_RESERVED,
    ImageSlot,
    RegionSlot,
    TextChunk,
    TokenChunk,
    Turn,
    as_text,
    as_tokenised,
    check_dialogue,
    lay_out,
    lay_out_answer,
    mentions,
    space_behind_lead,
)
from tests.helpers.bundles import gpt4roi_prompt

GOLDEN: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "golden" / "prompts.json").read_text(encoding="utf-8")
)


def plain_prompt(**changes: Any) -> Prompt:
    parts = {
        "opening": (TokenPiece(token="<s>"), TextPiece(text="Q: ")),  # noqa: S106 - a word of the vocabulary
        "after_question": (TextPiece(text=" A: "),),
        "answer_lead": "It is",
        "lead_writer": "runtime",
        "after_answer": (TextPiece(text=" Q: "),),
        "stop": (),
        "reserved": ("<s>",),
    }
    return Prompt(**{**parts, **changes})


# --- the authors' prompts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialogue", GOLDEN, ids=range(len(GOLDEN)))
def test_the_authors_prompts_byte_for_byte(dialogue: dict[str, Any]) -> None:
    *earlier, (question, none) = dialogue["turns"]
    assert none is None
    chunks = lay_out(gpt4roi_prompt(), [Turn(*turn) for turn in earlier], question)
    assert as_text(chunks, 256).encode() == dialogue["prompt"].encode()


def test_there_are_goldens_with_and_without_history() -> None:
    assert {len(dialogue["turns"]) for dialogue in GOLDEN} >= {1, 2, 3}


def test_the_slots_stand_where_the_words_of_the_golden_stand() -> None:
    chunks = lay_out(gpt4roi_prompt(), [], "Is <region2> left of <region1>?")
    assert [chunk for chunk in chunks if not isinstance(chunk, TextChunk)] == [
        TokenChunk("<im_start>"),
        ImageSlot(),
        TokenChunk("<im_end>"),
        RegionSlot(2),
        RegionSlot(1),
    ]


# --- mentions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("", ()),
        ("What is it?", ()),
        ("region1", ()),
        ("<region1>", (1,)),
        ("<region12><region3>", (12, 3)),
        ("<region2> <region1> <region2>", (2, 1)),
        ("<region9999>", (9999,)),
    ],
)
def test_mentions_are_numbers_in_order_each_once(text: str, numbers: tuple[int, ...]) -> None:
    assert mentions(text) == numbers


def test_a_repeated_mention_is_a_plain_word() -> None:
    chunks = lay_out(plain_prompt(), [], "Is <region1> <region1>?")
    assert chunks == (
        TokenChunk("<s>"),
        TextChunk("Q: Is region1 "),
        RegionSlot(1),
        TextChunk(" region1? A: It is"),
    )


def test_numbers_are_the_users_own() -> None:
    assert as_text(lay_out(plain_prompt(), [], "<region7> or <region3>"), 0) == (
        "<s>Q: region7 <bbox> or region3 <bbox> A: It is"
    )


def test_a_region_of_an_earlier_turn_has_no_second_slot() -> None:
    chunks = lay_out(plain_prompt(), [Turn("<region1>?", " a dog")], "<region1> and <region2>?")
    assert [chunk.number for chunk in chunks if isinstance(chunk, RegionSlot)] == [1, 2]
    assert as_text(chunks, 0) == "<s>Q: region1 <bbox>? A:  a dog Q: region1 and region2 <bbox>? A: It is"


def test_neighbouring_texts_are_one_chunk() -> None:
    chunks = lay_out(gpt4roi_prompt(), [Turn("a", "b")], "c")
    kinds = [type(chunk) for chunk in chunks]
    assert (TextChunk, TextChunk) not in pairwise(kinds)
    assert TextChunk("") not in chunks


def test_an_answer_with_placeholders_stays_text() -> None:
    chunks = lay_out(plain_prompt(), [Turn("<region1>?", "<region2> <s> <bbox>")], "Why?")
    assert [chunk for chunk in chunks if not isinstance(chunk, TextChunk)] == [TokenChunk("<s>"), RegionSlot(1)]


def test_a_lead_of_the_models_own_is_only_in_the_history() -> None:
    template = plain_prompt(lead_writer="model", answer_lead="A model: ")
    assert as_text(lay_out(template, [Turn("x", "y")], "z"), 0) == "<s>Q: x A: A model: y Q: z A: "


def test_a_template_without_any_piece_is_the_question() -> None:
    template = plain_prompt(opening=(), after_question=(), after_answer=(), answer_lead="")
    assert lay_out(template, [], "hello") == (TextChunk("hello"),)


def test_the_image_is_written_with_its_rows() -> None:
    assert as_text(lay_out(plain_prompt(opening=(ImagePiece(),)), [], "q"), 7).startswith("<im_patch>*7q")


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", ["", " ", "\n\t", "\u00a0", "\u3000"])
def test_an_empty_question_is_refused(question: str) -> None:
    with pytest.raises(QuestionError, match="empty"):
        check_dialogue([question], [])


def test_an_empty_earlier_question_is_refused() -> None:
    with pytest.raises(QuestionError, match="empty"):
        check_dialogue(["", "What?"], [])


@pytest.mark.parametrize("word", [*ALWAYS_RESERVED, "<|im_end|>"])
@pytest.mark.parametrize("question", ["{}", "What is <region1>{}?", "a{}b", "####{}", "\n{}\n"])
def test_a_reserved_word_anywhere_is_refused_by_name(word: str, question: str) -> None:
    with pytest.raises(QuestionError) as refused:
        check_dialogue([question.format(word)], [1], ["<|im_end|>"])
    assert repr(word) in refused.value.problem or "'###'" in refused.value.problem


def test_every_placeholder_of_the_template_is_reserved_for_every_bundle() -> None:
    assert set(ALWAYS_RESERVED) >= {"<bbox>", "<im_patch>", "<im_start>", "<im_end>", "<point>", "###"}


@pytest.mark.parametrize(
    "word",
    [
        "<region0>",
        "<region00>",
        "<region01>",
        "<region 1>",
        "<region1 >",
        "< region1>",
        "<Region1>",
        "<REGION1>",
        "<region>",
        "<region-1>",
        "<region1.5>",
        "<regionone>",
        "<region10000>",
        "<region\u0661>",
        "<region1\uff12>",  # a full-width 2
    ],
)
def test_what_is_almost_a_mention_is_refused_by_name(word: str) -> None:
    with pytest.raises(QuestionError) as refused:
        check_dialogue([f"What is <region1> and {word}?"], [1])
    assert word in refused.value.problem or repr(word) in refused.value.problem


@pytest.mark.parametrize("question", ["What is \udcff?", "What is <region1>\ud800?"])
def test_a_question_that_is_no_unicode_text_is_refused(question: str) -> None:
    """Bytes of a terminal that are no UTF-8 arrive as lone surrogates, which no tokenizer can encode."""
    with pytest.raises(QuestionError):
        check_dialogue([question], mentions(question))


def test_a_mention_without_a_box_names_what_there_is() -> None:
    with pytest.raises(RegionError, match=r"<region3>, which has no box \(there are: <region1>, <region2>\)"):
        check_dialogue(["<region1> <region2> <region3>"], [1, 2])


def test_a_mention_without_any_box_says_none() -> None:
    with pytest.raises(RegionError, match="there are: none"):
        check_dialogue(["<region1>"], [])


def test_a_box_that_is_never_mentioned_is_named() -> None:
    with pytest.raises(RegionError, match="<region2> has a box but is never mentioned"):
        check_dialogue(["What is <region1>?"], [1, 2])


def test_a_plain_word_is_no_mention() -> None:
    with pytest.raises(RegionError, match="<region1> has a box but is never mentioned"):
        check_dialogue(["What is region1?"], [1])


def test_a_mention_in_an_earlier_question_counts() -> None:
    check_dialogue(["What is <region1>?", "And its colour?"], [1])


def test_a_question_without_regions_is_good() -> None:
    check_dialogue(["What do you see? 3 < 5 > 2 # 1 ## 2 <b>"], [])


# --- nothing a user writes forges a slot ------------------------------------------------------------------------------

nasty = st.lists(
    st.sampled_from(
        ["<region1>", "<region2>", "<region", "1>", "region1", " ", "<", ">", "#", "##", "<bb", "ox>", "<im_", "patch>"]
    )
    | st.text(max_size=5),
    max_size=12,
).map("".join)


@given(st.lists(nasty, min_size=1, max_size=3), nasty)
def test_accepted_questions_make_exactly_the_slots_of_their_mentions(questions: list[str], answer: str) -> None:
    numbers = mentions("\n".join(questions))
    try:
        check_dialogue(questions, numbers, gpt4roi_prompt().reserved)
    except QuestionError:
        assume(False)
    *earlier, question = questions
    chunks = lay_out(gpt4roi_prompt(), [Turn(one, answer) for one in earlier], question)
    assert tuple(chunk.number for chunk in chunks if isinstance(chunk, RegionSlot)) == numbers
    tokens = [chunk for chunk in chunks if isinstance(chunk, TokenChunk)]
    assert tokens == [TokenChunk("<im_start>"), TokenChunk("<im_end>")]
    assert chunks.count(ImageSlot()) == 1


@given(nasty)
def test_the_words_of_an_accepted_question_hold_no_reserved_word(question: str) -> None:
    numbers = mentions(question)
    try:
        check_dialogue([question], numbers)
    except QuestionError:
        assume(False)
    template = plain_prompt(opening=(), after_question=(), answer_lead="")
    words = [chunk.text for chunk in lay_out(template, [], question) if isinstance(chunk, TextChunk)]
    assert not [word for word in ALWAYS_RESERVED for text in words if word in text]


@given(nasty, st.lists(st.integers(1, 4), max_size=3))
def test_checking_ends_well_or_in_the_users_own_error(question: str, numbers: list[int]) -> None:
    try:
        check_dialogue([question], numbers)
    except (QuestionError, RegionError) as error:
        assert error.advice  # noqa: PT017 - either outcome is right


# --- white space beside slots -----------------------------------------------------------------------------------------


def test_white_space_is_kept_where_the_template_says_nothing() -> None:
    chunks = lay_out(gpt4roi_prompt(), [], "Is <region1>\n bigger than\t<region2> ?")
    assert as_tokenised(gpt4roi_prompt(), chunks) == chunks


def test_white_space_is_dropped_where_a_text_touches_a_slot_and_nowhere_else() -> None:
    template = plain_prompt(
        opening=(TokenPiece(token="<s>"), TextPiece(text=" Q:  see "), ImagePiece(), TextPiece(text="\n\n  ")),  # noqa: S106
        space_at_slots="dropped",
    )
    chunks = lay_out(template, [], "Is <region1>\n\tbigger  than\u3000<region2>  <region3>\n or not ? ")
    assert as_tokenised(template, chunks) == (
        TokenChunk("<s>"),
        TextChunk("Q:  see"),
        ImageSlot(),
        TextChunk("Is region1"),
        RegionSlot(1),
        TextChunk("bigger  than\u3000region2"),
        RegionSlot(2),
        TextChunk("region3"),
        RegionSlot(3),
        TextChunk("or not ?  A: It is"),
    )


def test_a_text_of_nothing_but_white_space_between_two_slots_is_empty() -> None:
    template = plain_prompt(
        opening=(ImagePiece(), TextPiece(text=" \n"), TokenPiece(token="<s>")),  # noqa: S106
        space_at_slots="dropped",
    )
    tokenised = as_tokenised(template, lay_out(template, [], "Why?"))
    assert tokenised[:3] == (ImageSlot(), TextChunk(""), TokenChunk("<s>"))


def test_the_first_and_the_last_text_keep_their_outer_space() -> None:
    template = plain_prompt(opening=(TextPiece(text="  Q: "),), lead_writer="model", space_at_slots="dropped")
    assert as_tokenised(template, lay_out(template, [], "<region1>")) == (
        TextChunk("  Q: region1"),
        RegionSlot(1),
        TextChunk("A: "),
    )


@pytest.mark.parametrize("template", [gpt4roi_prompt(), plain_prompt(answer_lead="It is ")])
def test_an_answer_is_laid_out_as_the_next_turn_repeats_it(template: Prompt) -> None:
    question, answer = "What is <region1>?", "a red cup"
    chunks = lay_out_answer(template, lay_out(template, (), question), answer)
    # what the runtime writes of an answer is a part of it, and the history says so
    shown = template.answer_lead if template.lead_writer == "runtime" else ""
    dialogue = lay_out(template, (Turn(question, shown + answer),), "Why?")
    assert as_text(dialogue, 1).startswith(as_text(chunks, 1))
    assert as_text(chunks, 1).endswith(template.answer_lead + answer)


def test_a_space_stands_behind_a_word_of_the_runtimes() -> None:
    assert space_behind_lead(plain_prompt()) == " "
    assert space_behind_lead(plain_prompt(answer_lead="It is\n")) == ""
    assert space_behind_lead(plain_prompt(answer_lead="")) == ""
    assert space_behind_lead(gpt4roi_prompt()) == ""
