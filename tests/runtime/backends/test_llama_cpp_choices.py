"""The llama.cpp decoder on a tiny random model: texts scored, answers under a grammar, log-probabilities."""

import ctypes
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.errors import (
    Cancelled,
    ContextOverflowError,
    EngineError,
    NumericError,
    SettingsError,
)
from gpt4roi_runtime.llm.decoder import Allowed, Prefilled, Sampling
from tests.helpers.tiny_gguf import PIECES, vocabulary, write_tiny_gguf
from tests.helpers.tiny_rows import never, some_rows

SETTINGS = LlamaCppSettings(n_threads=1, context_length=512, repack="on")
GREEDY = Sampling()
HOT = Sampling(temperature=5.0, top_k=0, top_p=1.0)
N_PREFIX = 20
KERNELS = 3e-3
"""Logits of one row differ by so much with the number of rows in a call (docs/decisions/0015)."""


def load(path: Path, settings: LlamaCppSettings = SETTINGS) -> LlamaCppDecoder:
    return LlamaCppDecoder.load(path, inspect_gguf(path), settings)


@pytest.fixture
def decoder(tiny: Path) -> Iterator[LlamaCppDecoder]:
    loaded = load(tiny)
    yield loaded
    loaded.close()


PROMPT = some_rows(32)


def some_texts(n: int, longest: int = 6, seed: int = 0) -> list[tuple[int, ...]]:
    dice = np.random.default_rng(seed)
    return [tuple(map(int, dice.integers(3, len(vocabulary()), dice.integers(1, longest + 1)))) for _ in range(n)]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    wide = logits.astype(np.float64)
    return wide - np.logaddexp.reduce(wide)  # type: ignore[no-any-return]


def forced(decoder: LlamaCppDecoder, rows: np.ndarray, text: Sequence[int]) -> list[float]:
    """The same by prompts that each end one token later."""
    found = []
    for place, token in enumerate(text):
        decoder.prefill(np.concatenate([rows, decoder.embed(text[:place])]) if place else rows, never, N_PREFIX)
        found.append(float(log_softmax(decoder.logits())[token]))
    return found


# --- texts scored


@pytest.mark.parametrize("batch_size", [1, 2, 512])
def test_scores_are_those_of_prompts_that_hold_the_text(tiny: Path, batch_size: int) -> None:
    decoder = load(tiny, LlamaCppSettings(n_threads=1, context_length=512, batch_size=batch_size, repack="on"))
    texts = some_texts(4)
    scores = decoder.score(PROMPT, texts, never, N_PREFIX)
    assert scores.filled == Prefilled(0, len(PROMPT))
    for text, found in zip(texts, scores.log_probabilities, strict=True):
        np.testing.assert_allclose(found, forced(decoder, PROMPT, text), rtol=0, atol=2 * KERNELS)
    decoder.close()


def test_many_texts_are_scored_in_any_order_alike(decoder: LlamaCppDecoder) -> None:
    texts = some_texts(50)
    backwards = decoder.score(PROMPT, texts[::-1], never, N_PREFIX).log_probabilities[::-1]
    assert decoder.score(PROMPT, texts, never, N_PREFIX).log_probabilities == backwards
    for text, found in zip(texts, backwards, strict=True):
        (alone,) = decoder.score(PROMPT, [text], never, N_PREFIX).log_probabilities
        np.testing.assert_allclose(found, alone, rtol=0, atol=2 * KERNELS)


def test_a_text_longer_than_a_call_goes_on_in_the_next(decoder: LlamaCppDecoder) -> None:
    texts = some_texts(5, longest=70, seed=3)
    assert max(map(len, texts)) > 40
    for text, found in zip(texts, decoder.score(PROMPT, texts, never, N_PREFIX).log_probabilities, strict=True):
        np.testing.assert_allclose(found, forced(decoder, PROMPT, text), rtol=0, atol=2 * KERNELS)


def test_the_first_token_counts_as_the_prompt_says_bit_for_bit(decoder: LlamaCppDecoder) -> None:
    ((found,),) = decoder.score(PROMPT, [(40,)], never, N_PREFIX).log_probabilities
    decoder.prefill(PROMPT, never, N_PREFIX)
    assert found == pytest.approx(float(log_softmax(decoder.logits())[40]), abs=1e-12)


