"""The kept prefix and answers side by side: no number depends on what was in the cache, and nothing is left in it."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import numpy as np
import psutil
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
from gpt4roi_runtime.llm.decoder import AnswerToken, DecodedToken, Prefilled, Sampling
from tests.helpers.tiny_rows import never, some_rows

SETTINGS = LlamaCppSettings(n_threads=1, context_length=1024, repack="on", kept_bytes=1 << 20)
GREEDY = Sampling()
N_PREFIX = 40


def goes_on(_: int) -> bool:
    return False


def prompt(image: int, question: int, n: int = 12) -> np.ndarray:
    return np.concatenate([some_rows(N_PREFIX, 1000 + image), some_rows(n, question)])


def load(path: Path, settings: LlamaCppSettings = SETTINGS) -> LlamaCppDecoder:
    return LlamaCppDecoder.load(path, inspect_gguf(path), settings)


@pytest.fixture
def decoder(tiny: Path) -> Iterator[LlamaCppDecoder]:
    loaded = load(tiny)
    yield loaded
    loaded.close()


@pytest.fixture
def cold(tiny: Path) -> Iterator[LlamaCppDecoder]:
    """Another one, whose cache never holds what it is asked for."""
    loaded = load(tiny, replace(SETTINGS, kept_bytes=0))
    yield loaded
    loaded.close()


def logits(decoder: LlamaCppDecoder, rows: np.ndarray, n_prefix: int = N_PREFIX) -> tuple[np.ndarray, Prefilled]:
    filled = decoder.prefill(rows, never, n_prefix)
    return decoder.logits(), filled


def cold_logits(cold: LlamaCppDecoder, rows: np.ndarray, n_prefix: int = N_PREFIX) -> np.ndarray:
    cold.prefill(some_rows(3, 77), never)
    found, filled = logits(cold, rows, n_prefix)
    assert filled == Prefilled(0, len(rows))
    return found


def answer(decoder: LlamaCppDecoder, rows: np.ndarray, sampling: Sampling = GREEDY, n: int = 12) -> list[int]:
    decoder.prefill(rows, never, N_PREFIX)
    return [step.token for step in decoder.decode(sampling, n, never)]


# --- the kept prefix


def test_a_second_question_computes_its_own_rows_only_and_the_same_numbers(
    decoder: LlamaCppDecoder, cold: LlamaCppDecoder
) -> None:
    assert logits(decoder, prompt(1, 1))[1] == Prefilled(0, N_PREFIX + 12)
    assert list(decoder.decode(GREEDY, 20, never))
    for question, n in ((2, 9), (3, 30), (2, 9)):
        rows = prompt(1, question, n)
        warm, filled = logits(decoder, rows)
        assert filled == Prefilled(N_PREFIX, n)
        np.testing.assert_array_equal(warm, cold_logits(cold, rows))


def test_the_same_prompt_again_gives_the_same_answer(decoder: LlamaCppDecoder) -> None:
    hot = Sampling(temperature=2.0, top_k=0, top_p=1.0, seed=5)
    assert answer(decoder, prompt(1, 1), hot) == answer(decoder, prompt(1, 1), hot)


def test_a_prepared_prefix_is_there_for_the_question(decoder: LlamaCppDecoder, cold: LlamaCppDecoder) -> None:
    rows = prompt(1, 1)
    assert decoder.prepare(rows[:N_PREFIX], never) == Prefilled(0, N_PREFIX)
    assert decoder.prepare(rows[:N_PREFIX], never) == Prefilled(N_PREFIX, 0)
    with pytest.raises(EngineError, match="no logits"):
        decoder.logits()
    with pytest.raises(EngineError, match="no prompt"):
        decoder.decode(GREEDY, 1, never)
    warm, filled = logits(decoder, rows)
    assert filled == Prefilled(N_PREFIX, 12)
    np.testing.assert_array_equal(warm, cold_logits(cold, rows))


def test_a_prefix_longer_than_a_call_is_kept_too(tiny: Path) -> None:
    settings = LlamaCppSettings(n_threads=1, context_length=512, batch_size=32, repack="on")
    first, second = load(tiny, settings), load(tiny, settings)
    rows = some_rows(150)
    first.prepare(rows[:100], never)
    warm, filled = logits(first, rows, 100)
    assert filled == Prefilled(100, 50)
    np.testing.assert_array_equal(warm, logits(second, rows, 100)[0])
    first.close()
    second.close()


def test_one_changed_number_is_another_image(decoder: LlamaCppDecoder, cold: LlamaCppDecoder) -> None:
    rows = prompt(1, 1)
    decoder.prepare(rows[:N_PREFIX], never)
    other = rows.copy()
    other[3, 5] = np.nextafter(other[3, 5], np.float32(9))
    warm, filled = logits(decoder, other)
    assert filled.n_kept == 0
    np.testing.assert_array_equal(warm, cold_logits(cold, other))


def test_another_split_of_the_same_rows_is_computed_again(decoder: LlamaCppDecoder, cold: LlamaCppDecoder) -> None:
    rows = prompt(1, 1)
    decoder.prepare(rows[:N_PREFIX], never)
    warm, filled = logits(decoder, rows, N_PREFIX - 1)
    assert filled.n_kept == 0
    np.testing.assert_array_equal(warm, cold_logits(cold, rows, N_PREFIX - 1))


def test_images_in_turn_come_back_from_aside_bit_for_bit(decoder: LlamaCppDecoder, cold: LlamaCppDecoder) -> None:
    for image in (1, 2, 3):
        decoder.prepare(prompt(image, 0)[:N_PREFIX], never)
    for image in (1, 3, 2, 2, 1):
        rows = prompt(image, 10 + image)
        warm, filled = logits(decoder, rows)
        assert filled == Prefilled(N_PREFIX, 12)
        np.testing.assert_array_equal(warm, cold_logits(cold, rows))
        assert list(decoder.decode(GREEDY, 5, never))


def test_the_image_used_longest_ago_goes_when_the_bytes_run_out(tiny: Path) -> None:
    n_bytes = state_bytes(tiny)
    decoder = load(tiny, LlamaCppSettings(n_threads=1, context_length=1024, repack="on", kept_bytes=2 * n_bytes))
    for image in (1, 2, 3, 4):  # 4 in the cache, 2 and 3 aside
        decoder.prepare(prompt(image, 0)[:N_PREFIX], never)
    assert decoder._native.model.cache.aside.n_bytes == 2 * n_bytes
    kept = {image: decoder.prepare(prompt(image, 0)[:N_PREFIX], never).n_kept for image in (4, 2, 3, 1)}
    assert kept == {4: N_PREFIX, 2: N_PREFIX, 3: N_PREFIX, 1: 0}
    decoder.close()


def test_two_images_in_turn_need_room_for_one_aside(tiny: Path) -> None:
    settings = LlamaCppSettings(n_threads=1, context_length=1024, repack="on", kept_bytes=state_bytes(tiny))
    decoder = load(tiny, settings)
    for image in (1, 2):
        decoder.prepare(prompt(image, 0)[:N_PREFIX], never)
    for image in (1, 2, 1, 2):
        assert decoder.prepare(prompt(image, 0)[:N_PREFIX], never).n_kept == N_PREFIX
    decoder.close()


def test_nothing_is_put_aside_without_bytes_for_it(tiny: Path) -> None:
    settings = LlamaCppSettings(n_threads=1, context_length=1024, repack="on", kept_bytes=0)
    decoder = load(tiny, settings)
    for image in (1, 2, 1):
        assert decoder.prepare(prompt(image, 0)[:N_PREFIX], never).n_kept == 0
    assert decoder._native.model.cache.aside.n_bytes == 0
    decoder.close()


def state_bytes(path: Path) -> int:
    """Of a prefix put aside."""
    decoder = load(path)
    for image in (1, 2):
        decoder.prepare(prompt(image, 0)[:N_PREFIX], never)
    n_bytes = decoder._native.model.cache.aside.n_bytes
    decoder.close()
    assert n_bytes > 0
    return n_bytes


def test_a_prefix_that_cannot_be_read_in_again_is_computed(decoder: LlamaCppDecoder, cold: LlamaCppDecoder) -> None:
    for image in (1, 2):
        decoder.prepare(prompt(image, 0)[:N_PREFIX], never)
    (state,) = decoder._native.model.cache.aside._states.values()
    state[:] = 0xFF
    warm, filled = logits(decoder, prompt(1, 1))
    assert filled.n_kept == 0
    np.testing.assert_array_equal(warm, cold_logits(cold, prompt(1, 1)))
    assert logits(decoder, prompt(2, 1))[1].n_kept == N_PREFIX


def test_a_whole_dialogue_of_images_and_cancels_gives_cold_numbers(
    decoder: LlamaCppDecoder, cold: LlamaCppDecoder
) -> None:
    """Whatever happens in between: answers cut short, side by side, cancelled, other images, a bad prompt."""
    dice = np.random.default_rng(7)
    for _ in range(60):
        image, question, kind = int(dice.integers(4)), int(dice.integers(50)), int(dice.integers(6))
        rows = prompt(image, question, int(dice.integers(1, 40)))
        asked, limit = [0], int(dice.integers(1, 80))

        def soon(asked: list[int] = asked, limit: int = limit) -> bool:
            asked[0] += 1
            return asked[0] > limit

        with suppress(Cancelled, NumericError):
            if kind == 0:
                decoder.prefill(rows, soon, N_PREFIX)
                list(decoder.decode(GREEDY, 10, soon))
            elif kind == 1:
                decoder.prefill_each(rows, [some_rows(3, number) for number in range(5)], soon, N_PREFIX)
                list(decoder.decode_each(GREEDY, 10, soon, goes_on))
            elif kind == 2:
                decoder.prepare(rows[:N_PREFIX], soon)
            elif kind == 3:
                decoder.prefill(np.full_like(rows, np.nan), never, N_PREFIX)
            elif kind == 4:
                decoder.prefill(rows, never, N_PREFIX)
                next(decoder.decode(GREEDY, 10, never))
            else:
                np.testing.assert_array_equal(logits(decoder, rows)[0], cold_logits(cold, rows))
        assert set(decoder.sequence_lengths()[1:]) == {0}


def test_a_cancelled_question_leaves_the_prefix(decoder: LlamaCppDecoder, cold: LlamaCppDecoder) -> None:
    rows = prompt(1, 1, 300)
    decoder.prepare(rows[:N_PREFIX], never)
    asked = 0

    def soon() -> bool:
        nonlocal asked
        asked += 1
        return asked > 10

    with pytest.raises(Cancelled):
        decoder.prefill(rows, soon, N_PREFIX)
    assert decoder.sequence_lengths()[0] == N_PREFIX
    warm, filled = logits(decoder, rows)
    assert filled.n_kept == N_PREFIX
    np.testing.assert_array_equal(warm, cold_logits(cold, rows))


def test_a_cancelled_preparation_leaves_nothing_half_done(decoder: LlamaCppDecoder, cold: LlamaCppDecoder) -> None:
    rows = prompt(1, 1)
    asked = 0

    def soon() -> bool:
        nonlocal asked
        asked += 1
        return asked > 10

    with pytest.raises(Cancelled):
        decoder.prepare(rows[:N_PREFIX], soon)
    assert set(decoder.sequence_lengths()) == {0}
    np.testing.assert_array_equal(logits(decoder, rows)[0], cold_logits(cold, rows))


def test_a_prefix_that_is_not_in_the_prompt_is_refused(decoder: LlamaCppDecoder) -> None:
    for n_prefix in (-1, 13):
        with pytest.raises(EngineError, match=f"{n_prefix} rows in a prompt of 12"):
            decoder.prefill(some_rows(12), never, n_prefix)


def test_a_whole_prompt_may_be_prefix(decoder: LlamaCppDecoder) -> None:
    rows = some_rows(12)
    first, _ = logits(decoder, rows, 12)
    np.testing.assert_array_equal(logits(decoder, rows, 12)[0], first)


# --- answers side by side


def side_by_side(
    decoder: LlamaCppDecoder, shared: np.ndarray, tails: list[np.ndarray], n: int = 12, sampling: Sampling = GREEDY
) -> list[list[int]]:
    decoder.prefill_each(shared, tails, never, N_PREFIX)
    answers: list[list[int]] = [[] for _ in tails]
    for step in decoder.decode_each(sampling, n, never, goes_on):
        if step.token is not None:
            answers[step.answer].append(step.token.token)
    return answers


def logits_side_by_side(decoder: LlamaCppDecoder) -> list[np.ndarray]:
    model = decoder._native.model
    assert model._group is not None
    branches = model._group.branches
    return decoder._thread.run(lambda _: [model.context.logits(branch.logits_at).copy() for branch in branches])


@pytest.mark.parametrize("n", [1, 3, 16])
@pytest.mark.parametrize("batch_size", [16, 512])
def test_answers_side_by_side_are_those_given_alone(tiny: Path, n: int, batch_size: int) -> None:
    decoder = load(tiny, LlamaCppSettings(n_threads=1, context_length=1024, batch_size=batch_size, repack="on"))
    shared, tails = prompt(1, 1), [some_rows(3 + number, 50 + number) for number in range(n)]
    together = side_by_side(decoder, shared, tails)
    assert decoder.sequence_lengths() == (len(shared), *[0] * 16)
    alone = [answer(decoder, np.concatenate([shared, tail])) for tail in tails]
    decoder.close()
    assert together == alone


def test_logits_side_by_side_are_those_of_one_prompt_within_a_tolerance(decoder: LlamaCppDecoder) -> None:
    """Kernels depend on the number of rows in a call, so the last bits differ and the rest does not."""
    shared, tails = prompt(1, 1), [some_rows(5, 50 + number) for number in range(4)]
    decoder.prefill_each(shared, tails, never, N_PREFIX)
    rows = logits_side_by_side(decoder)
    for tail, together in zip(tails, rows, strict=True):
        alone, _ = logits(decoder, np.concatenate([shared, tail]))
        np.testing.assert_allclose(together, alone, rtol=0, atol=3e-3)
        assert together.argmax() == alone.argmax()


def test_samplers_are_each_answers_own(decoder: LlamaCppDecoder) -> None:
    hot = Sampling(temperature=2.0, top_k=0, top_p=1.0, seed=5)
    tail = some_rows(4, 9)
    first, second = side_by_side(decoder, prompt(1, 1), [tail, tail], sampling=hot)
    assert first == second == answer(decoder, np.concatenate([prompt(1, 1), tail]), hot)


def test_the_shared_rows_are_kept_for_the_next_group(decoder: LlamaCppDecoder) -> None:
    shared, tails = prompt(1, 1), [some_rows(4, number) for number in range(3)]
    assert decoder.prefill_each(shared, tails, never, N_PREFIX) == Prefilled(0, len(shared) + 12)
    assert decoder.prefill_each(shared, tails, never, N_PREFIX) == Prefilled(len(shared), 12)
    assert decoder.prefill(prompt(1, 2), never, N_PREFIX) == Prefilled(N_PREFIX, 12)


def test_a_question_after_answers_side_by_side_gives_the_numbers_of_a_cold_one(
    decoder: LlamaCppDecoder, cold: LlamaCppDecoder
) -> None:
    side_by_side(decoder, prompt(1, 1), [some_rows(3 + number, number) for number in range(7)])
    np.testing.assert_array_equal(logits(decoder, prompt(1, 2))[0], cold_logits(cold, prompt(1, 2)))


def test_each_answer_ends_with_none_or_when_its_caller_says_so(decoder: LlamaCppDecoder) -> None:
    decoder.prefill_each(prompt(1, 1), [some_rows(4, number) for number in range(3)], never, N_PREFIX)
    over: set[int] = set()
    steps: list[AnswerToken] = []
    for step in decoder.decode_each(Sampling(temperature=3.0, seed=1), 20, never, over.__contains__):
        steps.append(step)
        over |= {1} & {step.answer}
    assert sum(step.answer == 1 for step in steps) == 1
    assert [step.answer for step in steps if step.token is None] in ([0, 2], [2, 0])
    assert decoder.sequence_lengths()[1:] == (0,) * 16


def test_answers_end_when_the_context_is_full(tiny: Path) -> None:
    decoder = load(tiny, LlamaCppSettings(n_threads=1, context_length=256, repack="on"))
    decoder.prefill_each(some_rows(200), [some_rows(20, 1), some_rows(20, 2)], never)
    steps = list(decoder.decode_each(Sampling(temperature=5.0, top_k=0, top_p=1.0), 100, never, goes_on))
    decoder.close()
    counts = [sum(step.answer == number and step.token is not None for step in steps) for number in (0, 1)]
    assert max(counts) <= 9 + 8  # 16 cells are free: 8 each, or more where the other ended early
    assert [step.answer for step in steps if step.token is None] == [0, 1] or min(counts) < 9


def test_sequences_are_removed_whatever_ends_the_answers(decoder: LlamaCppDecoder) -> None:
    shared, tails = prompt(1, 1), [some_rows(4, number) for number in range(4)]
    hot = Sampling(temperature=3.0, top_k=0, top_p=1.0)

    def begun(cancel=never, is_over=goes_on):  # type: ignore[no-untyped-def]
        decoder.prefill_each(shared, tails, never, N_PREFIX)
        assert decoder.sequence_lengths()[1:5] == (len(shared) + 4,) * 4
        steps = decoder.decode_each(hot, 200, cancel, is_over)
        next(steps)
        return steps

    begun().close()
    assert set(decoder.sequence_lengths()[1:]) == {0}
    stop = False
    steps = begun(cancel=lambda: stop)
    stop = True
    with pytest.raises(Cancelled):
        list(steps)
    assert set(decoder.sequence_lengths()[1:]) == {0}

    def broken(_: int) -> bool:
        if stop:
            raise LookupError("mine")
        return False

    stop = False
    steps = begun(is_over=broken)
    stop = True
    with pytest.raises(LookupError, match="mine"):
        list(steps)
    assert set(decoder.sequence_lengths()[1:]) == {0}
    steps = begun()
    decoder.prepare(shared[:N_PREFIX], never)
    assert set(decoder.sequence_lengths()[1:]) == {0}
    with pytest.raises(EngineError, match="newer prompt"):
        list(steps)
    decoder.prefill_each(shared, tails, never, N_PREFIX)
    decoder.decode_each(hot, 5, never, goes_on)  # never asked for a token
    assert answer(decoder, shared)
    assert set(decoder.sequence_lengths()[1:]) == {0}


def test_tails_cancelled_half_way_are_removed(decoder: LlamaCppDecoder) -> None:
    shared, tails = prompt(1, 1), [some_rows(40, number) for number in range(16)]
    decoder.prepare(shared[:N_PREFIX], never)
    decoder.prefill(shared, never, N_PREFIX)
    asked = 0

    def soon() -> bool:
        nonlocal asked
        asked += 1
        return asked > 60

    with pytest.raises(Cancelled):
        decoder.prefill_each(shared, tails, soon, N_PREFIX)
    assert set(decoder.sequence_lengths()[1:]) == {0}
    with pytest.raises(EngineError, match="no prompts"):
        decoder.decode_each(GREEDY, 5, never, goes_on)


def test_what_cannot_be_answered_side_by_side_is_refused(decoder: LlamaCppDecoder) -> None:
    assert decoder.info.max_answers == 16
    shared, tail = prompt(1, 1), some_rows(4)
    for n in (0, 17):
        with pytest.raises(EngineError, match=f"^{n} prompts at once"):
            decoder.prefill_each(shared, [tail] * n, never)
    with pytest.raises(ContextOverflowError, match="1024"):
        decoder.prefill_each(shared, [some_rows(100)] * 10, never)
    with pytest.raises(EngineError, match="shape"):
        decoder.prefill_each(shared, [tail, tail[:0]], never)
    with pytest.raises(NumericError, match="row 1"):
        decoder.prefill_each(shared, [np.where(np.arange(4)[:, None] == 1, np.float32("nan"), tail)], never)
    with pytest.raises(EngineError, match="no prompts"):
        decoder.decode_each(GREEDY, 5, never, goes_on)
    decoder.prefill_each(shared, [tail], never)
    with pytest.raises(SettingsError, match="max_tokens 0"):
        decoder.decode_each(GREEDY, 0, never, goes_on)
    with pytest.raises(EngineError, match="no prompt to go on"):
        decoder.decode(GREEDY, 5, never)


def test_a_closed_decoder_ends_answers_side_by_side(tiny: Path) -> None:
    decoder = load(tiny)
    decoder.prefill_each(prompt(1, 1), [some_rows(4, number) for number in range(4)], never)
    steps = decoder.decode_each(Sampling(temperature=3.0), 100, never, goes_on)
    next(steps)
    decoder.close()
    with pytest.raises(EngineError, match="closed"):
        list(steps)


# --- places that are taken again


def refilled(
    decoder: LlamaCppDecoder, tails: list[np.ndarray], n_places: int, lengths: list[int], shared: np.ndarray
) -> tuple[list[list[int]], list[int]]:
    """Every answer's tokens, cut at its length by the caller; and the order in which they ended."""
    decoder.prefill_each(shared, tails[:n_places], never)
    answers: list[list[int]] = [[] for _ in tails]
    ended: list[int] = []

    def is_over(number: int) -> bool:
        return len(answers[number]) >= lengths[number]

    for step in decoder.decode_each(GREEDY, max(lengths), never, is_over, iter(tails[n_places:])):
        if step.token is not None:
            answers[step.answer].append(step.token.token)
        if step.token is None or is_over(step.answer):
            ended.append(step.answer)
        assert sum(n > 0 for n in decoder.sequence_lengths()[1:]) <= n_places
    return answers, list(dict.fromkeys(ended))


