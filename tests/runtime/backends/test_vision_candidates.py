"""Which engine on a GPU is taken, why not, and what is loaded when it fails after all."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from gpt4roi_runtime.backends import load, tensorrt_open, vision_candidates, vision_choice
from gpt4roi_runtime.backends.cuda_device import CudaDevice
from gpt4roi_runtime.backends.load import EngineSettings, load_encoder
from gpt4roi_runtime.backends.tensorrt_library import TensorRt
from gpt4roi_runtime.backends.tensorrt_open import PLUGIN_VARIABLE, find_plans, open_tensorrt
from gpt4roi_runtime.backends.vision_candidates import LOOKS, Candidate, candidates, missing_gpu
from gpt4roi_runtime.backends.vision_settings import VisionEngine, VisionSettings
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.bundle.plans import PlanKey, PlanProfile, PlanTensor, this_system, write_plan
from gpt4roi_runtime.errors import EngineError, EngineMissingError, PlanError, SettingsError
from tests.helpers.fakes import FakeEncoder
from tests.helpers.tiny_graphs import tiny_bundle

TENSORRT, RTX, CUDA = (engine for engine, _ in LOOKS)
CPU = VisionEngine("onnxruntime")
DEVICE = CudaDevice("RTX 4090", 89, (13, 0), 24 << 30, integrated=False)


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setattr(vision_choice.platformdirs, "user_cache_path", lambda _: tmp_path / "cache")
    return tiny_bundle(tmp_path / "bundle")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU, TensorRT for RTX and the bindings."""
    monkeypatch.setattr(tensorrt_open, "find_cuda_device", lambda: DEVICE)
    for name in ("cuda", "cuda.bindings", "cuda.bindings.runtime"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    module = SimpleNamespace(__version__="1.7.1.116", Runtime=object, ILogger=object)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", module)
    monkeypatch.setitem(sys.modules, "tensorrt", None)


def _plan(bundle: Bundle, graph: Any, **changes: Any) -> None:
    facts = {
        "bundle_id": bundle.id,
        "graph": graph,
        "engine": "tensorrt_rtx",
        "engine_version": "1.7.1.116",
        "compute_capabilities": (89,),
        "precision": "fp16",
        "system": this_system(),
        "profile": PlanProfile(1, 4, 100) if graph == "regions" else None,
    }
    tensor = (PlanTensor("x", (1,), "float32"),)
    carries = changes.pop("carries_plugin", False)
    write_plan(
        bundle,
        PlanKey(**(facts | changes)),
        memoryview(b"plan"),
        inputs=tensor,
        outputs=tensor,
        tools={},
        carries_plugin=carries,
    )


def _looks(*refused: VisionEngine) -> Any:
    def look(engine: VisionEngine) -> Callable[[Bundle], object]:
        def looked(_: Bundle) -> None:
            if engine in refused:
                raise EngineMissingError(f"no {engine}", "install it")

        return looked

    return tuple((engine, look(engine)) for engine in (TENSORRT, RTX, CUDA))


def a_gpu() -> CudaDevice:
    return DEVICE


def no_gpu() -> CudaDevice:
    raise EngineMissingError("no NVIDIA driver", "install it")


def test_without_a_gpu_nothing_is_looked_at(bundle: Bundle) -> None:
    def look(_: Bundle) -> None:
        pytest.fail("it was looked at")

    assert candidates(bundle, VisionSettings(), ((TENSORRT, look),), no_gpu) == ()
    missing = missing_gpu(no_gpu)
    assert missing is not None
    assert (missing.problem, missing.advice) == ("no NVIDIA driver", "install it")
    assert missing_gpu(a_gpu) is None


def test_the_order_is_tensorrt_then_onnx_runtime(bundle: Bundle) -> None:
    found = candidates(bundle, VisionSettings(), _looks(TENSORRT), a_gpu)
    assert found == (Candidate(TENSORRT, "no TensorRT", "install it"), Candidate(RTX), Candidate(CUDA))


@pytest.mark.parametrize(
    ("settings", "engines"),
    [
        (VisionSettings("onnxruntime"), []),
        (VisionSettings("openvino"), []),
        (VisionSettings("tensorrt"), []),
        (VisionSettings("auto", "bf16"), []),
        (VisionSettings("auto", "f32"), [CUDA]),
    ],
)
def test_what_the_user_names_leaves_no_choice(
    bundle: Bundle, settings: VisionSettings, engines: list[VisionEngine]
) -> None:
    assert [one.engine for one in candidates(bundle, settings, _looks(), a_gpu)] == engines


def _load(
    bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    settings: VisionSettings,
    refused: tuple[VisionEngine, ...] = (),
    fail: tuple[VisionEngine, ...] = (),
    find: Callable[[], CudaDevice] = a_gpu,
) -> tuple[list[VisionEngine], list[str]]:
    """Which engines were tried, and what a person hears."""
    tried: list[VisionEngine] = []
    notes: list[str] = []

    def opened(_: Bundle, engine: VisionEngine, __: int) -> FakeEncoder:
        tried.append(engine)
        if engine in fail:
            raise EngineError(f"{engine} does not run", "see")
        return FakeEncoder()

    looks = _looks(*refused)
    monkeypatch.setattr(load, "candidates", lambda bundle, settings: candidates(bundle, settings, looks, find))
    monkeypatch.setattr(load, "open_encoder", opened)
    load_encoder(bundle, EngineSettings(vision=settings), notes.append)
    return tried, notes


@pytest.mark.parametrize(
    ("refused", "fail", "tried"),
    [
        ((), (), [TENSORRT]),
        ((TENSORRT,), (), [RTX]),
        ((TENSORRT, RTX), (), [CUDA]),
        ((TENSORRT, RTX, CUDA), (), [CPU]),
        ((), (TENSORRT, RTX, CUDA), [TENSORRT, RTX, CUDA, CPU]),
    ],
    ids=["all there", "no TensorRT", "only CUDA", "no GPU", "all fail"],
)
def test_the_next_one_is_loaded_where_one_is_missing_or_fails(
    bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    refused: tuple[VisionEngine, ...],
    fail: tuple[VisionEngine, ...],
    tried: list[VisionEngine],
) -> None:
    assert _load(bundle, monkeypatch, VisionSettings(), refused, fail)[0] == tried


@pytest.mark.parametrize(
    ("packages", "refused", "fail", "said"),
    [
        ({"tensorrt-rtx-cu13"}, (TENSORRT,), (RTX, CUDA), ["TensorRT for RTX: TensorRT for RTX does not run"]),
        ({"tensorrt-rtx-cu13"}, (TENSORRT, RTX, CUDA), (), ["TensorRT for RTX: no TensorRT for RTX"]),
        ({"onnxruntime-gpu"}, (TENSORRT, RTX, CUDA), (), ["ONNX Runtime on CUDA: no ONNX Runtime on CUDA f32"]),
        ({"tensorrt", "onnxruntime-gpu"}, (TENSORRT, RTX), (CUDA,), ["TensorRT: no TensorRT"]),
        ({"tensorrt", "onnxruntime-gpu"}, (TENSORRT, RTX), (), []),
        ({"onnxruntime"}, (TENSORRT, RTX, CUDA), (), []),
    ],
    ids=["fails", "no plans", "no CUDA", "the preferred", "another GPU engine runs", "nothing for a GPU"],
)
def test_a_person_who_meant_the_gpu_hears_once_that_the_cpu_runs_it(
    bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    packages: set[str],
    refused: tuple[VisionEngine, ...],
    fail: tuple[VisionEngine, ...],
    said: list[str],
) -> None:
    monkeypatch.setattr(vision_candidates, "installed", lambda names: tuple(packages & set(names)))
    _, notes = _load(bundle, monkeypatch, VisionSettings(), refused, fail)
    assert notes == [f"the CPU runs the vision half, not the GPU: {words}; see `gpt4roi doctor`" for words in said]


def test_built_plans_say_too_that_the_gpu_was_meant(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vision_candidates, "installed", lambda _: ())
    everything = (TENSORRT, RTX, CUDA)
    assert _load(bundle, monkeypatch, VisionSettings(), everything)[1] == []
    _plan(bundle, "encode")
    assert len(_load(bundle, monkeypatch, VisionSettings(), everything)[1]) == 1
    assert _load(bundle, monkeypatch, VisionSettings(), everything, find=no_gpu) == ([CPU], [])
    assert _load(bundle, monkeypatch, VisionSettings("onnxruntime"), everything)[1] == []


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx", "onnxruntime-cuda"])
def test_an_engine_asked_for_by_name_never_gives_way(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, backend: Any
) -> None:
    with pytest.raises(EngineError, match="does not run"):
        _load(bundle, monkeypatch, VisionSettings(backend), fail=(TENSORRT, RTX, CUDA))


@pytest.mark.parametrize(("backend", "precision"), [("tensorrt", "f32"), ("tensorrt-rtx", "bf16")])
def test_a_plans_precision_is_its_own(backend: Any, precision: Any) -> None:
    with pytest.raises(SettingsError, match="precision of its own"):
        VisionSettings(backend, precision)


# --- what TensorRT needs


def test_plans_that_fit_are_found(bundle: Bundle, gpu: None) -> None:
    for graph in ("encode", "regions"):
        _plan(bundle, graph)
    found = find_plans(bundle, "tensorrt_rtx")
    assert (found.encode.record.key.graph, found.regions.record.key.graph) == ("encode", "regions")
    assert (found.device, found.plugin, found.library.version) == (DEVICE, None, "1.7.1.116")
    assert str(found).startswith("TensorRT for RTX 1.7.1.116 fp16, encode-")


def test_no_plan_names_the_command_that_builds_it(bundle: Bundle, gpu: None) -> None:
    with pytest.raises(PlanError, match="no plan of the encode graph for sm_89") as refused:
        find_plans(bundle, "tensorrt_rtx")
    assert f"gpt4roi-export engines {bundle.folder} --engine tensorrt-rtx --target sm_89" in refused.value.advice


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"engine_version": "1.6.0.1"}, "version 1.6.0.1, not 1.7.1.116"),
        ({"compute_capabilities": (86,)}, "GPU sm_86, not sm_89"),
        ({"profile": PlanProfile(1, 4, 8)}, "at most 8 regions, not"),
        ({"precision": "fp32"}, "precision fp32, not fp16"),
    ],
)
def test_a_plan_of_another_key_says_in_what_it_differs(
    bundle: Bundle, gpu: None, changes: dict[str, Any], words: str
) -> None:
    _plan(bundle, "encode")
    _plan(bundle, "regions", **changes)
    with pytest.raises(PlanError, match=words):
        find_plans(bundle, "tensorrt_rtx")


