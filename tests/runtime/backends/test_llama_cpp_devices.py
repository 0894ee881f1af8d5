"""What is said of GPUs by a llama.cpp with and without them."""

import ctypes
from types import SimpleNamespace
from typing import Any

import pytest

from gpt4roi_runtime.backends import llama_cpp_devices
from gpt4roi_runtime.backends.llama_cpp_devices import find_offload
from gpt4roi_runtime.backends.llama_cpp_library import library_folder, load_library


class Function:
    """A ctypes function that is none: types can be set on it."""

    def __init__(self, does: Any) -> None:
        self._does = does

    def __call__(self, *arguments: Any) -> Any:
        return self._does(*arguments)


class FakeGgml:
    """A processor, BLAS and what is given, by type and name."""

    def __init__(self, *gpus: tuple[int, bytes]) -> None:
        devices = [(0, b"EPYC"), (3, b"BLAS"), *gpus]
        self.ggml_backend_dev_count = Function(lambda: len(devices))
        self.ggml_backend_dev_get = Function(lambda number: number)
        self.ggml_backend_dev_type = Function(lambda number: devices[number][0])
        self.ggml_backend_dev_description = Function(lambda number: devices[number][1])
        self.ggml_backend_dev_memory = Function(self._memory)

    def _memory(self, _: int, free: Any, total: Any) -> None:
        free._obj.value, total._obj.value = 6 << 30, 8 << 30


def _library(*, is_built: bool) -> SimpleNamespace:
    return SimpleNamespace(llama_supports_gpu_offload=lambda: is_built)


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(llama_cpp_devices, "library_folder", lambda: tmp_path)


def test_a_build_for_the_cpu_says_so() -> None:
    assert str(find_offload(_library(is_built=False))) == "built for the CPU only"


def test_a_build_for_a_gpu_names_what_it_finds() -> None:
    found = find_offload(_library(is_built=True), lambda _: FakeGgml((1, b"RTX 4090"), (2, b"Orin")))
    assert found.devices == ("RTX 4090 (6,144 of 8,192 MiB free)", "Orin (6,144 of 8,192 MiB free)")
    assert "-ngl -1" in str(found)


def test_a_build_for_a_gpu_without_one_says_so() -> None:
    assert "finds none" in str(find_offload(_library(is_built=True), lambda _: FakeGgml()))


def test_a_library_in_one_piece_is_no_crash() -> None:
    assert find_offload(_library(is_built=True), ctypes.CDLL).devices == ()


def test_the_real_library_lists_its_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and types of the functions, against the library itself: no GPU is among a CPU's devices."""
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    library = load_library()
    if library.api.llama_supports_gpu_offload():
        pytest.skip("this llama.cpp is built for a GPU")
    monkeypatch.undo()
    ggml = ctypes.CDLL(str(library_folder() / "libggml.so"))
    monkeypatch.setattr(llama_cpp_devices, "_CPU", -1)
    (processor,) = llama_cpp_devices._described(ggml)
    assert "MiB free" in processor