def test_the_prefix_stays_and_nothing_else(tiny: Path, decoder: LlamaCppDecoder) -> None:
    question = np.concatenate([PROMPT[:N_PREFIX], some_rows(9, 5)])
    cold = load(tiny)
    cold.prefill(question, never, N_PREFIX)
    expected = cold.logits()
    cold.close()
    decoder.score(PROMPT, some_texts(20), never, N_PREFIX)
    assert decoder.sequence_lengths() == (len(PROMPT), *[0] * 16)
    assert decoder.score(PROMPT, some_texts(2), never, N_PREFIX).filled.n_kept == N_PREFIX
    assert decoder.prefill(question, never, N_PREFIX) == Prefilled(N_PREFIX, 9)
    np.testing.assert_array_equal(decoder.logits(), expected)


def test_scores_are_no_answer_and_end_one(decoder: LlamaCppDecoder) -> None:
    decoder.prefill(PROMPT, never, N_PREFIX)
    steps = decoder.decode(HOT, 50, never)
    next(steps)
    decoder.score(PROMPT, some_texts(2), never, N_PREFIX)
    with pytest.raises(EngineError, match="newer prompt"):
        list(steps)
    with pytest.raises(EngineError, match="no prompt"):
        decoder.decode(GREEDY, 1, never)
    with pytest.raises(EngineError, match="no logits"):
        decoder.logits()


def test_texts_fill_what_the_context_holds(tiny: Path) -> None:
    decoder = load(tiny, LlamaCppSettings(n_threads=1, context_length=256, repack="on"))
    rows = some_rows(240)
    texts = [*some_texts(30, longest=5), tuple(range(10, 26))]
    scores = decoder.score(rows, texts, never)  # 15 of the last text's tokens are fed, and 15 rows are left
    np.testing.assert_allclose(
        scores.log_probabilities[-1], decoder.score(rows, texts[-1:], never).log_probabilities[0], atol=2 * KERNELS
    )
    with pytest.raises(ContextOverflowError, match="256"):
        decoder.score(rows, [*texts, tuple(range(10, 27))], never)
    assert set(decoder.sequence_lengths()[1:]) == {0}
    decoder.close()


@pytest.mark.parametrize("limit", [3, 30, 90, 150])
def test_scoring_stops_when_told_and_leaves_the_prompt(decoder: LlamaCppDecoder, limit: int) -> None:
    asked = 0

    def soon() -> bool:
        nonlocal asked
        asked += 1
        return asked > limit

    decoder.prepare(PROMPT[:N_PREFIX], never)
    with pytest.raises(Cancelled):
        decoder.score(PROMPT, some_texts(200, longest=8), soon, N_PREFIX)
    assert decoder.sequence_lengths()[0] in (N_PREFIX, len(PROMPT))
    assert set(decoder.sequence_lengths()[1:]) == {0}
    assert decoder.score(PROMPT, [(40, 41)], never, N_PREFIX).filled.n_kept == N_PREFIX


def test_texts_that_cannot_be_scored_are_refused(tiny: Path, decoder: LlamaCppDecoder) -> None:
    assert decoder.score(PROMPT, [], never).log_probabilities == ()
    with pytest.raises(EngineError, match="without tokens"):
        decoder.score(PROMPT, [(40,), ()], never)
    for token in (-1, len(vocabulary())):
        with pytest.raises(EngineError, match=f"token {token} is outside"):
            decoder.score(PROMPT, [(40, token, 40)], never)
    with pytest.raises(EngineError, match="shape"):
        decoder.score(PROMPT[:, :-1].copy(), [(40,)], never)
    with pytest.raises(NumericError, match="row 0"):
        decoder.score(np.full_like(PROMPT, np.inf), [(40,)], never)
    with pytest.raises(EngineError, match="prefix of 99"):
        decoder.score(PROMPT, [(40,)], never, 99)


def test_logits_that_are_no_numbers_end_the_scoring(tmp_path: Path) -> None:
    decoder = load(write_tiny_gguf(tmp_path / "bad.gguf", spoiled_weight=float("nan")))
    with pytest.raises(NumericError, match="not finite"):
        decoder.score(PROMPT, [(40, 41)], never)
    assert set(decoder.sequence_lengths()) == {0}
    decoder.close()


# --- a grammar


def written(decoder: LlamaCppDecoder, allowed: Allowed, sampling: Sampling, rows: np.ndarray = PROMPT) -> str:
    decoder.prefill(rows, never, N_PREFIX)
    steps = decoder.decode(sampling, allowed.max_tokens, never, allowed=allowed)
    return b"".join(step.text_bytes for step in steps).decode()


