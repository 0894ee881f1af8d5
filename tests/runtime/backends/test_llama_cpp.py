"""The llama.cpp decoder on a tiny random model: what it promises, and what must never reach native code."""

import _thread
import ctypes
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from gpt4roi_runtime.backends import llama_cpp_context, llama_cpp_cores, llama_cpp_settings
from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.backends.llama_cpp_library import LogTail, load_library
from gpt4roi_runtime.backends.llama_cpp_settings import CacheType, LlamaCppSettings
from gpt4roi_runtime.backends.llama_cpp_threads import NativeThreads
from gpt4roi_runtime.errors import (
    BundleError,
    Cancelled,
    ContextOverflowError,
    EngineError,
    NumericError,
    QuestionError,
    SettingsError,
)
from gpt4roi_runtime.llm.decoder import Decoder, Sampling
from tests.helpers.child import run_child
from tests.helpers.tiny_gguf import CONTEXT_LENGTH, WIDTH, truncated, vocabulary, write_tiny_gguf
from tests.helpers.tiny_rows import never, some_rows

SETTINGS = LlamaCppSettings(n_threads=1, context_length=1024, repack="on")
GREEDY = Sampling()


def load(path: Path, settings: LlamaCppSettings = SETTINGS) -> LlamaCppDecoder:
    return LlamaCppDecoder.load(path, inspect_gguf(path), settings)


@pytest.fixture
def decoder(tiny: Path) -> Iterator[LlamaCppDecoder]:
    loaded = load(tiny)
    yield loaded
    loaded.close()


def answer(decoder: LlamaCppDecoder, rows: np.ndarray, sampling: Sampling = GREEDY, n: int = 12) -> list[int]:
    decoder.prefill(rows, never)
    return [step.token for step in decoder.decode(sampling, n, never)]


def logits_by_tokens(path: Path, tokens: list[int], context_length: int, n_threads: int) -> np.ndarray:
    """What llama.cpp computes when it looks the tokens up itself, in one batch."""
    api = load_library().api
    params = api.llama_model_default_params()
    params.load_mode, params.n_gpu_layers = api.LLAMA_LOAD_MODE_NONE, 0
    model = api.llama_model_load_from_file(os.fsencode(path), params)
    params = api.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch = context_length, 512, 512
    params.n_threads = params.n_threads_batch = n_threads
    params.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_DISABLED
    context = api.llama_init_from_model(model, params)
    array = (api.llama_token * len(tokens))(*tokens)
    assert api.llama_decode(context, api.llama_batch_get_one(array, len(tokens))) == 0
    n_vocabulary = api.llama_vocab_n_tokens(api.llama_model_get_vocab(model))
    pointer = api.llama_get_logits_ith(context, -1)
    logits = np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), (n_vocabulary,)).copy()
    api.llama_free(context)
    api.llama_model_free(model)
    return logits


# --- what it promises


def test_it_keeps_the_decoder_promise(decoder: LlamaCppDecoder) -> None:
    assert isinstance(decoder, Decoder)
    info = decoder.info
    assert (info.embedding_length, info.vocabulary_size, info.n_threads) == (WIDTH, len(vocabulary()), 1)
    assert (info.context_length, info.batch_size, info.notes) == (1024, 512, ())
    assert "llama-cpp-python" in info.engine


def test_sizes_are_read_back(tiny: Path) -> None:
    decoder = load(tiny, LlamaCppSettings(n_threads=1, context_length=300, repack="on"))
    assert decoder.info.context_length == 512
    assert decoder.info.batch_size <= 300
    decoder.prefill(some_rows(511), never)
    decoder.close()


@pytest.mark.parametrize("n", [1, 2, 40, 300])
def test_rows_give_the_logits_of_tokens_bit_for_bit(tiny: Path, decoder: LlamaCppDecoder, n: int) -> None:
    tokens = [int(token) for token in np.random.default_rng(n).integers(3, len(vocabulary()), n)]
    decoder.prefill(decoder.embed(tokens), never)
    np.testing.assert_array_equal(decoder.logits(), logits_by_tokens(tiny, tokens, 1024, 1))