@pytest.mark.parametrize(("n_places", "batch_size"), [(1, 512), (3, 16), (3, 512), (16, 32)])
def test_answers_in_places_of_others_are_those_given_alone(tiny: Path, n_places: int, batch_size: int) -> None:
    decoder = load(tiny, LlamaCppSettings(n_threads=1, context_length=2048, batch_size=batch_size, repack="on"))
    shared, tails = prompt(1, 1), [some_rows(3 + number % 7, 50 + number) for number in range(20)]
    lengths = [1 + number * 7 % 19 for number in range(len(tails))]
    together, ended = refilled(decoder, tails, n_places, lengths, shared)
    assert decoder.sequence_lengths() == (len(shared), *[0] * 16)
    assert sorted(ended) == list(range(len(tails)))
    if n_places == 1:
        assert ended == sorted(ended)
    again, same_order = refilled(decoder, tails, n_places, lengths, shared)
    assert (again, same_order) == (together, ended)
    alone = [answer(decoder, np.concatenate([shared, tail]), n=n) for tail, n in zip(tails, lengths, strict=True)]
    decoder.close()
    assert together == alone


def test_a_place_is_taken_in_the_step_after_its_answer_ended(decoder: LlamaCppDecoder) -> None:
    """Answers of 2, 9 and 9 tokens, one after the other, take as many steps as the longest two."""
    tails = [some_rows(4, number) for number in range(3)]
    decoder.prefill_each(prompt(1, 1), tails[:2], never, N_PREFIX)
    seen: list[int] = []

    def is_over(number: int) -> bool:
        return number == 0 and seen.count(0) == 2

    for step in decoder.decode_each(GREEDY, 9, never, is_over, iter(tails[2:])):
        seen += [step.answer]
    first = seen.index(2)
    assert seen[:first].count(0) == 2
    assert seen[:first].count(1) <= 4  # two with the first answer, and one while its end was heard of


