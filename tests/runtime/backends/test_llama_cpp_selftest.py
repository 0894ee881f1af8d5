"""The self-test of the native library: real once, then with children that end badly."""

import importlib.util
import sys
from pathlib import Path

import pytest

from gpt4roi_runtime.backends import llama_cpp_library, llama_cpp_selftest
from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.backends.llama_cpp_selftest import SelfTest, Verdict
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.errors import EngineError, EngineMissingError
from tests.helpers.tiny_gguf import write_tiny_gguf

DIES = "import ctypes; ctypes.string_at(0)"


def child(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def forbidden(folder: Path) -> SelfTest:
    """A self-test whose child says that it was started although the result should have been remembered."""
    return SelfTest(folder, child("print('asked again')"))


def test_this_machine_s_build_passes_and_is_remembered(tmp_path: Path) -> None:
    assert SelfTest(tmp_path).verdict() == Verdict(repack_works=True)
    assert forbidden(tmp_path).verdict() == Verdict(repack_works=True)


def test_a_crash_with_rearranged_weights_is_remembered_and_said(tmp_path: Path) -> None:
    verdict = SelfTest(tmp_path, child(f"print('plain works', flush=True); {DIES}")).verdict()
    assert not verdict.repack_works
    assert verdict.note is not None
    assert "make llama" in verdict.note
    assert forbidden(tmp_path).verdict() == verdict


def test_wrong_numbers_with_rearranged_weights_are_said(tmp_path: Path) -> None:
    verdict = SelfTest(tmp_path, child("print('plain works'); import sys; sys.exit('logits differ by 3')")).verdict()
    assert verdict.note is not None
    assert "logits differ by 3" in verdict.note


def test_a_crash_before_any_success_is_an_error_and_not_remembered(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"does not run on this machine") as failed:
        SelfTest(tmp_path, child(DIES)).verdict()
    assert "make llama" in failed.value.advice
    assert list(tmp_path.iterdir()) == []


def test_a_child_that_hangs_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_cpp_selftest, "TIME_LIMIT_S", 0.2)
    with pytest.raises(EngineError, match="longer than"):
        SelfTest(tmp_path, child("import time; time.sleep(60)")).verdict()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"repack_works": 1, "note": null}', b"\xff\xfe"])
def test_a_damaged_memory_is_as_good_as_none(tmp_path: Path, damage: bytes) -> None:
    works = child("print('plain works'); print('repacked works')")
    assert SelfTest(tmp_path, works).verdict().repack_works
    (memory,) = tmp_path.iterdir()
    memory.write_bytes(damage)
    assert SelfTest(tmp_path, works).verdict().repack_works
    assert forbidden(tmp_path).verdict().repack_works


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    works = child("print('plain works'); print('repacked works')")
    assert SelfTest(tmp_path / "file" / "cache", works).verdict().repack_works


def test_another_build_is_tested_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    works = child("print('plain works'); print('repacked works')")
    SelfTest(tmp_path / "cache", works).verdict()
    other = tmp_path / "lib"
    other.mkdir()
    (other / "libllama.so").write_bytes(b"another")
    monkeypatch.setattr(llama_cpp_selftest, "library_folder", lambda: other)
    with pytest.raises(EngineError, match="does not run"):
        forbidden(tmp_path / "cache").verdict()


def test_the_decoder_takes_the_slow_path_and_says_so(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    crashes = SelfTest(tmp_path / "cache", child(f"print('plain works', flush=True); {DIES}"))
    decoder = LlamaCppDecoder.load(path, inspect_gguf(path), LlamaCppSettings(context_length=256), self_test=crashes)
    assert any("make llama" in note for note in decoder.info.notes)
    decoder.close()


def test_a_missing_engine_names_the_pip_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineMissingError, match="not installed") as missing:
        SelfTest(tmp_path).verdict()
    assert "pip install" in missing.value.advice


def test_another_library_under_the_bindings_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", "/elsewhere")
    with pytest.raises(EngineError, match="/elsewhere"):
        llama_cpp_library.library_folder()