@pytest.mark.bundle
def test_rows_give_the_logits_of_tokens_on_the_embedded_model(smollm2_gguf: Path) -> None:
    settings = LlamaCppSettings(n_threads=2, context_length=1024, flash_attention="off", repack="on")
    decoder = load(smollm2_gguf, settings)
    tokens = list(decoder.tokenize("The quick brown fox jumps over the lazy dog, as foxes do. " * 20))[:250]
    decoder.prefill(decoder.embed(tokens), never)
    ours = decoder.logits()
    decoder.close()
    np.testing.assert_array_equal(ours, logits_by_tokens(smollm2_gguf, tokens, 1024, 2))


def test_greedy_answers_repeat_and_depend_on_the_prompt(decoder: LlamaCppDecoder) -> None:
    first = answer(decoder, some_rows(20))
    assert first == answer(decoder, some_rows(20))
    assert first != answer(decoder, some_rows(20, seed=9))


def test_a_greedy_token_is_the_likeliest(decoder: LlamaCppDecoder) -> None:
    decoder.prefill(some_rows(20), never)
    likeliest = int(decoder.logits().argmax())
    assert next(decoder.decode(GREEDY, 1, never)).token == likeliest


def test_a_seed_decides_a_sampled_answer(decoder: LlamaCppDecoder) -> None:
    first, again, other = (
        answer(decoder, some_rows(20), Sampling(temperature=2.0, top_k=0, top_p=1.0, seed=seed)) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_bytes_of_tokens_are_those_of_the_vocabulary(decoder: LlamaCppDecoder) -> None:
    decoder.prefill(some_rows(20), never)
    for step in decoder.decode(Sampling(temperature=5.0, top_k=0, top_p=1.0, seed=3), 60, never):
        text = vocabulary()[step.token][0]
        if text.startswith("<0x"):
            assert step.text_bytes == bytes([int(text[3:5], 16)])
        elif text.startswith("<") and text != "<bbox>":
            assert step.text_bytes == b""
        else:
            assert step.text_bytes == text.replace("▁", " ").encode()


def test_an_answer_ends_when_the_context_is_full(tiny: Path) -> None:
    decoder = load(tiny, LlamaCppSettings(n_threads=1, context_length=256, repack="on"))
    assert decoder.info.context_length == 256
    counts = [len(answer(decoder, some_rows(250, seed), n=100)) for seed in range(5)]
    assert max(counts) == 7  # six more are fed at 250..255, and the first needs no room
    decoder.close()


def test_text_becomes_tokens_and_special_words_do_not(decoder: LlamaCppDecoder) -> None:
    texts = [vocabulary()[token][0] for token in decoder.tokenize("the red")]
    assert "".join(texts).replace("▁", " ").strip() == "the red"
    assert decoder.special_token("<|im_end|>") not in decoder.tokenize("a <|im_end|> b")
    assert decoder.tokenize("") == ()
    assert decoder.tokenize("a\0b 字 🙂")


def test_a_special_token_is_found_by_its_exact_text(decoder: LlamaCppDecoder) -> None:
    for text in ("<s>", "<|im_start|>", "<bbox>", "<unk>"):
        assert vocabulary()[decoder.special_token(text)][0] == text
    for text in ("<|im_start|", "the", "<none>", "<s><s>", ""):
        with pytest.raises(EngineError, match="no special token"):
            decoder.special_token(text)


def test_a_word_that_the_vocabulary_makes_special_is_refused(decoder: LlamaCppDecoder) -> None:
    with pytest.raises(QuestionError, match="'<bbox>'"):
        decoder.tokenize("the <bbox> is red")


def test_text_that_is_no_text_is_refused(decoder: LlamaCppDecoder) -> None:
    with pytest.raises(QuestionError, match="not a character"):
        decoder.tokenize("a\udcffb")
    with pytest.raises(QuestionError, match="bytes long"):
        decoder.tokenize("a" * (1 << 20) + "b")


def test_the_number_of_threads_does_not_change_the_numbers(tiny: Path) -> None:
    logits = []
    for n_threads in (1, 2):
        decoder = load(tiny, LlamaCppSettings(n_threads=n_threads, context_length=256, repack="on"))
        decoder.prefill(some_rows(40), never)
        logits.append(decoder.logits())
        decoder.close()
    np.testing.assert_array_equal(*logits)


def thread_ids() -> set[int]:
    return {thread.id for thread in psutil.Process().threads()}


def test_native_threads_stay_from_token_to_token_and_end_with_the_decoder(tiny: Path) -> None:
    before = thread_ids()
    decoder = load(tiny, replace(SETTINGS, n_threads=3))
    decoder.prefill(some_rows(20), never)
    seen = [thread_ids() - before for _ in decoder.decode(Sampling(temperature=5.0), 5, never)]
    decoder.close()
    assert len(seen) > 1
    assert all(ids == seen[0] for ids in seen)
    assert len(seen[0]) == 3  # the decoder's own, and two beside it
    wait_until(lambda: not thread_ids() & seen[0])


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_without_the_functions_for_it_every_call_makes_its_threads(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = load(tiny, replace(SETTINGS, n_threads=2))
    words = answer(kept, some_rows(20))
    kept.close()
    api = load_library().api
    only = {name: getattr(api, name) for name in dir(api) if not name.startswith("__")} | {"_lib": object()}
    made = NativeThreads(SimpleNamespace(**only), None, 2)
    made.free()
    monkeypatch.setattr(llama_cpp_context, "NativeThreads", lambda *_: made)
    without = load(tiny, replace(SETTINGS, n_threads=2))
    assert answer(without, some_rows(20)) == words
    without.close()


def test_threads_give_way_to_other_processes(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    api = load_library().api
    really = api.llama_set_n_threads
    monkeypatch.setattr(api, "llama_set_n_threads", lambda *args: (asked.append(args[1]), really(*args)))
    monkeypatch.setattr(llama_cpp_cores.FreeCores, "threads", lambda self: 1)
    monkeypatch.setattr(llama_cpp_settings, "usable_cores", lambda: 2)
    decoder = load(tiny, LlamaCppSettings(context_length=256, repack="on"))
    assert decoder.info.n_threads == 2
    assert answer(decoder, some_rows(20))
    decoder.close()
    assert asked == [1]


# --- cancel


def test_cancel_inside_a_prefill(decoder: LlamaCppDecoder) -> None:
    expected = answer(decoder, some_rows(30))
    asked = 0

    def soon() -> bool:
        nonlocal asked
        asked += 1
        return asked > 20

    with pytest.raises(Cancelled):
        decoder.prefill(some_rows(900), soon)
    assert asked == 21
    with pytest.raises(EngineError, match="no prompt"):
        decoder.decode(GREEDY, 1, never)
    with pytest.raises(EngineError, match="no logits"):
        decoder.logits()
    assert answer(decoder, some_rows(30)) == expected


def test_cancel_before_a_prefill(decoder: LlamaCppDecoder) -> None:
    with pytest.raises(Cancelled):
        decoder.prefill(some_rows(10), lambda: True)


def test_cancel_between_tokens(decoder: LlamaCppDecoder) -> None:
    decoder.prefill(some_rows(20), never)
    stop = False
    steps = decoder.decode(Sampling(temperature=3.0), 500, lambda: stop)
    next(steps)
    stop = True
    with pytest.raises(Cancelled):
        list(steps)
    assert answer(decoder, some_rows(20))


def test_an_error_of_the_caller_s_cancel_comes_back(decoder: LlamaCppDecoder) -> None:
    def broken() -> bool:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        decoder.prefill(some_rows(20), broken)


def test_ctrl_c_while_waiting_ends_the_prefill(decoder: LlamaCppDecoder) -> None:
    asked = 0
    interrupted = threading.Event()

    def slow() -> bool:
        nonlocal asked
        asked += 1
        if asked == 3:
            _thread.interrupt_main()
            assert interrupted.wait(30)
        return False

    with pytest.raises(KeyboardInterrupt):
        decoder.prefill(some_rows(900), slow)
    interrupted.set()
    decoder.tokenize("a")  # waits for the abandoned work
    assert asked == 3
    assert answer(decoder, some_rows(20))


def test_a_closed_generator_ends_the_answer(decoder: LlamaCppDecoder) -> None:
    expected = answer(decoder, some_rows(20))
    decoder.prefill(some_rows(20), never)
    steps = decoder.decode(GREEDY, 500, never)
    assert next(steps).token == expected[0]
    steps.close()
    assert answer(decoder, some_rows(20)) == expected


def test_a_newer_prompt_ends_an_older_answer(decoder: LlamaCppDecoder) -> None:
    decoder.prefill(some_rows(20), never)
    steps = decoder.decode(Sampling(temperature=3.0, seed=1), 500, never)
    next(steps)
    decoder.prefill(some_rows(20), never)
    with pytest.raises(EngineError, match="newer prompt"):
        list(steps)


# --- threads and lifetime


def test_two_threads_are_served_one_after_another(decoder: LlamaCppDecoder) -> None:
    expected = decoder.embed([5, 6])
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for _ in range(10):
                decoder.prefill(some_rows(200, seed), never)
                np.testing.assert_array_equal(decoder.embed([5, 6]), expected)
        except BaseException as error:  # noqa: BLE001 - reported by the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_nothing_works_after_close(tiny: Path) -> None:
    decoder = load(tiny)
    decoder.prefill(some_rows(5), never)
    steps = decoder.decode(Sampling(temperature=3.0), 100, never)
    next(steps)
    decoder.close()
    decoder.close()
    for call in (
        lambda: decoder.tokenize("a"),
        lambda: decoder.special_token("<s>"),
        lambda: decoder.embed([1]),
        lambda: decoder.prefill(some_rows(5), never),
        lambda: decoder.decode(GREEDY, 1, never),
        lambda: decoder.logits(),
        lambda: list(steps),
    ):
        with pytest.raises(EngineError, match="closed"):
            call()


def test_a_forgotten_decoder_ends_its_thread(tiny: Path) -> None:
    before = threading.active_count()
    decoder = load(tiny)
    assert threading.active_count() == before + 1
    del decoder
    assert threading.active_count() == before


EXIT = """
from pathlib import Path
import contextlib, numpy, threading, time
from gpt4roi_runtime.errors import Cancelled
from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.llm.decoder import Sampling
import llama_cpp.llama_cpp  # so that the import is not what is interrupted
path = Path(sys.argv[1])
settings = LlamaCppSettings(n_threads=2, context_length=1024, repack="on")
decoder = LlamaCppDecoder.load(path, inspect_gguf(path), settings)
rows = numpy.ones((900, decoder.info.embedding_length), dtype=numpy.float32)
began = threading.Event()
def slow():
    began.set()
    time.sleep(0.05)
def prefill_slowly():
    with contextlib.suppress(Cancelled): decoder.prefill(rows, slow)
"""


@pytest.mark.parametrize(
    "last_words",
    [
        "pass",
        "decoder.prefill(rows, lambda: False)",
        "decoder.prefill(rows, lambda: False); steps = decoder.decode(Sampling(), 100, lambda: False); next(steps)",
        "keep = [decoder]; keep.append(keep)",
        "threading.Thread(target=prefill_slowly, daemon=True).start(); began.wait()",
    ],
    ids=["idle", "prefilled", "answering", "cycle", "busy"],
)
def test_the_interpreter_ends_well_without_close(tiny: Path, last_words: str) -> None:
    child = run_child(EXIT + last_words, str(tiny))
    assert (child.returncode, child.stdout) == (0, "")
    assert child.stderr == ""


def test_the_module_is_imported_without_the_engine() -> None:
    child = run_child(
        "import gpt4roi_runtime.backends.llama_cpp; print(sorted({'llama_cpp', 'gguf'} & set(sys.modules)))"
    )
    assert child.stdout == "[]\n", child.stderr


# --- what must never reach native code; in a child, because a guard that fails ends the process

MISUSES = {
    "wide rows": ("prefill(rows(5, WIDTH + 1))", "EngineError"),
    "narrow rows": ("prefill(rows(5, WIDTH - 1))", "EngineError"),
    "one axis": ("prefill(rows(5, WIDTH)[0])", "EngineError"),
    "no rows": ("prefill(rows(0, WIDTH))", "EngineError"),
    "doubles": ("prefill(rows(5, WIDTH).astype(numpy.float64))", "EngineError"),
    "half floats": ("prefill(rows(5, WIDTH).astype(numpy.float16))", "EngineError"),
    "big-endian": ("prefill(rows(5, WIDTH).astype('>f4'))", "EngineError"),
    "a list": ("prefill([[0.0] * WIDTH])", "EngineError"),
    "Fortran order": ("prefill(numpy.asfortranarray(rows(5, WIDTH)))", "EngineError"),
    "every second row": ("prefill(rows(10, WIDTH)[::2])", "EngineError"),
    "NaN": ("prefill(spoiled(float('nan')))", "NumericError"),
    "infinity": ("prefill(spoiled(float('-inf')))", "NumericError"),
    "context overflow": ("prefill(rows(256, WIDTH))", "ContextOverflowError"),
    "far beyond the context": ("prefill(rows(5000, WIDTH))", "ContextOverflowError"),
    "more than a batch": ("prefill(rows(255, WIDTH))", "fine"),
    "decode before prefill": ("fresh().decode(Sampling(), 5, never)", "EngineError"),
    "decode twice": ("prefill(rows(5, WIDTH)); decode(); decode()", "EngineError"),
    "logits before prefill": ("fresh().logits()", "EngineError"),
    "no tokens wanted": ("prefill(rows(5, WIDTH)); decoder.decode(Sampling(), 0, never)", "SettingsError"),
    "negative token": ("decoder.embed([-1])", "EngineError"),
    "token past the end": ("decoder.embed([10**9])", "EngineError"),
    "a row of spaces": ("decoder.tokenize(' ' * 100_000)", "fine"),
}

GUARDED = """
import json, numpy
from pathlib import Path
from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.llm.decoder import Sampling
path = Path(sys.argv[1])
never = lambda: False
def fresh():
    settings = LlamaCppSettings(n_threads=1, context_length=256, batch_size=100, repack="on")
    return LlamaCppDecoder.load(path, inspect_gguf(path), settings)
decoder = fresh()
WIDTH = decoder.info.embedding_length
def rows(n, width): return numpy.random.default_rng(n).standard_normal((n, width), dtype=numpy.float32)
def spoiled(value):
    array = rows(5, WIDTH)
    array[3, 4] = value
    return array
def prefill(array): decoder.prefill(array, never)
def decode(): return list(decoder.decode(Sampling(), 5, never))
ends = {}
for name, (code, _) in json.loads(sys.argv[2]).items():
    try:
        exec(code)
        ends[name] = "fine"
    except Exception as error:
        ends[name] = type(error).__name__
    prefill(rows(5, WIDTH)); decode()
print(json.dumps(ends))
"""


@pytest.fixture(scope="module")
def ends_of_misuses(tiny: Path) -> dict[str, str]:
    child = run_child(GUARDED, str(tiny), json.dumps(MISUSES))
    assert child.returncode == 0, child.stderr
    ends: dict[str, str] = json.loads(child.stdout)
    return ends


@pytest.mark.parametrize("misuse", MISUSES)
def test_misuse_is_an_error_and_the_decoder_goes_on(ends_of_misuses: dict[str, str], misuse: str) -> None:
    assert ends_of_misuses[misuse] == MISUSES[misuse][1]


def test_messages_name_value_and_expectation(decoder: LlamaCppDecoder) -> None:
    with pytest.raises(EngineError, match=rf"\(5, 65\), expected \(1 or more, {WIDTH}\)"):
        decoder.prefill(np.zeros((5, 65), dtype=np.float32), never)
    with pytest.raises(EngineError, match="float64, expected float32"):
        decoder.prefill(np.zeros((5, WIDTH)), never)
    spoiled = some_rows(9)
    spoiled[7, 3] = np.nan
    with pytest.raises(NumericError, match="row 7"):
        decoder.prefill(spoiled, never)
    with pytest.raises(ContextOverflowError, match="1024 rows of the context's 1024"):
        decoder.prefill(some_rows(1024), never)


def test_weights_that_are_not_numbers_are_noticed(tmp_path: Path) -> None:
    decoder = load(write_tiny_gguf(tmp_path / "nan.gguf", spoiled_weight=float("nan")))
    with pytest.raises(NumericError, match="not finite"):
        decoder.prefill(some_rows(5), never)
    decoder.close()


def test_too_little_memory_is_said_before_the_call(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Little:
        available = 100_000

    monkeypatch.setattr(psutil, "virtual_memory", Little)
    with pytest.raises(EngineError, match=r"MiB for weights and .* MiB for a context of 1024 rows"):
        load(tiny)


def test_a_file_llama_cpp_refuses_is_an_error_with_its_words(tiny: Path) -> None:
    header = inspect_gguf(tiny)
    with pytest.raises(EngineError, match=r"cannot load .*: .*data is not within the file bounds"):
        LlamaCppDecoder.load(truncated(tiny, 1000), header, SETTINGS)
    with pytest.raises(BundleError, match="cannot read"):
        LlamaCppDecoder.load(tiny.with_name("none.gguf"), header, SETTINGS)


def test_levels_of_the_log_are_those_of_the_library() -> None:
    log = LogTail()
    log.hear(2, b"tells\n")
    assert log.complaints() == "llama.cpp gave no reason"
    log.hear(3, b"warns ")
    log.hear(5, b"on\n")
    assert log.complaints() == "warns on"
    log.hear(4, b"fails: ")
    log.hear(5, b"why\n")
    log.hear(2, b"tells more\n")
    assert log.complaints() == "fails: why"


def test_two_threads_that_load_first_get_one_library() -> None:
    code = """
import threading, time
from gpt4roi_runtime.backends.llama_cpp_library import load_library
import llama_cpp.llama_cpp as api
set_log, registered = api.llama_log_set, []
def set_slowly(*args):
    registered.append(args)
    time.sleep(0.1)  # long enough for every other thread to come this far, if nothing holds it
    set_log(*args)
api.llama_log_set = set_slowly
gate, got = threading.Barrier(8), []
def load():
    gate.wait()
    got.append(load_library())
threads = [threading.Thread(target=load) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(registered), len({id(one) for one in got}))
"""
    child = run_child(code)
    assert child.stdout == "1 1\n", child.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes only there")
def test_a_folder_whose_name_is_not_utf8_is_fine(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    load(write_tiny_gguf(folder / "tiny.gguf")).close()


def test_no_longer_context_than_the_model_was_trained_for(tiny: Path) -> None:
    settings = LlamaCppSettings(n_threads=1, context_length=CONTEXT_LENGTH + 1, repack="on")
    with pytest.raises(SettingsError, match=f"{CONTEXT_LENGTH + 1} is more than the {CONTEXT_LENGTH} positions"):
        load(tiny, settings)
    with pytest.raises(SettingsError, match="1024 is more than the 512 positions"):
        LlamaCppDecoder.load(tiny, inspect_gguf(tiny), SETTINGS, context_limit=512)
    unset = LlamaCppSettings(n_threads=1, repack="on")
    for limit, expected in ((512, 512), (CONTEXT_LENGTH * 2, CONTEXT_LENGTH), (None, CONTEXT_LENGTH)):
        decoder = LlamaCppDecoder.load(tiny, inspect_gguf(tiny), unset, context_limit=limit)
        assert decoder.info.context_length == expected
        decoder.close()


def test_a_header_of_another_file_is_noticed(tiny: Path, tmp_path: Path) -> None:
    header = replace(inspect_gguf(tiny), embedding_length=WIDTH * 2)
    with pytest.raises(EngineError, match="width and vocabulary"):
        LlamaCppDecoder.load(tiny, header, SETTINGS)


def test_loading_can_be_watched_and_cancelled(tiny: Path) -> None:
    parts: list[float] = []
    LlamaCppDecoder.load(tiny, inspect_gguf(tiny), SETTINGS, on_progress=parts.append).close()
    assert parts == sorted(parts)
    assert parts[-1] == 1.0
    with pytest.raises(Cancelled):
        LlamaCppDecoder.load(tiny, inspect_gguf(tiny), SETTINGS, cancel=lambda: True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_threads": 0},
        {"n_threads": 100_000},
        {"context_length": 0},
        {"context_length": 2_000_000_000},
        {"batch_size": 0},
        {"ubatch_size": 0},
        {"n_gpu_layers": -2},
        {"type_k": "f17"},
        {"type_v": "Q8_0"},
        {"flash_attention": "yes"},
        {"repack": ""},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    code = (
        "from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings\n"
        "from gpt4roi_runtime.errors import SettingsError\n"
        f"try: LlamaCppSettings(**{wrong!r})\n"
        "except SettingsError as error: print(error)"
    )
    name, value = next(iter(wrong.items()))
    assert f"{name} {value!r}" in run_child(code).stdout


def test_max_tokens_below_one_is_refused(decoder: LlamaCppDecoder) -> None:
    with pytest.raises(SettingsError, match="max_tokens 0"):
        decoder.decode(GREEDY, 0, never)


def test_an_ubatch_splits_the_work_and_not_the_calls(tiny: Path) -> None:
    rows = some_rows(100)
    logits = []
    for ubatch_size in (None, 32):
        decoder = load(tiny, replace(SETTINGS, ubatch_size=ubatch_size))
        decoder.prefill(rows, never)
        logits.append(decoder.logits())
        assert decoder.info.batch_size == 512
        decoder.close()
    assert np.allclose(*logits, atol=1e-2)


def test_a_gpu_that_is_not_there_is_said(tiny: Path) -> None:
    if load_library().api.llama_supports_gpu_offload():
        pytest.skip("this llama.cpp was built for a GPU")
    for layers in (1, -1):
        with pytest.raises(SettingsError, match="without one"):
            load(tiny, replace(SETTINGS, n_gpu_layers=layers))


def test_a_cache_whose_blocks_do_not_fill_a_head_is_refused(tiny: Path) -> None:
    with pytest.raises(SettingsError, match="blocks of 32"):
        load(tiny, replace(SETTINGS, type_k="q8_0"))  # heads of 16


@pytest.mark.parametrize("types", [("q8_0", "f16"), ("f16", "q8_0"), ("q4_0", "q8_0"), ("iq4_nl", "q5_1")], ids=str)
def test_types_of_the_cache_change_little(tmp_path: Path, types: tuple[CacheType, CacheType]) -> None:
    wide = {"llama.attention.head_count": 2, "llama.attention.head_count_kv": 1, "llama.rope.dimension_count": 32}
    path = write_tiny_gguf(tmp_path / "wide.gguf", metadata=wide)
    logits = []
    for type_k, type_v in (("f16", "f16"), types):
        decoder = load(path, replace(SETTINGS, flash_attention="on", type_k=type_k, type_v=type_v))
        decoder.prefill(some_rows(40), never)
        logits.append(decoder.logits())
        decoder.close()
    difference = float(np.max(np.abs(logits[0] - logits[1])))
    assert 0 < difference < float(np.std(logits[0]))


def test_values_of_another_type_bring_flash_attention() -> None:
    assert LlamaCppSettings(type_v="q8_0").wants_flash_attention(64)
    assert not LlamaCppSettings(type_k="q8_0").wants_flash_attention(64)


def test_the_model_describes_itself(decoder: LlamaCppDecoder) -> None:
    info = decoder.info
    assert info.model.startswith("llama ")
    assert info.model_bytes > info.n_weights > WIDTH * WIDTH