def test_nobody_takes_rows_that_another_answer_may_need(tiny: Path) -> None:
    """Room for two answers of 30 tokens, not for three."""
    decoder = load(tiny, LlamaCppSettings(n_threads=1, context_length=256, repack="on"))
    shared, tails = some_rows(150), [some_rows(4 + 8 * (number % 2), number) for number in range(8)]
    decoder.prefill_each(shared, tails[:3], never)
    counts = [0] * len(tails)
    hot = Sampling(temperature=4.0, top_k=0, top_p=1.0, seed=3)
    ended = []
    for step in decoder.decode_each(hot, 30, never, goes_on, iter(tails[3:])):
        if step.token is None:
            ended.append(step.answer)
        else:
            counts[step.answer] += 1
        lengths = decoder.sequence_lengths()
        assert sum(n - len(shared) for n in lengths[1:] if n) + len(shared) <= 256
    assert sorted(ended) == list(range(len(tails)))
    alone = []
    for tail in tails:
        decoder.prefill(np.concatenate([shared, tail]), never)
        alone.append(len(list(decoder.decode(hot, 30, never))))
    decoder.close()
    assert counts[3:] == alone[3:]


def test_whatever_goes_wrong_with_one_who_waits_leaves_nothing_behind(decoder: LlamaCppDecoder) -> None:
    shared, tail = prompt(1, 1), some_rows(4, 9)

    def refuse() -> Iterator[np.ndarray]:
        yield tail
        raise LookupError("mine")

    broken = np.where(np.arange(4)[:, None] == 1, np.float32("nan"), tail)
    for waiting, error, words in (
        (refuse(), LookupError, "mine"),
        (iter([tail, broken]), NumericError, "row 1"),
        (iter([tail, tail[:, :3]]), EngineError, "shape"),
        (iter([tail, some_rows(1000)]), ContextOverflowError, "1052 rows"),
    ):
        decoder.prefill_each(shared, [tail], never, N_PREFIX)
        seen: list[int] = []
        with pytest.raises(error, match=words):
            seen += [step.answer for step in decoder.decode_each(GREEDY, 3, never, goes_on, waiting)]
        assert decoder.sequence_lengths() == (len(shared), *[0] * 16)
        assert answer(decoder, np.concatenate([shared, tail]))


