import sys
from importlib import metadata
from types import SimpleNamespace
from typing import NoReturn

import pytest

from gpt4roi_runtime.backends import inventory
from gpt4roi_runtime.backends.cuda_device import CudaDevice
from gpt4roi_runtime.backends.distributions import clashes, installed_onnxruntimes, version_of
from gpt4roi_runtime.backends.inventory import EngineFinding, find_engines
from gpt4roi_runtime.errors import EngineMissingError

CPU_ONLY = SimpleNamespace(llama_supports_gpu_offload=lambda: False)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The distributions of a made-up environment, and an llama.cpp that works."""
    versions: dict[str, str] = {}

    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr("gpt4roi_runtime.backends.distributions.metadata.version", version)
    monkeypatch.setattr(inventory, "load_library", lambda: SimpleNamespace(system="AVX2 = 1", api=CPU_ONLY))
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
    assert (language.works, language.detail, language.advice) == (True, "built for the CPU only; AVX2 = 1", "")
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


def _found(name: str) -> EngineFinding:
    return next(one for one in find_engines() if one.name == name)


@pytest.mark.parametrize(
    ("module", "name", "package"),
    [
        ("tensorrt", "TensorRT (vision, GPU)", "tensorrt-cu13"),
        ("tensorrt_rtx", "TensorRT for RTX (vision, GPU)", "tensorrt-rtx"),
    ],
)
def test_a_tensorrt_that_is_missing_is_no_fault_and_one_that_is_broken_is(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch, module: str, name: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    found = _found(name)
    assert (found.works, found.advice) == (False, "")
    assert found.detail.startswith("not installed")
    installed[package] = "11.4"
    found = _found(name)
    assert "cannot be imported" in found.detail
    assert "pip install" in found.advice


def test_a_tensorrt_of_the_system_is_told_from_a_package(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = SimpleNamespace(__version__="10.3.0", Runtime=object, ILogger=object)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    assert _found("TensorRT (vision, GPU)").detail == "10.3.0, the system's"
    installed["tensorrt"] = "10.3.0"
    assert _found("TensorRT (vision, GPU)").detail == "tensorrt 10.3.0"


def test_the_gpu_is_described_or_missed_without_a_fault(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent() -> NoReturn:
        raise EngineMissingError("no NVIDIA driver", "install it")

    monkeypatch.setattr(inventory, "find_cuda_device", absent)
    assert _found("NVIDIA GPU") == EngineFinding("NVIDIA GPU", works=False, detail="no NVIDIA driver")
    device = CudaDevice("RTX 4090", 89, (13, 0), 24564 << 20, integrated=False)
    monkeypatch.setattr(inventory, "find_cuda_device", lambda: device)
    assert _found("NVIDIA GPU").detail.startswith("RTX 4090 (compute capability 8.9, 24,564 MiB")


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        (
            {"onnxruntime": "1", "onnxruntime-gpu": "2"},
            ["onnxruntime 1, onnxruntime-gpu 2", "-y onnxruntime "],
        ),
        ({"opencv-python": "1", "opencv-python-headless": "2"}, ["OpenCV", "opencv-python 1", "uninstall -y opencv"]),
        ({"tensorrt-cu13": "1", "tensorrt-rtx": "2"}, ["tensorrt-cu13 1", "tensorrt-rtx 2", "--vision-backend"]),
    ],
    ids=["ONNX Runtime", "OpenCV", "TensorRT"],
)
def test_packages_that_are_in_each_others_way_are_named(
    installed: dict[str, str], versions: dict[str, str], words: list[str]
) -> None:
    assert clashes() == ()
    installed.update(versions)
    (clash,) = clashes()
    for word in words:
        assert word in f"{clash.problem} {clash.advice}"
    del installed[next(iter(versions))]
    assert clashes() == ()


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
