"""The first run of unknown files: a real child on real and deadly files, then children that end in other ways."""

import json
import sys
from pathlib import Path

import psutil
import pytest

from gpt4roi_runtime.backends import llama_cpp_first_run
from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp_first_run import FirstRun
from gpt4roi_runtime.errors import BundleError, Cancelled, EngineError
from tests.helpers.tiny_gguf import vocabulary, write_tiny_gguf

SHA = "ab" * 32
TEXTS = [text for text, _, _ in vocabulary()]


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    """A folder where the self-test of this build is already remembered."""
    folder = tmp_path / "cache"
    folder.mkdir()
    name = f"llama-self-test-{llama_cpp_first_run.library_identity()}.json"
    (folder / name).write_text(json.dumps({"repack_works": True, "note": None}))
    return folder


def child(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def remembered(memory: Path) -> list[Path]:
    return list(memory.glob("llama-first-run-*"))


FORBIDDEN = child("import sys; sys.exit(3)")


def test_a_good_file_runs_once(memory: Path, tiny: Path) -> None:
    FirstRun(memory).check(tiny, SHA)
    FirstRun(memory, FORBIDDEN).check(tiny, SHA)
    with pytest.raises(EngineError, match="does not run"):
        FirstRun(memory, FORBIDDEN).check(tiny, "cd" * 32)


@pytest.mark.parametrize(
    "tokens",
    [[*TEXTS[:-1], TEXTS[3]], [""] * len(TEXTS)],
    ids=["a token twice", "no bytes"],
)
def test_a_file_that_ends_the_engine_is_refused_by_this_process_alive(
    memory: Path, tmp_path: Path, tokens: list[str]
) -> None:
    path = write_tiny_gguf(tmp_path / "deadly.gguf", metadata={"tokenizer.ggml.tokens": tokens})
    inspect_gguf(path)
    with pytest.raises(BundleError, match=r"deadly\.gguf ends the language engine: died by signal 6") as first:
        FirstRun(memory).check(path, SHA)
    with pytest.raises(BundleError) as second:
        FirstRun(memory, FORBIDDEN).check(path, SHA)
    assert str(first.value) == str(second.value)


def test_weights_that_are_not_numbers_are_refused_with_their_reason(memory: Path, tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "nan.gguf", spoiled_weight=float("nan"))
    with pytest.raises(EngineError, match="logits are not finite"):
        FirstRun(memory).check(path, SHA)
    assert remembered(memory) == []


@pytest.mark.parametrize(
    "code",
    ["import os; os.kill(os.getpid(), 9)", "raise MemoryError", "pass", "import time; time.sleep(60)"],
    ids=["killed", "no memory", "silent", "hangs"],
)
def test_an_accident_is_an_error_and_not_remembered(
    memory: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    if "sleep" in code:
        monkeypatch.setattr(llama_cpp_first_run, "TIME_LIMIT_S", 0.2)
    with pytest.raises(EngineError, match=r"the first run of .*tiny\.gguf"):
        FirstRun(memory, child(code)).check(tiny, SHA)
    assert remembered(memory) == []


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"works": 1}', b'{"works": false}', b"\xff"])
def test_a_damaged_memory_is_as_good_as_none(memory: Path, tiny: Path, damage: bytes) -> None:
    works = child("print('works')")
    FirstRun(memory, works).check(tiny, SHA)
    (place,) = remembered(memory)
    place.write_bytes(damage)
    FirstRun(memory, works).check(tiny, SHA)
    FirstRun(memory, FORBIDDEN).check(tiny, SHA)


def test_too_little_memory_is_said_before_the_child_starts(
    memory: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Little:
        available = 100_000

    monkeypatch.setattr(psutil, "virtual_memory", Little)
    with pytest.raises(EngineError, match="MiB for weights"):
        FirstRun(memory, FORBIDDEN).check(tiny, SHA)


def test_it_can_be_cancelled(memory: Path, tiny: Path) -> None:
    with pytest.raises(Cancelled):
        FirstRun(memory, child("import time; time.sleep(60)")).check(tiny, SHA, lambda: True)
    assert remembered(memory) == []


def test_the_child_hears_the_file_from_wherever_it_runs(
    memory: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny.parent)
    FirstRun(memory).check(Path(tiny.name), SHA)