def test_the_prompt_of_one_who_waits_can_be_cancelled_half_way(decoder: LlamaCppDecoder) -> None:
    """Between two operations of its computation, not only between two tokens."""
    shared, tail = prompt(1, 1), some_rows(4, 9)
    asked = 0
    most: int | None = None

    def cancel() -> bool:
        nonlocal asked
        asked += 1
        return most is not None and asked > most

    def waiting() -> Iterator[np.ndarray]:
        nonlocal most
        most = asked + 20
        yield some_rows(300)

    decoder.prefill_each(shared, [tail], never, N_PREFIX)
    with pytest.raises(Cancelled):
        list(decoder.decode_each(GREEDY, 2, cancel, goes_on, waiting()))
    assert most is not None
    assert asked <= most + 1
    assert decoder.sequence_lengths() == (len(shared), *[0] * 16)
    assert answer(decoder, np.concatenate([shared, tail]))


@pytest.mark.parametrize("kept_bytes", [-1, (1 << 40) + 1])
def test_a_budget_out_of_range_is_refused(kept_bytes: int) -> None:
    with pytest.raises(SettingsError, match=f"kept_bytes {kept_bytes}"):
        LlamaCppSettings(kept_bytes=kept_bytes)


# --- the embedded model


@pytest.mark.bundle
def test_a_kept_and_a_brought_back_prefix_change_no_bit_on_the_embedded_model(smollm2_gguf: Path) -> None:
    settings = LlamaCppSettings(n_threads=1, context_length=1024, repack="on")
    decoder = load(smollm2_gguf, settings)
    words = [
        decoder.tokenize(text * 6) for text in ("A cup on a table. ", "Two dogs in a park. ", "What is it? ", "Why? ")
    ]
    rows = [decoder.embed(tokens) for tokens in words]
    expected = {}
    for image in (0, 1):
        for question in (2, 3):
            decoder.prefill(rows[2], never)
            both = np.concatenate([rows[image], rows[question]])
            expected[image, question], filled = logits(decoder, both, len(rows[image]))
            if question == 2 and image == 0:
                assert filled.n_kept == 0
    fresh = load(smollm2_gguf, settings)
    for image, question in ((0, 2), (1, 2), (0, 3), (1, 3)):
        both = np.concatenate([rows[image], rows[question]])
        found, filled = logits(fresh, both, len(rows[image]))
        assert filled.n_kept == (len(rows[image]) if question == 3 else 0)
        np.testing.assert_array_equal(found, expected[image, question])
    decoder.close()
    fresh.close()


