"""What the command writes is what the runtime looks for, reads and lays out; the engine stands aside here."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from gpt4roi_export.engines import building
from gpt4roi_export.engines.building import build_plan, planned_plans
from gpt4roi_export.engines.plan_graph import PlanGraphFiles, plan_tensors
from gpt4roi_export.engines.plugin_library import PluginLibrary
from gpt4roi_export.engines.targets import Target
from gpt4roi_runtime.backends import tensorrt_open, vision_choice
from gpt4roi_runtime.backends.cuda_device import CudaDevice
from gpt4roi_runtime.backends.plan_tensors import check_record, load, store, stored_bytes, stored_shape
from gpt4roi_runtime.backends.tensorrt import PlanHalf, TensorRtEncoder
from gpt4roi_runtime.backends.tensorrt_open import FoundPlans, find_plans
from gpt4roi_runtime.backends.tensorrt_plans import said_plans
from gpt4roi_runtime.bundle.folder import Bundle, open_bundle
from gpt4roi_runtime.bundle.plans import Plan, PlanPrecision, checked_content, write_plan
from gpt4roi_runtime.errors import PlanError
from gpt4roi_runtime.vision.contract import encode_contract, regions_contract
from tests.helpers.fake_cuda import FakeCuda, FakePlan
from tests.helpers.tiny_bundle import write_tiny_bundle

DEVICE = CudaDevice("RTX 4090", 89, (13, 0), 24 << 30, integrated=False)
VERSION = "1.7.1.116"
CHILD = """
import sys
from pathlib import Path
import msgspec
from gpt4roi_export.engines.build_job import BuildJob, Built, line_of
from gpt4roi_runtime.bundle.folder import open_bundle
from gpt4roi_runtime.bundle.plans import write_plan
job = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=BuildJob)
write_plan(open_bundle(Path(job.bundle)), job.key, memoryview(b"a plan"), inputs=job.inputs, outputs=job.outputs,
           tools=job.tools, carries_plugin=bool(job.plugin), folder=Path(job.folder))
print(line_of(Built(1.5)), end="")
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return open_bundle(write_tiny_bundle(tmp_path / "bundle"))


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with an RTX 4090, and the engine that builds."""
    monkeypatch.setattr(tensorrt_open, "find_cuda_device", lambda: DEVICE)
    monkeypatch.setattr(tensorrt_open, "installed", lambda _: ())
    monkeypatch.delenv(tensorrt_open.PLUGIN_VARIABLE, raising=False)
    for name in ("cuda", "cuda.bindings", "cuda.bindings.runtime"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    installed_engine(monkeypatch, VERSION)


def installed_engine(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    module = SimpleNamespace(__version__=version, Runtime=object, ILogger=object)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", module)


Build = Callable[..., Path]


@pytest.fixture
def build(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Runs the command's story for some GPUs; the folder of plans."""
    script = tmp_path / "child.py"
    script.write_text(CHILD)

    def command(module: str) -> Sequence[str]:
        return (sys.executable, str(script))

    def built(*capabilities: int, precision: PlanPrecision = "fp16") -> Path:
        def write(bundle: Bundle, graph: str, precision: PlanPrecision, folder: Path, _: object) -> PlanGraphFiles:
            (folder / "graph.onnx").write_bytes(b"graph")
            tensors = plan_tensors(bundle, "regions" if graph == "regions" else "encode", precision)
            return PlanGraphFiles(folder / "graph.onnx", *tensors, has_plugin=graph == "regions")

        monkeypatch.setattr(building, "write_plan_graph", write)
        monkeypatch.setattr(building, "converted", lambda *_: None)
        monkeypatch.setattr(building, "weight_bytes", lambda _: 10)
        folder, plugin = tmp_path / "plans", PluginLibrary(tmp_path / "plugin.so", "1.1", "0" * 64)
        target = Target("tensorrt_rtx", capabilities)
        for one in planned_plans(bundle, target, VERSION, plugin, precision, folder, lambda *_: None):
            build_plan(bundle, one, plugin, folder, lambda *_: None, command=command)
        return folder

    return built


