"""Closed questions with engines whose arithmetic can be followed: what is scored, and what comes out."""

import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.choosing import exclusive
from gpt4roi_runtime.confidence import shares
from gpt4roi_runtime.errors import BundleError, ContextOverflowError, QuestionError, RegionError, SettingsError
from gpt4roi_runtime.events import Done
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.llm.decoder import Allowed
from gpt4roi_runtime.pipeline import EncodedImage, Pipeline
from gpt4roi_runtime.prompt import Turn
from tests.helpers.fakes import FakeDecoder, FakeEncoder
from tests.runtime.test_pipeline import fake_bundle

BOX = Box(10, 20, 50, 60)


def opened(decoder: FakeDecoder, bundle: Bundle | None = None) -> tuple[Pipeline, EncodedImage]:
    pipeline = Pipeline(bundle or fake_bundle(), FakeEncoder(), decoder)
    return pipeline, pipeline.encode(np.zeros((80, 100, 3), dtype=np.uint8))


def with_prompt(bundle: Bundle, **changes: object) -> Bundle:
    prompt = msgspec.structs.replace(bundle.manifest.prompt, **changes)
    return Bundle(bundle.folder, msgspec.structs.replace(bundle.manifest, prompt=prompt), bundle.id)


def words(tokens: tuple[int, ...]) -> str:
    return "".join(map(chr, tokens))


def last_words(decoder: FakeDecoder, n: int) -> str:
    assert decoder.rows is not None
    return "".join(chr(int(code)) for code in decoder.rows[-n:, 0])


@pytest.mark.parametrize("lead_writer", ["model", "runtime"])
def test_choices_stand_behind_the_lead_whoever_writes_it(lead_writer: str) -> None:
    decoder = FakeDecoder()
    pipeline, image = opened(decoder, fake_bundle(lead_writer))
    chosen = pipeline.choose(image, "What is <region1>?", {1: BOX}, [" a cup", "a dog "])
    assert [words(text) for text in decoder.texts] == ["a cup", "a dog"]
    assert last_words(decoder, 5) == "?\nA: "
    assert decoder.rows is not None
    assert chosen.n_prompt_rows == len(decoder.rows)
    assert chosen.prompt_text.endswith("<bbox>?\nA: ")
    assert [choice.text for choice in chosen.choices] == ["a cup", "a dog"]
    assert set(chosen.seconds) == {"regions", "rows", "score"}
    answer = "A: a cup" if lead_writer == "runtime" else "a cup"
    assert chosen.history == (Turn("What is <region1>?", answer),)


def test_words_before_the_choices_are_prompt() -> None:
    decoder = FakeDecoder()
    pipeline, image = opened(decoder)
    chosen = pipeline.choose(image, "Who?", {}, ["red", "blue"], lead=" it is ")
    assert [words(text) for text in decoder.texts] == [" red", " blue"]
    assert last_words(decoder, 9) == "\nA: it is"
    assert chosen.history[-1].answer == "it is red"
    assert pipeline.choose(image, "Why?", {}, ["red"], history=chosen.history).history == (
        Turn("Who?", "it is red"),
        Turn("Why?", "red"),
    )


def test_all_choices_begin_at_the_first_token_that_one_of_them_changes() -> None:
    class Joining(FakeDecoder):
        def tokenize(self, text: str) -> tuple[int, ...]:
            return super().tokenize(text.replace(" r", "_"))

    decoder = Joining()
    pipeline, image = opened(decoder)
    pipeline.choose(image, "Who?", {}, ["red", "blue"])
    assert [words(text) for text in decoder.texts] == ["_ed", " blue"]
    assert last_words(decoder, 3) == "\nA:"