LISTS = {
    "words": ("yes", "no"),
    "beginnings of one another": ("a", "a red", "a red the", "red"),
    "quotes and slashes": ('say "x"', "back\\slash", "\\n", "[a-z]*", "a | b ::= root", "%", "-"),
    "lines": ("one\ntwo", "one\tthree"),
    "other scripts": ("é", "ébène", "字", "字典", "🙂", "🙂🙃"),
}


@pytest.mark.parametrize("texts", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("sampling", [GREEDY, HOT], ids=["greedy", "hot"])
def test_an_answer_is_always_in_the_list(decoder: LlamaCppDecoder, texts: tuple[str, ...], sampling: Sampling) -> None:
    """This model writes noise of 300 tokens, so an answer in the list is the grammar's work."""
    found = set()
    for seed in range(8):
        rows = np.concatenate([PROMPT[:N_PREFIX], some_rows(6, seed)])
        how = Sampling(sampling.temperature, sampling.top_k, sampling.top_p, seed)
        found.add(written(decoder, Allowed(texts), how, rows))
    assert {answer.removeprefix(" ") for answer in found} <= set(texts)
    assert len(found) > 1


def test_every_text_can_be_written(decoder: LlamaCppDecoder) -> None:
    for texts in LISTS.values():
        for text in texts:
            assert written(decoder, Allowed((text,)), HOT) in (text, f" {text}")
            assert written(decoder, Allowed((text,), space="none"), HOT) == text
            assert written(decoder, Allowed((text,), space="required"), HOT) == f" {text}"


def test_what_would_be_written_anyway_is_written_alike(decoder: LlamaCppDecoder) -> None:
    n_alike = 0
    for seed in range(40):
        rows = np.concatenate([PROMPT[:N_PREFIX], some_rows(6, seed)])
        decoder.prefill(rows, never, N_PREFIX)
        free = list(decoder.decode(Sampling(1.0, 0, 1.0, seed), 2, never))
        text = b"".join(step.text_bytes for step in free).decode("ascii", "replace")
        if "\ufffd" not in text and text.isprintable() and all(step.text_bytes for step in free) and free:
            decoder.prefill(rows, never, N_PREFIX)
            allowed = Allowed((text, "something else"), space="none")
            again = list(decoder.decode(Sampling(1.0, 0, 1.0, seed), 2, never, allowed=allowed))
            assert again == free
            n_alike += 1
    assert n_alike > 3


def test_a_lead_comes_first_and_a_stop_string_may_end(decoder: LlamaCppDecoder) -> None:
    allowed = Allowed(("yes", "yes it is"), "Lead:", ("###", "//"))
    ends = set()
    for seed in range(40):
        answer = written(decoder, allowed, Sampling(5.0, 0, 1.0, seed))
        lead, text = answer.split(":")
        assert lead.strip() == "Lead"
        words = text.removeprefix(" ")
        body = words.removesuffix("###").removesuffix("//")
        ends.add(words[len(body) :])
        assert body.rstrip() in allowed.texts
        assert len(body) - len(body.rstrip()) <= 2
    assert ends == {"", "###", "//"}


def test_a_text_that_looks_like_a_special_token_is_written_in_letters(decoder: LlamaCppDecoder) -> None:
    for text in ("<|im_end|>", "<bbox>", "</s>", "<unk>"):
        allowed = Allowed((text,), space="none")
        decoder.prefill(PROMPT, never, N_PREFIX)
        steps = list(decoder.decode(HOT, allowed.max_tokens, never, allowed=allowed))
        assert b"".join(step.text_bytes for step in steps).decode() == text
        assert len(steps) > 1


def test_samplers_of_many_answers_are_freed(decoder: LlamaCppDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    api = decoder._native.model.context.api
    made: list[int] = []
    freed: list[int] = []
    for name in ("llama_sampler_chain_init", "llama_sampler_init_grammar"):
        really = getattr(api, name)

        def make(*given, really=really):  # type: ignore[no-untyped-def]
            sampler = really(*given)
            made.append(ctypes.addressof(sampler.contents))
            return sampler

        monkeypatch.setattr(api, name, make)
    free = api.llama_sampler_free
    monkeypatch.setattr(
        api, "llama_sampler_free", lambda one: (freed.append(ctypes.addressof(one.contents)), free(one))
    )
    for _ in range(3):
        written(decoder, Allowed(("yes", "no")), GREEDY)
    decoder.close()
    assert len(made) == 6
    assert Counter(made) == Counter(freed)


def test_a_grammar_that_is_refused_is_an_error(decoder: LlamaCppDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpt4roi_runtime.backends.llama_cpp_sampling.grammar_of", lambda _allowed: 'root ::= "')
    decoder.prefill(PROMPT, never, N_PREFIX)
    with pytest.raises(EngineError, match="no grammar of 1 answers"):
        decoder.decode(GREEDY, 5, never, allowed=Allowed(("yes",)))
    decoder.prefill(PROMPT, never, N_PREFIX)
    assert list(decoder.decode(GREEDY, 2, never))


def test_a_text_that_the_vocabulary_cannot_write_is_an_error(
    decoder: LlamaCppDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocabulary = decoder._native.model.vocabulary
    monkeypatch.setitem(vars(vocabulary), "may_be_text", np.arange(vocabulary.size) < 3)
    decoder.prefill(PROMPT, never, N_PREFIX)
    with pytest.raises(EngineError, match="cannot write"):
        list(decoder.decode(GREEDY, 5, never, allowed=Allowed(("yes",))))


# --- log-probabilities of what is written


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=1.5, top_k=0, top_p=1.0, seed=4)])
def test_a_token_tells_its_log_probability(decoder: LlamaCppDecoder, sampling: Sampling) -> None:
    decoder.prefill(PROMPT, never, N_PREFIX)
    steps = list(decoder.decode(sampling, 8, never, n_top=5))
    expected = forced(decoder, PROMPT, [step.token for step in steps])
    for step, log_probability in zip(steps, expected, strict=True):
        assert step.score is not None
        assert step.score.text_bytes == step.text_bytes
        assert step.score.log_probability == pytest.approx(log_probability, abs=2 * KERNELS)
        tops = [one.log_probability for one in step.score.top]
        assert len(tops) == 5
        assert tops == sorted(tops, reverse=True)
        assert step.score.log_probability <= tops[0]
        assert sum(map(math.exp, tops)) <= 1 + 1e-12
        if sampling is GREEDY:
            assert step.score.log_probability == tops[0]


def test_the_first_tokens_numbers_are_numpys(decoder: LlamaCppDecoder) -> None:
    decoder.prefill(PROMPT, never, N_PREFIX)
    reference = log_softmax(decoder.logits())
    (step,) = decoder.decode(GREEDY, 1, never, n_top=20)
    assert step.score is not None
    order = np.argsort(-reference, kind="stable")[:20]
    assert step.token == order[0]
    np.testing.assert_allclose([one.log_probability for one in step.score.top], reference[order], rtol=0, atol=1e-12)


def test_temperature_and_a_grammar_leave_log_probabilities_alone(decoder: LlamaCppDecoder) -> None:
    decoder.prefill(PROMPT, never, N_PREFIX)
    reference = log_softmax(decoder.logits())
    step = next(decoder.decode(HOT, 9, never, allowed=Allowed(("yes", "no")), n_top=1))
    assert step.score is not None
    assert step.score.log_probability == pytest.approx(reference[step.token], abs=1e-12)
    assert step.score.top[0].log_probability == pytest.approx(reference.max(), abs=1e-12)


def test_nothing_is_worked_out_unless_asked_for(decoder: LlamaCppDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> list[float]:
        raise AssertionError("nobody asked")

    monkeypatch.setattr("gpt4roi_runtime.backends.llama_cpp_model.log_probabilities", refuse)
    decoder.prefill(PROMPT, never, N_PREFIX)
    assert [step.score for step in decoder.decode(GREEDY, 3, never)] == [None] * 3
    decoder.prefill(PROMPT, never, N_PREFIX)
    with pytest.raises(AssertionError, match="nobody"):
        list(decoder.decode(GREEDY, 3, never, n_top=0))


@pytest.mark.parametrize("n_top", [-1, 21])
def test_a_number_of_alternatives_out_of_range_is_refused(decoder: LlamaCppDecoder, n_top: int) -> None:
    decoder.prefill(PROMPT, never, N_PREFIX)
    with pytest.raises(SettingsError, match=f"^{n_top} alternatives"):
        decoder.decode(GREEDY, 3, never, n_top=n_top)


def test_the_tiny_vocabulary_has_whole_words() -> None:
    assert "▁red" in PIECES  # so that some texts above are single tokens, and others bytes