def test_a_module_that_is_missing_names_its_pip_line(bundle: Bundle, gpu: None) -> None:
    with pytest.raises(EngineMissingError) as refused:
        find_plans(bundle, "tensorrt")
    assert "gpt4roi-edge[tensorrt]" in refused.value.advice


def test_missing_bindings_name_theirs(bundle: Bundle, gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    with pytest.raises(EngineMissingError, match="cuda-bindings"):
        find_plans(bundle, "tensorrt_rtx")


def test_a_driver_too_old_for_the_wheels_is_named(bundle: Bundle, gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    old = CudaDevice("RTX 4090", 89, (12, 6), 24 << 30, integrated=False)
    monkeypatch.setattr(tensorrt_open, "find_cuda_device", lambda: old)
    monkeypatch.setattr(tensorrt_open, "installed", lambda _: ("tensorrt-rtx-cu13 1.7.1.116",))
    with pytest.raises(EngineMissingError, match=r"CUDA 13; this one is for CUDA 12\.6"):
        find_plans(bundle, "tensorrt_rtx")


def test_a_plan_without_the_operator_wants_no_library(
    bundle: Bundle, gpu: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (library := tmp_path / "lib.so").touch()
    monkeypatch.setenv(PLUGIN_VARIABLE, str(library))
    _plan(bundle, "encode")
    _plan(bundle, "regions")
    assert find_plans(bundle, "tensorrt_rtx").plugin is None  # the graph has no such operator


@pytest.mark.parametrize("carries", [True, False])
def test_a_plan_with_the_operator_takes_its_own_library_or_the_named_one(
    bundle: Bundle, gpu: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, carries: bool
) -> None:
    (library := tmp_path / "lib.so").touch()
    _plan(bundle, "encode")
    _plan(bundle, "regions", plugin_version="1.1", carries_plugin=carries)
    if not carries:
        monkeypatch.delenv(PLUGIN_VARIABLE, raising=False)
        with pytest.raises(EngineMissingError, match="does not carry our operator") as refused:
            find_plans(bundle, "tensorrt_rtx")
        assert "GPT4ROI_PLUGIN=FILE" in refused.value.advice
        monkeypatch.setenv(PLUGIN_VARIABLE, "/nowhere/lib.so")
        with pytest.raises(EngineMissingError, match="GPT4ROI_PLUGIN names /nowhere/lib"):
            find_plans(bundle, "tensorrt_rtx")
    monkeypatch.setenv(PLUGIN_VARIABLE, str(library))
    assert find_plans(bundle, "tensorrt_rtx").plugin == (None if carries else library)


def test_a_plan_that_was_changed_is_never_loaded(bundle: Bundle, gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for graph in ("encode", "regions"):
        _plan(bundle, graph)
    found = find_plans(bundle, "tensorrt_rtx")
    found.encode.path.write_bytes(b"evil")
    closed: list[bool] = []

    class Runtime(TensorRt):
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def load(self, *_: Any) -> Any:
            pytest.fail("it reached the engine")

        def close(self) -> None:
            closed.append(True)

    monkeypatch.setattr(tensorrt_open, "TensorRt", Runtime)
    with pytest.raises(PlanError, match="SHA-256"):
        open_tensorrt(bundle, "tensorrt_rtx")
    assert closed == [True]