def test_a_prompt_that_does_not_end_in_text_is_followed_by_the_choice() -> None:
    decoder = FakeDecoder()
    pipeline, image = opened(decoder, with_prompt(fake_bundle(), after_question=(), answer_lead=""))
    chosen = pipeline.choose(image, "What is <region1>", {1: BOX}, ["red", "blue"])
    assert [words(text) for text in decoder.texts] == ["red", "blue"]
    assert chosen.prompt_text.endswith("<bbox>")


def test_probabilities_are_those_of_the_scores() -> None:
    """The fake's letters have the probability 1/2."""
    pipeline, image = opened(FakeDecoder())
    chosen = pipeline.choose(image, "Who?", {}, ["abc", "z", "xy"])
    assert [choice.log_likelihood for choice in chosen.choices] == pytest.approx(np.log([1 / 8, 1 / 2, 1 / 4]))
    assert [choice.probability for choice in chosen.choices] == pytest.approx([1 / 7, 4 / 7, 2 / 7])
    assert [choice.n_tokens for choice in chosen.choices] == [3, 1, 2]
    assert chosen.best.text == "z"
    assert [choice.text for choice in chosen.ranking] == ["z", "xy", "abc"]


def test_of_two_as_likely_the_first_is_best() -> None:
    pipeline, image = opened(FakeDecoder())
    for order in (["abc", "xyz"], ["xyz", "abc"]):
        chosen = pipeline.choose(image, "Who?", {}, order)
        assert chosen.best.text == order[0]
        assert [choice.text for choice in chosen.ranking] == order


def test_a_choice_counts_as_long_as_no_longer_one_follows() -> None:
    pipeline, image = opened(FakeDecoder())
    chosen = pipeline.choose(image, "Who?", {}, ["a", "ab", "abcd", "x"])
    halves = {"a": 1 / 2 - 1 / 4, "ab": 1 / 4 - 1 / 16, "abcd": 1 / 16, "x": 1 / 2}
    assert {choice.text: choice.probability for choice in chosen.choices} == pytest.approx(halves)
    assert chosen.choices[0].log_likelihood == pytest.approx(math.log(1 / 2))


def test_a_beginning_that_always_goes_on_has_nothing_left() -> None:
    probabilities = shares(exclusive([(1,), (1, 2)], [-0.5, -0.5]))
    assert probabilities == pytest.approx((0, 1), abs=1e-12)
    assert exclusive([(1,), (1, 2), (1, 3)], [-1.0, math.log(0.6) - 1, math.log(0.4 + 1e-9) - 1])[0] > -math.inf


@given(st.sets(st.lists(st.integers(0, 1), min_size=1, max_size=4).map(tuple), min_size=1), st.randoms())
def test_exclusive_probabilities_sum_up_to_those_of_the_outermost(texts: set[tuple[int, ...]], random: object) -> None:
    """With a coin for a model: a text of n tokens has the probability 2^-n."""
    order = sorted(texts, key=lambda _: random.random())  # type: ignore[attr-defined]
    found = exclusive(order, [-len(text) * math.log(2) for text in order])
    outermost = [text for text in texts if not any(text[:n] in texts for n in range(1, len(text)))]
    total = sum(2.0 ** -len(text) for text in outermost)
    assert sum(map(math.exp, found)) == pytest.approx(total, abs=1e-9)


def test_what_cannot_be_asked_is_refused_before_any_engine() -> None:
    decoder = FakeDecoder()
    pipeline, image = opened(decoder)
    for choices, match in (([], "^0 choices"), (["a", "a"], "twice"), (["a ## b"], "##"), (["<s>"], "<s>")):
        with pytest.raises(QuestionError, match=match):
            pipeline.choose(image, "Who?", {}, choices)
        with pytest.raises(QuestionError, match=match):
            pipeline.ask(image, "Who?", {}, allowed=choices)
    with pytest.raises(QuestionError, match="empty"):
        pipeline.choose(image, " ", {}, ["a"])
    with pytest.raises(RegionError, match="no box"):
        pipeline.choose(image, "<region1>?", {}, ["a"])
    with pytest.raises(BundleError, match="1111111111111111"):
        pipeline.choose(replace(image, bundle_id="1" * 16), "Who?", {}, ["a"])
    assert decoder.rows is None


