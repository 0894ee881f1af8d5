"""ONNX Runtime on a GPU, as far as a machine without one can: what stays where, and why it is not taken."""

import gc
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gpt4roi_runtime.backends import onnxruntime_cuda
from gpt4roi_runtime.backends.cuda_device import CudaDevice
from gpt4roi_runtime.backends.onnx_graph import ON_CPU, OnnxGraph, OnnxProvider
from gpt4roi_runtime.backends.onnxruntime_cuda import OnnxRuntimeCudaEncoder, check_cuda
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.errors import EngineError, EngineMissingError
from gpt4roi_runtime.vision.contract import encode_contract
from gpt4roi_runtime.vision.encoder import ResidentPyramid
from tests.helpers.tiny_graphs import LEVELS, PIXELS, WEIGHTS, n_boxes, tiny_bundle

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

DEVICE = CudaDevice("RTX", 89, (13, 0), 1 << 33, integrated=False)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path)


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of all arrays that were copied to where the provider has its tensors."""
    shapes: list[tuple[int, ...]] = []
    really = OnnxGraph.moved

    def noted(self: OnnxGraph, values: np.ndarray) -> Any:
        shapes.append(values.shape)
        return really(self, values)

    monkeypatch.setattr(OnnxGraph, "moved", noted)
    return shapes


def test_the_pyramid_stays_where_the_provider_has_it(bundle: Bundle, moved: list[tuple[int, ...]]) -> None:
    encoder = OnnxRuntimeCudaEncoder(bundle, n_threads=1, provider=ON_CPU)
    first, second = (encoder.encode(PIXELS + shift).pyramid for shift in (0, 1))
    for pyramid, shift in ((first, 0), (second, 1), (first, 0)):
        found = encoder.embed_regions(pyramid, n_boxes(2))
        mean = 2 * (PIXELS + shift).mean()
        np.testing.assert_allclose(found[:, 0], n_boxes(2) @ WEIGHTS + mean, rtol=1e-4)
    assert isinstance(first, ResidentPyramid)
    assert not first.is_fetched
    assert moved == []
    np.testing.assert_allclose(first[1], PIXELS.reshape(1, 3, 2, 4, 2, 4).mean(axis=(3, 5)), atol=1e-6)


def test_a_pyramid_from_elsewhere_is_copied_once(bundle: Bundle, moved: list[tuple[int, ...]]) -> None:
    encoder = OnnxRuntimeCudaEncoder(bundle, n_threads=1, provider=ON_CPU)
    for _ in range(3):
        np.testing.assert_allclose(encoder.embed_regions(LEVELS, n_boxes(1))[0, 0], n_boxes(1)[0] @ WEIGHTS + 5)
    assert moved == [level.shape for level in LEVELS]


def test_a_pyramid_that_nobody_holds_is_freed(bundle: Bundle) -> None:
    encoder = OnnxRuntimeCudaEncoder(bundle, n_threads=1, provider=ON_CPU)
    kept = encoder.encode(PIXELS)
    encoder.encode(PIXELS)
    gc.collect()
    assert len(encoder._values) == 1
    encoder.close()
    with pytest.raises(EngineError, match="closed"):
        _ = kept.pyramid[0]


def test_another_engines_pyramid_is_fetched_from_it(bundle: Bundle, moved: list[tuple[int, ...]]) -> None:
    one, other = (OnnxRuntimeCudaEncoder(bundle, n_threads=1, provider=ON_CPU) for _ in range(2))
    seen = one.encode(PIXELS)
    found = other.embed_regions(seen.pyramid, n_boxes(1))
    np.testing.assert_allclose(found, one.embed_regions(seen.pyramid, n_boxes(1)), rtol=1e-6)
    assert len(moved) == len(LEVELS)


def test_a_provider_that_does_not_come_is_not_taken_for_one_that_does(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that is asked for a provider whose library does not load is one on the CPU, without a word."""
    import onnxruntime

    really = onnxruntime.InferenceSession

    def falls_back(*arguments: Any, providers: list[Any], **named: Any) -> Any:
        return really(*arguments, providers=["CPUExecutionProvider"], **named)

    monkeypatch.setattr(onnxruntime, "InferenceSession", falls_back)
    with pytest.raises(EngineMissingError, match="CUDAExecutionProvider"):
        OnnxGraph(
            bundle.path_of(bundle.manifest.vision.encode),
            encode_contract(bundle.manifest),
            provider=OnnxProvider("CUDAExecutionProvider", "cuda"),
        )


def test_a_gpu_without_room_is_no_fault_of_the_bundle(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has to give way to the next engine, as load_encoder lets it on EngineError alone."""
    import onnxruntime

    def refuses(*_: Any, **__: Any) -> Any:
        raise RuntimeError("CUDA failure 2: out of memory")

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuses)
    monkeypatch.setattr(onnxruntime_cuda, "check_cuda", lambda: None)
    with pytest.raises(EngineError, match=r"out of memory \(CUDAExecutionProvider\)"):
        OnnxRuntimeCudaEncoder(bundle)


def _onnxruntime(monkeypatch: pytest.MonkeyPatch, **facts: Any) -> None:
    known = {"__version__": "1.31.1", "InferenceSession": object, "cuda_version": "13.0"}
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(**(known | facts)))


def test_without_a_driver_it_is_not_even_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> CudaDevice:
        raise EngineMissingError("no NVIDIA driver: libcuda.so.1", "install it")

    monkeypatch.setattr(onnxruntime_cuda, "find_cuda_device", absent)
    _onnxruntime(monkeypatch, get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    with pytest.raises(EngineMissingError, match=r"libcuda\.so\.1"):
        check_cuda()


def test_a_distribution_for_the_cpu_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime_cuda, "find_cuda_device", lambda: DEVICE)
    _onnxruntime(monkeypatch, get_available_providers=lambda: ["CPUExecutionProvider"])
    with pytest.raises(EngineMissingError, match="for the CPU") as refused:
        check_cuda()
    assert "gpt4roi-edge[ort-cuda]" in refused.value.advice


def test_a_driver_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    old = CudaDevice("RTX", 89, (12, 6), 1 << 33, integrated=False)
    monkeypatch.setattr(onnxruntime_cuda, "find_cuda_device", lambda: old)
    _onnxruntime(monkeypatch, get_available_providers=lambda: ["CUDAExecutionProvider"])
    with pytest.raises(EngineMissingError, match=r"CUDA 13; this one is for CUDA 12\.6"):
        check_cuda()


def test_nvidias_own_wheels_are_looked_through_in_silence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(onnxruntime_cuda, "find_cuda_device", lambda: DEVICE)
    said: list[str] = []

    def preload() -> None:
        said.append("looked")
        print("Failed to load libcudnn.so")  # noqa: T201 - as it does

    _onnxruntime(monkeypatch, get_available_providers=lambda: ["CUDAExecutionProvider"], preload_dlls=preload)
    check_cuda()
    assert said == ["looked"]
    assert capsys.readouterr().out == ""
