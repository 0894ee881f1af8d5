"""A prefix written out and read in by another decoder: every number after it is the one of a computed prefix."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gpt4roi_runtime.backends import llama_cpp_states
from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.errors import ContextOverflowError, EngineError, NumericError
from gpt4roi_runtime.llm.decoder import Prefilled, Sampling, WritesPrefixes
from tests.helpers.tiny_gguf import WIDTH
from tests.helpers.tiny_rows import never, some_rows

SETTINGS = LlamaCppSettings(n_threads=1, context_length=512, repack="on", kept_bytes=1 << 20)
N_PREFIX = 40


def load(path: Path, settings: LlamaCppSettings = SETTINGS) -> LlamaCppDecoder:
    return LlamaCppDecoder.load(path, inspect_gguf(path), settings)


def written(decoder: LlamaCppDecoder, prefix: np.ndarray) -> np.ndarray:
    decoder.prepare(prefix, never)
    state = decoder.write_prefix(prefix)
    assert state is not None
    return state


def after(decoder: LlamaCppDecoder, prefix: np.ndarray, n: int = 12) -> tuple[np.ndarray, list[int], Prefilled]:
    """Logits behind a prefix and a question, the greedy answer, and what had to be computed."""
    filled = decoder.prefill(np.concatenate([prefix, some_rows(n, 99)]), never, len(prefix))
    logits = decoder.logits()
    return logits, [step.token for step in decoder.decode(Sampling(), 20, never)], filled


@pytest.mark.parametrize("n_rows", [1, N_PREFIX, 300])
@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        replace(SETTINGS, batch_size=32),
        replace(SETTINGS, flash_attention="on"),
        replace(SETTINGS, repack="off", kept_bytes=0),
    ],
    ids=["plain", "pieces", "flash", "no_repack"],
)
def test_another_decoder_goes_on_from_a_state_bit_for_bit(tiny: Path, settings: LlamaCppSettings, n_rows: int) -> None:
    prefix = some_rows(n_rows)
    first = load(tiny, settings)
    assert isinstance(first, WritesPrefixes)
    state = written(first, prefix)
    expected, answer, filled = after(first, prefix)
    assert filled == Prefilled(n_rows, 12)
    first.close()
    second, cold = load(tiny, settings), load(tiny, settings)
    assert not second.prefix_facts(prefix).is_there
    assert state.nbytes <= second.prefix_facts(prefix).most_bytes
    assert second.read_prefix(prefix, state)
    assert second.prefix_facts(prefix).is_there
    for decoder, n_kept in ((second, n_rows), (cold, 0)):
        logits, tokens, filled = after(decoder, prefix)
        assert filled == Prefilled(n_kept, n_rows + 12 - n_kept)
        np.testing.assert_array_equal(logits, expected)
        assert tokens == answer
        decoder.close()


def test_a_state_is_the_same_whoever_writes_it(tiny: Path) -> None:
    """From the cache, behind a question, from aside, or read in before."""
    prefix, other = some_rows(N_PREFIX), some_rows(N_PREFIX, 1)
    decoder, busier = load(tiny), load(tiny)
    state = written(decoder, prefix)
    after(decoder, prefix)
    np.testing.assert_array_equal(decoder.write_prefix(prefix), state)
    decoder.prepare(other, never)
    assert decoder.prefix_facts(prefix).is_there  # aside
    np.testing.assert_array_equal(decoder.write_prefix(prefix), state)
    assert decoder.prefix_facts(other).is_there
    busier.prepare(other, never)
    assert busier.read_prefix(prefix, state)
    np.testing.assert_array_equal(busier.write_prefix(prefix), state)
    decoder.close()
    busier.close()


@pytest.mark.parametrize("flash", ["off", "on"])
@pytest.mark.parametrize(("n_rows", "batch_size"), [(577, 64), (578, 64)])
def test_states_of_one_key_are_equal_whatever_the_threads(tiny: Path, flash: str, n_rows: int, batch_size: int) -> None:
    """577 rows end in a call of one, whose fused attention depends on the threads: only there, keys differ."""
    how = replace(SETTINGS, context_length=1024, batch_size=batch_size, flash_attention=flash)  # type: ignore[arg-type]
    prefix, found = some_rows(n_rows), {}
    for n_threads in (1, 2):
        decoder = load(tiny, replace(how, n_threads=n_threads))
        found[n_threads] = (decoder.prefix_facts(prefix).key, written(decoder, prefix))
        decoder.close()
    if flash == "on" and n_rows == 577:
        assert found[1][0] != found[2][0]
    else:
        assert found[1][0] == found[2][0]
        np.testing.assert_array_equal(found[1][1], found[2][1])


def test_what_was_in_the_cache_goes_aside_for_a_prefix_that_is_read_in(tiny: Path) -> None:
    prefix, other = some_rows(N_PREFIX), some_rows(N_PREFIX, 1)
    decoder, cold = load(tiny), load(tiny)
    state = written(decoder, prefix)
    decoder.prefill(some_rows(3, 5), never)
    decoder.prepare(other, never)
    assert decoder.read_prefix(prefix, state)
    assert decoder.prefix_facts(other).is_there
    assert decoder.prepare(other, never) == Prefilled(N_PREFIX, 0)
    np.testing.assert_array_equal(after(decoder, other)[0], after(cold, other)[0])
    decoder.close()
    cold.close()


def test_answers_side_by_side_follow_a_prefix_that_was_read_in(tiny: Path) -> None:
    prefix, tails = some_rows(N_PREFIX), [some_rows(3 + number, number) for number in range(4)]
    answers = []
    for reads in (False, True):
        decoder = load(tiny)
        state = written(decoder, prefix)
        if reads:
            decoder.close()
            decoder = load(tiny)
            assert decoder.read_prefix(prefix, state)
        decoder.prefill_each(prefix, tails, never, len(prefix))
        answers.append(list(decoder.decode_each(Sampling(), 10, never, lambda _: False)))
        np.testing.assert_array_equal(decoder.write_prefix(prefix), state)
        assert set(decoder.sequence_lengths()[1:]) == {0}
        decoder.close()
    assert answers[0] == answers[1]


def test_a_prefix_that_is_nowhere_is_not_written(tiny: Path) -> None:
    decoder = load(tiny, replace(SETTINGS, kept_bytes=0))
    prefix = some_rows(N_PREFIX)
    assert decoder.write_prefix(prefix) is None
    decoder.prepare(prefix, never)
    assert decoder.write_prefix(some_rows(N_PREFIX, 1)) is None
    assert decoder.write_prefix(some_rows(N_PREFIX)[:-1]) is None
    assert decoder.write_prefix(prefix) is not None
    decoder.close()


@pytest.mark.parametrize("damage", ["ones", "shorter", "longer", "empty", "fewer_rows", "other_sizes"])
def test_a_state_that_is_not_the_prefixs_leaves_an_empty_cache(tiny: Path, damage: str) -> None:
    decoder, cold = load(tiny), load(tiny)
    prefix = some_rows(N_PREFIX)
    state = written(decoder, prefix)
    match damage:
        case "ones":
            state = np.full_like(state, 0xFF)
        case "shorter":
            state = state[:-1]
        case "longer":
            state = np.append(state, np.uint8(0))
        case "empty":
            state = state[:0]
        case "fewer_rows":
            state = written(cold, prefix[:-1])
        case "other_sizes":
            flash = load(tiny, replace(SETTINGS, flash_attention="on"))
            state = written(flash, prefix)
            flash.close()
    decoder.prefill(some_rows(3, 5), never)
    assert not decoder.read_prefix(prefix, state)
    assert set(decoder.sequence_lengths()) == {0}
    cold.prefill(some_rows(3, 5), never)
    np.testing.assert_array_equal(after(decoder, some_rows(30, 3))[0], after(cold, some_rows(30, 3))[0])
    assert decoder.write_prefix(some_rows(30, 3)) is not None
    decoder.close()
    cold.close()


def test_reading_a_prefix_ends_what_is_being_answered(tiny: Path) -> None:
    decoder = load(tiny)
    prefix = some_rows(N_PREFIX)
    state = written(decoder, prefix)
    decoder.prefill(np.concatenate([prefix, some_rows(9, 3)]), never, N_PREFIX)
    steps = decoder.decode(Sampling(), 100, never)
    next(steps)
    assert decoder.read_prefix(prefix, state)
    with pytest.raises(EngineError, match="newer prompt"):
        list(steps)
    with pytest.raises(EngineError, match="no logits"):
        decoder.logits()
    decoder.close()


def test_rows_are_checked_before_native_code_sees_them(tiny: Path) -> None:
    decoder = load(tiny)
    state = written(decoder, some_rows(3))
    for rows, error in (
        (some_rows(3).astype(np.float64), EngineError),
        (some_rows(3)[:, :-1], EngineError),
        (some_rows(0), EngineError),
        (np.full((3, WIDTH), np.nan, dtype=np.float32), NumericError),
    ):
        for call in (decoder.prefix_facts, decoder.write_prefix, lambda rows: decoder.read_prefix(rows, state)):
            with pytest.raises(error):
                call(rows)
    with pytest.raises(ContextOverflowError, match="512"):
        decoder.read_prefix(some_rows(512), state)
    decoder.close()
    with pytest.raises(EngineError, match="closed"):
        decoder.prefix_facts(some_rows(3))


# --- keys


def key(path: Path, rows: np.ndarray, settings: LlamaCppSettings = SETTINGS) -> str:
    decoder = load(path, settings)
    found = decoder.prefix_facts(rows).key
    decoder.close()
    return found


def test_a_key_tells_rows_and_all_settings_apart_that_decide_a_bit(tiny: Path) -> None:
    rows = some_rows(N_PREFIX)
    other = rows.copy()
    other[7, 7] = np.nextafter(other[7, 7], np.float32(9))
    decides = [
        replace(SETTINGS, batch_size=16),
        replace(SETTINGS, batch_size=256),
        replace(SETTINGS, flash_attention="on"),
        replace(SETTINGS, repack="off"),
        replace(SETTINGS, context_length=1024),
    ]
    keys = [key(tiny, rows), key(tiny, other), key(tiny, rows[:-1]), *(key(tiny, rows, how) for how in decides)]
    assert len(set(keys)) == len(keys)
    assert all(len(one) == 64 for one in keys)
    same = [replace(SETTINGS, n_threads=2), replace(SETTINGS, n_threads=None), replace(SETTINGS, kept_bytes=0)]
    assert {key(tiny, rows, how) for how in same} == {keys[0]}


@pytest.mark.parametrize("what", ["PINNED_VERSION", "library_identity"])
def test_a_key_tells_builds_apart(tiny: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    before = key(tiny, some_rows(3))
    monkeypatch.setattr(llama_cpp_states, what, "9.9" if what == "PINNED_VERSION" else lambda: "another build")
    assert key(tiny, some_rows(3)) != before


# --- another process

CHILD = """
import sys
from pathlib import Path
import numpy as np
from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
gguf, folder = map(Path, sys.argv[1:])
settings = LlamaCppSettings(n_threads=1, context_length=512, repack="on", kept_bytes=1 << 20)
decoder = LlamaCppDecoder.load(gguf, inspect_gguf(gguf), settings)
prefix, rows, state = (np.load(folder / f"{name}.npy") for name in ("prefix", "rows", "state"))
assert decoder.read_prefix(prefix, state)
assert decoder.prefill(rows, lambda: False, len(prefix)).n_kept == len(prefix)
np.save(folder / "logits.npy", decoder.logits())
print(decoder.prefix_facts(prefix).key)
"""


def test_another_process_goes_on_from_a_state_bit_for_bit(tiny: Path, tmp_path: Path) -> None:
    decoder = load(tiny)
    prefix = some_rows(N_PREFIX)
    rows = np.concatenate([prefix, some_rows(12, 99)])
    for name, array in (("prefix", prefix), ("rows", rows), ("state", written(decoder, prefix))):
        np.save(tmp_path / f"{name}.npy", array)
    ended = subprocess.run(
        [sys.executable, "-c", CHILD, str(tiny), str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == decoder.prefix_facts(prefix).key
    np.testing.assert_array_equal(np.load(tmp_path / "logits.npy"), after(decoder, prefix)[0])
    decoder.close()
