import sys
from importlib import metadata
from types import SimpleNamespace
from typing import NoReturn

import pytest

from gpt4roi_runtime.backends import inventory
from gpt4roi_runtime.backends.inventory import find_engines, installed_onnxruntimes, version_of
from gpt4roi_runtime.errors import EngineMissingError


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The distributions of a made-up environment, and an llama.cpp that works."""
    versions: dict[str, str] = {}

    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr("gpt4roi_runtime.backends.inventory.metadata.version", version)
    monkeypatch.setattr(inventory, "load_library", lambda: SimpleNamespace(system="AVX2 = 1"))
    monkeypatch.setattr(inventory, "SelfTest", lambda: SimpleNamespace(verdict=lambda: SimpleNamespace(note=None)))
    return versions


def test_no_onnxruntime_is_an_empty_list(installed: dict[str, str]) -> None:
    assert installed_onnxruntimes() == ()


@pytest.mark.parametrize("name", ["onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "ort-nightly"])
def test_each_distribution_of_onnxruntime_is_found(installed: dict[str, str], name: str) -> None:
    installed[name] = "1.2.3"
    assert installed_onnxruntimes() == (f"{name} 1.2.3",)


def test_duplicates_are_all_named(installed: dict[str, str]) -> None:
    installed.update({"onnxruntime-gpu": "1.22.0", "onnxruntime": "1.23.2", "numpy": "2.0"})
    assert installed_onnxruntimes() == ("onnxruntime 1.23.2", "onnxruntime-gpu 1.22.0")


def test_the_version_of_what_is_not_there_is_none(installed: dict[str, str]) -> None:
    assert version_of("onnxruntime") is None


def test_engines_that_work_show_their_version(installed: dict[str, str]) -> None:
    vision, language, _, *others = find_engines()
    assert vision.works
    assert "CPUExecutionProvider" in vision.detail
    assert (language.works, language.detail, language.advice) == (True, "AVX2 = 1", "")
    assert not any(one.works for one in others)


def test_a_missing_vision_engine_says_why_and_what_to_do(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    vision, language, *_ = find_engines()
    assert not vision.works
    assert "cannot be imported" in vision.detail
    assert "pip install" in vision.advice
    assert language.works


def test_a_missing_language_engine_says_why_and_what_to_do(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> NoReturn:
        raise EngineMissingError("no llama_cpp here", "make llama")

    monkeypatch.setattr(inventory, "load_library", missing)
    vision, language, *_ = find_engines()
    assert vision.works
    assert (language.works, language.detail, language.advice) == (False, "no llama_cpp here", "make llama")


def test_an_engine_without_a_backend_of_ours_is_told_apart_from_a_missing_one(installed: dict[str, str]) -> None:
    assert {one.name: one.detail for one in find_engines()}["TensorRT"].startswith("not installed")
    installed["tensorrt"] = "10.1"
    assert {one.name: one.detail for one in find_engines()}["TensorRT"].startswith("tensorrt 10.1 installed")


def test_a_second_vision_engine_that_is_missing_is_no_fault(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    found = find_engines()[2]
    assert (found.name, found.works, found.advice) == ("OpenVINO (vision)", False, "")
    assert "pip install 'gpt4roi-edge[openvino]'" in found.detail


def test_a_second_vision_engine_that_is_broken_is_one(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed["openvino"] = "2026.4.1"
    monkeypatch.setitem(sys.modules, "openvino", None)
    found = find_engines()[2]
    assert "cannot be imported" in found.detail
    assert "pip install" in found.advice


def test_a_second_vision_engine_shows_its_devices(installed: dict[str, str]) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    found = find_engines()[2]
    assert found.works
    assert "CPU" in found.detail