def halves(found: FoundPlans, cuda: FakeCuda) -> tuple[PlanHalf, PlanHalf]:
    def half(plan: Plan) -> PlanHalf:
        names = tuple(tensor.name for tensor in (*plan.record.inputs, *plan.record.outputs))
        return PlanHalf(plan.record, FakePlan(cuda, names, lambda *_: None))

    return half(found.encode), half(found.regions)


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_built_plans_are_found_checked_and_given_memory(bundle: Bundle, build: Build, precision: PlanPrecision) -> None:
    found = find_plans(bundle, "tensorrt_rtx", build(89, precision=precision))
    assert (found.encode.record.key.precision, found.regions.record.key.precision) == (precision, precision)
    assert found.plugin is None
    assert checked_content(found.regions) == b"a plan"
    for plan, contract in (
        (found.encode, encode_contract(bundle.manifest)),
        (found.regions, regions_contract(bundle.manifest)),
    ):
        tensors = (*plan.record.inputs, *plan.record.outputs)
        check_record(plan.record, contract, tuple(tensor.name for tensor in tensors))
    cuda = FakeCuda()
    encoder = TensorRtEncoder(bundle.manifest, "fake", *halves(found, cuda), driver=cuda)
    blocks = encoder.gpu_use().block_bytes
    for tensor in found.encode.record.outputs:
        assert blocks[tensor.name] == max(stored_bytes(tensor), 256)
    encoder.close()
    assert cuda.is_empty


def test_the_pyramid_lies_as_the_plugin_reads_it(bundle: Bundle, build: Build) -> None:
    found = find_plans(bundle, "tensorrt_rtx", build(89))
    random = np.random.default_rng(0)
    levels = found.regions.record.inputs[:-1]
    assert levels == found.encode.record.outputs[1:]
    for level in levels:
        _, c, h, w = level.shape
        assert None not in (c, h, w)
        assert stored_shape(level) == (1, h, w, -(-int(c or 0) // 8) * 8)
        place = np.full(stored_shape(level), 9, dtype=level.dtype)
        values = random.standard_normal((1, c or 0, h or 0, w or 0), dtype=np.float32)
        store(level, values, place)
        np.testing.assert_allclose(place[0, -1, 0, : c or 0], values[0, :, -1, 0], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(load(level, place), values, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("capabilities", "runs"), [((75, 80, 86, 89, 120, 121), True), ((86, 120), False)])
def test_a_plan_for_several_gpus_runs_on_each_of_them(
    bundle: Bundle, build: Build, capabilities: tuple[int, ...], *, runs: bool
) -> None:
    folder = build(*capabilities)
    if runs:
        assert find_plans(bundle, "tensorrt_rtx", folder).encode.record.key.compute_capabilities == capabilities
        return
    with pytest.raises(PlanError, match="GPU sm_86, sm_120, not sm_89") as refused:
        find_plans(bundle, "tensorrt_rtx", folder)
    assert f"--engine tensorrt-rtx --target sm_89 --out {folder}" in refused.value.advice


def test_another_version_of_the_engine_is_named(bundle: Bundle, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build(89)
    installed_engine(monkeypatch, "1.8.0.1")
    with pytest.raises(PlanError, match=r"version 1\.7\.1\.116, not 1\.8\.0\.1"):
        find_plans(bundle, "tensorrt_rtx", folder)
    first, _ = said_plans(bundle, folder)
    assert first.endswith("version 1.8.0.1 is installed, which cannot read it")


def test_plans_are_told_without_a_gpu(bundle: Bundle, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(said_plans(bundle)) == []
    folder = build(86, 89)
    encode, regions = said_plans(bundle, folder)
    assert encode == "plan of the encode graph for sm_86, sm_89: TensorRT for RTX 1.7.1.116, fp16, 0 MB"
    assert regions.startswith("plan of the regions graph for sm_86, sm_89")
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    assert all(line.endswith("TensorRT for RTX is not installed") for line in said_plans(bundle, folder))
    found = next((folder / bundle.id).glob("regions-*.json"))
    found.write_text("{")
    _, damaged, missing = said_plans(bundle, folder)
    assert damaged.startswith(f"damaged: {found}")
    assert missing == "of TensorRT for RTX there is no regions plan, and one without the other does not run"


def test_what_a_plan_does_not_carry_is_told(bundle: Bundle, build: Build) -> None:
    plan = find_plans(bundle, "tensorrt_rtx", folder := build(89)).regions
    record = plan.record
    write_plan(
        bundle, record.key, memoryview(b"x"), inputs=record.inputs, outputs=record.outputs, tools={}, folder=folder
    )
    assert any("GPT4ROI_PLUGIN=FILE names its library" in line for line in said_plans(bundle, folder))


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(vision_choice.platformdirs, "user_cache_path", lambda _: tmp_path / "cache")