@pytest.mark.bundle
def test_answers_of_the_embedded_model_in_places_of_others_are_those_given_alone(smollm2_gguf: Path) -> None:
    """Answers of 1 to 19 tokens, 4 at a time, up to the first that another nearly was: a tie is decided by rounding,
    which differs side by side.
    """
    decoder = load(smollm2_gguf, LlamaCppSettings(n_threads=1, context_length=1024, repack="on"))
    shared = decoder.embed(decoder.tokenize("a b c d e f g h i j k l m n o p q r s t u v w x y z " * 2))
    words = ["red", "blue", "cup", "dog", "seven", "Paris", "water", "the", "a", "green", "old", "chair"]
    tails = [decoder.embed(decoder.tokenize(f"{word} " * 3 + word)) for word in words]
    lengths = [1 + number * 7 % 19 for number in range(len(tails))]
    together, _ = refilled(decoder, tails, 4, lengths, shared)
    found = decoder.sequence_lengths()
    alone = []
    for tail, n in zip(tails, lengths, strict=True):
        decoder.prefill(np.concatenate([shared, tail]), never)
        alone.append(list(decoder.decode(GREEDY, n, never, n_top=2)))
    decoder.close()
    assert found == (len(shared), *[0] * 16)
    n_sure = [len(list(takewhile(is_sure, steps))) for steps in alone]
    assert sum(n_sure) > sum(lengths) / 4
    for answer, steps, n in zip(together, alone, n_sure, strict=True):
        end = n if n < len(steps) else None  # a sure answer also ends where the other does
        assert answer[:end] == [step.token for step in steps[:end]]


def is_sure(step: DecodedToken) -> bool:
    """Whether the second likeliest token was at most nine tenths as likely."""
    assert step.score is not None
    first, second = step.score.top
    return first.log_probability - second.log_probability > 0.1


@pytest.mark.bundle
def test_a_closed_model_gives_its_memory_back(smollm2_gguf: Path) -> None:
    here = psutil.Process()
    load(smollm2_gguf).close()  # libraries and the self-test come once
    before = here.memory_info().rss
    decoder = load(smollm2_gguf)
    decoder.prefill_each(some_embeddings(decoder, 40), [some_embeddings(decoder, 4)] * 4, never)
    list(decoder.decode_each(GREEDY, 3, never, goes_on))
    during = here.memory_info().rss
    decoder.close()
    assert during - before > 80 << 20
    assert here.memory_info().rss - before < 16 << 20


def some_embeddings(decoder: LlamaCppDecoder, n: int) -> np.ndarray:
    return decoder.embed(range(500, 500 + n))