def test_choices_that_are_one_to_the_vocabulary_or_none_are_refused() -> None:
    class Deaf(FakeDecoder):
        def tokenize(self, text: str) -> tuple[int, ...]:
            return super().tokenize(text.replace("x", "y").replace("q", ""))

    pipeline, image = opened(Deaf())
    with pytest.raises(QuestionError, match="'ax' and 'ay' are the same"):
        pipeline.choose(image, "Who?", {}, ["ax", "ay"])
    with pytest.raises(QuestionError, match="'q' is nothing"):
        pipeline.choose(image, "Who?", {}, ["q", "a"])


def test_the_longest_choice_has_to_fit() -> None:
    pipeline, image = opened(FakeDecoder(context_length=60))
    n_prompt = pipeline.choose(image, "Who?", {}, ["a"]).n_prompt_rows
    assert pipeline.choose(image, "Who?", {}, ["a", "b" * (60 - n_prompt)]).best.text == "a"
    with pytest.raises(ContextOverflowError, match="61 tokens; the context holds 60"):
        pipeline.choose(image, "Who?", {}, ["a", "b" * (61 - n_prompt)])
    with pytest.raises(ContextOverflowError, match="60"):
        pipeline.ask(image, "Who?", {}, allowed=["b" * 50])


def test_an_answer_may_be_restricted() -> None:
    decoder = FakeDecoder("A: no##")
    pipeline, image = opened(decoder)
    *_, done = pipeline.ask(image, "Who?", {}, allowed=[" yes", "no"], max_tokens=1)
    assert isinstance(done, Done)
    assert decoder.allowed == Allowed(("yes", "no"), "A:", ("##",), space="optional")
    assert (done.answer, done.stop_reason) == ("no", "stop_text")
    decoder.answer = "no"
    pipeline, image = opened(decoder, fake_bundle("runtime"))
    *_, done = pipeline.ask(image, "Who?", {}, allowed=["yes", "no"])
    assert isinstance(done, Done)
    assert decoder.allowed == Allowed(("yes", "no"), "", ("##",), space="none")
    assert done.answer == "A: no"


def test_a_lead_that_ends_in_a_word_is_followed_by_a_space() -> None:
    decoder = FakeDecoder(" red")
    pipeline, image = opened(decoder, with_prompt(fake_bundle("runtime"), answer_lead="It is"))
    chosen = pipeline.choose(image, "Who?", {}, ["red", "blue"])
    assert [words(text) for text in decoder.texts] == ["red", "blue"]
    assert last_words(decoder, 7) == "\nIt is "
    assert chosen.history[-1].answer == "It is red"
    assert pipeline.choose(image, "Who?", {}, ["red"], lead="now").history[-1].answer == "It is now red"
    *_, done = pipeline.ask(image, "Who?", {}, allowed=["red"])
    assert isinstance(done, Done)
    assert decoder.allowed == Allowed(("red",), "", ("##",), space="required")
    assert done.history == chosen.history


def test_tokens_are_accounted_for_on_request() -> None:
    decoder = FakeDecoder("a dog##")
    pipeline, image = opened(decoder)
    *_, done = pipeline.ask(image, "Who?", {})
    assert isinstance(done, Done)
    assert done.tokens == ()
    *_, done = pipeline.ask(image, "Who?", {}, n_top=3)
    assert isinstance(done, Done)
    assert b"".join(token.text_bytes for token in done.tokens) == b"a dog##"
    assert done.n_answer_tokens == len(done.tokens)
    for n_top in (-1, 21):
        with pytest.raises(SettingsError, match=f"^{n_top} alternatives"):
            pipeline.ask(image, "Who?", {}, n_top=n_top)
