"""The self-test of the native library: real once, then with children that end badly."""

import importlib.util
import sys
import time
from pathlib import Path

import pytest

from gpt4roi_runtime.backends import (
    llama_cpp_child,
    llama_cpp_library,
    llama_cpp_selftest,
    llama_cpp_selftest_child,
)
from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.backends.llama_cpp_child import run_child
from gpt4roi_runtime.backends.llama_cpp_selftest import SelfTest, Verdict
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.errors import Cancelled, EngineError, EngineMissingError
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


def test_wrong_numbers_with_rearranged_weights_are_said_and_remembered(tmp_path: Path) -> None:
    words = "print('plain works'); print('wrong numbers'); import sys; sys.exit('logits differ by 3')"
    verdict = SelfTest(tmp_path, child(words)).verdict()
    assert verdict.note is not None
    assert "logits differ by 3" in verdict.note
    assert forbidden(tmp_path).verdict() == verdict


ACCIDENTS = {
    "killed by the system": "print('plain works', flush=True); import os; os.kill(os.getpid(), 9)",
    "killed before anything": "import os; os.kill(os.getpid(), 9)",
    "no memory": "print('plain works', flush=True); raise MemoryError",
    "no place": f"import sys; sys.exit({llama_cpp_selftest.NO_PLACE})",
    "hangs": "import time; time.sleep(60)",
}


@pytest.mark.parametrize("accident", ACCIDENTS)
def test_an_accident_means_the_slow_path_this_time_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accident: str
) -> None:
    if accident == "hangs":
        monkeypatch.setattr(llama_cpp_selftest, "TIME_LIMIT_S", 0.2)
    verdict = SelfTest(tmp_path, child(ACCIDENTS[accident])).verdict()
    assert not verdict.repack_works
    assert verdict.note is not None
    assert "this time" in verdict.note
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_folder_that_cannot_be_written_is_an_accident(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_cpp_selftest_child, "_write_model", no_space)
    assert llama_cpp_selftest_child.main() == llama_cpp_selftest.NO_PLACE


def no_space(path: Path) -> None:
    raise OSError(28, "No space left on device")


def test_a_library_s_name_in_the_user_s_folder_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("numpy", "gguf", "llama_cpp", "gpt4roi_runtime"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w').close()")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")
    assert SelfTest(tmp_path / "cache").verdict().repack_works
    assert not (tmp_path / "executed").exists()


def test_a_relative_python_path_means_the_same_folder_in_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "only_here.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "mine")
    assert run_child(child("import only_here; print('found')"), 30.0).stages == ("found",)


def test_a_child_ends_with_its_caller_s_interest() -> None:
    began = time.monotonic()
    with pytest.raises(Cancelled):
        run_child(child("import time; time.sleep(60)"), 60.0, lambda: True)
    assert time.monotonic() - began < 30


def test_a_crash_before_any_success_is_an_error_and_not_remembered(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"does not run on this machine") as failed:
        SelfTest(tmp_path, child(DIES)).verdict()
    assert "make llama" in failed.value.advice
    assert list(tmp_path.iterdir()) == []


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
    monkeypatch.setattr(llama_cpp_child, "library_folder", lambda: other)
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
