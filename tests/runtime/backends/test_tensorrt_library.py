"""What is asked of TensorRT's module and of CUDA's, by modules that are none; the real names where the wheels are."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from gpt4roi_runtime.backends import tensorrt_kernels
from gpt4roi_runtime.backends.cuda_driver import CudaBindings, CudaDriver
from gpt4roi_runtime.backends.tensorrt_kernels import KeptKernels
from gpt4roi_runtime.backends.tensorrt_library import (
    LoadedPlan,
    PlanContext,
    TensorRt,
    TensorRtLibrary,
    TensorRtPlan,
    import_tensorrt,
)
from gpt4roi_runtime.errors import EngineError, EngineMissingError


class FakeCompiled:
    """``IRuntimeCache``: holds what it was given, and one kernel more for every context."""

    def __init__(self, trt: "FakeTensorRt", log: Any) -> None:
        self.trt, self.log, self.content = trt, log, b""

    def deserialize(self, content: bytes) -> bool:
        taken: bool = self.trt.answer("bring", len(content), log=self.log)
        if taken:
            self.content = content
        return taken

    def serialize(self) -> memoryview | None:
        written: memoryview | None = self.trt.answer("keep", log=self.log, value=memoryview(self.content))
        return written


class FakeTensorRt:
    """Module ``tensorrt`` or ``tensorrt_rtx``; what it was asked is in ``asked``."""

    __version__ = "1.7.1.116"

    def __init__(self, *, is_rtx: bool, refuse: str = "", known: bool = False, raises: bool = False) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.refuse = refuse
        self.raises = raises
        self.known = known
        self.ILogger = type("ILogger", (), {"Severity": SimpleNamespace(ERROR=1, INTERNAL_ERROR=0)})
        self.ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED="ours")
        self.Runtime = lambda log: FakeRuntime(self, log)
        if is_rtx:
            self.EngineStat = SimpleNamespace(TOTAL_WEIGHTS_SIZE="weights")
            self.CudaGraphStrategy = SimpleNamespace(DISABLED="off")
            self.DynamicShapesKernelSpecializationStrategy = SimpleNamespace(EAGER="eager")

    def answer(self, name: str, *arguments: Any, log: Any, value: Any = True) -> Any:
        self.asked.append((name, *arguments))
        if name != self.refuse:
            return value
        if self.raises:
            raise RuntimeError("it raised")
        log.log(2, "a warning")
        log.log(1, "Error Code 2:\n  out of memory")
        return None if value is not True else False


class FakeRuntime:
    def __init__(self, trt: FakeTensorRt, log: Any) -> None:
        self.trt, self.log = trt, log
        self.engine_host_code_allowed = False

    def get_plugin_registry(self) -> Any:
        return SimpleNamespace(
            get_creator=lambda *name: self.trt.answer("creator", *name, log=self.log, value=self.trt.known or None),
            load_library=lambda path: self.trt.answer("library", path, log=self.log, value="handle"),
        )

    def deserialize_cuda_engine(self, content: bytearray) -> Any:
        return self.trt.answer("load", len(content), log=self.log, value=FakeEngine(self.trt, self.log))


class FakeEngine:
    device_memory_size_v2 = 4096
    num_io_tensors = 2

    def __init__(self, trt: FakeTensorRt, log: Any) -> None:
        self.trt, self.log = trt, log
        self.compiled = FakeCompiled(trt, log)

    def _kept_in(self, cache: FakeCompiled) -> None:
        assert cache is self.compiled
        self.trt.asked.append(("kept in it",))
        cache.content += b"kernel "

    def get_engine_stat(self, which: str) -> int:
        return {"weights": 77}[which]

    def get_tensor_name(self, index: int) -> str:
        return ("pixels", "rows")[index]

    def create_runtime_config(self) -> Any:
        return SimpleNamespace(
            set_execution_context_allocation_strategy=lambda how: self.trt.asked.append(("how", how)),
            create_runtime_cache=lambda: self.trt.answer("cache", log=self.log, value=self.compiled),
            set_runtime_cache=self._kept_in,
        )

    def create_execution_context(self, how: Any) -> Any:
        if isinstance(how, SimpleNamespace):
            self.trt.asked.append(
                ("config", how.cuda_graph_strategy, how.dynamic_shapes_kernel_specialization_strategy)
            )
        else:
            self.trt.asked.append(("how", how))
        return self.trt.answer("context", log=self.log, value=FakeExecution(self.trt, self.log))


class FakeExecution:
    def __init__(self, trt: FakeTensorRt, log: Any) -> None:
        self.trt, self.log = trt, log

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.trt.answer(name, *arguments, log=self.log)


def _runtime(trt: FakeTensorRt, plugin: Path | None = None, **how: bool) -> TensorRt:
    return TensorRt(TensorRtLibrary("tensorrt_rtx", trt.__version__, trt), plugin, **how)


def test_a_plan_is_loaded_and_run_in_the_memory_that_it_is_given() -> None:
    trt = FakeTensorRt(is_rtx=True)
    plan = _runtime(trt).load(bytearray(10), "a.plan")
    assert isinstance(plan, LoadedPlan)
    assert (plan.working_bytes, plan.weight_bytes, plan.tensor_names()) == (4096, 77, ("pixels", "rows"))
    context = plan.new_context(0x1000)
    assert isinstance(context, PlanContext)
    context.set_shape("boxes", [3, 4])
    context.set_address("boxes", 0x2000)
    context.enqueue(7)
    plan.close()
    plan.close()
    assert trt.asked == [
        ("load", 10),
        ("how", "ours"),
        ("cache",),
        ("kept in it",),
        ("config", "off", "eager"),
        ("context",),
        ("set_device_memory", 0x1000, 4096),
        ("set_input_shape", "boxes", (3, 4)),
        ("set_tensor_address", "boxes", 0x2000),
        ("execute_async_v3", 7),
    ]


def test_what_one_context_compiled_is_there_for_the_next() -> None:
    trt = FakeTensorRt(is_rtx=True)
    plan = _runtime(trt).load(bytearray(10), "a.plan")
    for _ in range(3):
        plan.new_context(1)
    assert trt.asked.count(("cache",)) == 1
    assert trt.asked.count(("kept in it",)) == 3


def _kept(folder: Path, plan_sha256: str = "a" * 64) -> KeptKernels:
    return KeptKernels(folder / "regions-sm89.kernels", plan_sha256)


def _opened(trt: FakeTensorRt, kernels: KeptKernels) -> TensorRtPlan:
    plan = _runtime(trt).load(bytearray(10), "a.plan", kernels)
    plan.new_context(1)
    return plan


def test_what_was_compiled_is_there_at_the_next_start(tmp_path: Path) -> None:
    first, second = FakeTensorRt(is_rtx=True), FakeTensorRt(is_rtx=True)
    _opened(first, _kept(tmp_path)).close()
    assert "bring" not in {call[0] for call in first.asked}
    plan = _opened(second, _kept(tmp_path))
    assert ("bring", len(b"kernel ")) in second.asked
    plan.keep_kernels()
    assert _kept(tmp_path).read() == b"kernel kernel "
    plan.close()
    assert [path.name for path in tmp_path.iterdir()] == ["regions-sm89.kernels"]


def test_kernels_are_written_before_their_contexts_are_gone_and_once(tmp_path: Path) -> None:
    trt, kernels = FakeTensorRt(is_rtx=True), _kept(tmp_path)
    plan = _opened(trt, kernels)
    plan.close()
    plan.close()
    assert trt.asked.count(("keep",)) == 1
    again = _kept(tmp_path)
    assert again.read() == b"kernel "
    kernels.path.unlink()
    again.write(b"kernel ")  # nothing new since it was read
    assert not kernels.path.exists()


@pytest.mark.parametrize("raises", [False, True], ids=["says no", "raises"])
@pytest.mark.parametrize("call", ["bring", "keep"])
def test_kernels_that_are_refused_are_compiled_again(tmp_path: Path, call: str, *, raises: bool) -> None:
    _kept(tmp_path).write(b"of another GPU")
    _opened(FakeTensorRt(is_rtx=True, refuse=call, raises=raises), _kept(tmp_path)).close()
    assert _kept(tmp_path).read() == (b"kernel " if call == "bring" else b"of another GPU")


def test_kernels_of_another_plan_damaged_or_out_of_reach_are_none(tmp_path: Path) -> None:
    kernels = _kept(tmp_path)
    assert kernels.read() == b""
    kernels.write(b"kernels")
    assert _kept(tmp_path, "b" * 64).read() == b""
    whole = kernels.path.read_bytes()
    for damaged in (b"", whole[:-1], whole + b"s", b"x" + whole[1:]):
        kernels.path.write_bytes(damaged)
        assert _kept(tmp_path).read() == b""
    kernels.path.unlink()
    kernels.path.mkdir()
    assert kernels.read() == b""
    kernels.write(b"kernels")  # cannot be written, and nobody hears of it
    nowhere = KeptKernels(tmp_path / "none" / "a.kernels", "a" * 64)
    nowhere.write(b"kernels")
    assert not nowhere.path.exists()


def test_too_many_kernels_are_neither_read_nor_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _kept(tmp_path).write(b"kernels")
    monkeypatch.setattr(tensorrt_kernels, "MOST_BYTES", len(b"kernels") - 1)
    assert _kept(tmp_path).read() == b""
    _kept(tmp_path).path.unlink()
    _kept(tmp_path).write(b"kernels")
    assert not _kept(tmp_path).path.exists()


def test_the_full_tensorrt_has_no_settings_for_kernels() -> None:
    trt = FakeTensorRt(is_rtx=False)
    plan = _runtime(trt).load(bytearray(10), "a.plan")
    plan.new_context(1)
    assert plan.weight_bytes == 0
    assert trt.asked[1:3] == [("how", "ours"), ("context",)]


@pytest.mark.parametrize("raises", [False, True], ids=["says no", "raises"])
@pytest.mark.parametrize("call", ["load", "context", "set_input_shape", "set_tensor_address", "execute_async_v3"])
def test_what_is_refused_is_ours_and_quotes_the_reason(call: str, *, raises: bool) -> None:
    trt = FakeTensorRt(is_rtx=True, refuse=call, raises=raises)

    def use() -> None:
        context = _runtime(trt).load(bytearray(10), "a.plan").new_context(1)
        context.set_shape("boxes", [1, 4])
        context.set_address("boxes", 1)
        context.enqueue(1)

    with pytest.raises(EngineError) as refused:
        use()
    assert "a.plan" in refused.value.problem
    assert ("it raised" if raises else "Error Code 2: out of memory") in refused.value.problem
    assert "warning" not in refused.value.problem
    assert refused.value.advice


def test_an_earlier_complaint_is_not_taken_for_the_reason() -> None:
    trt = FakeTensorRt(is_rtx=True, refuse="execute_async_v3")
    context = _runtime(trt).load(bytearray(1), "a.plan").new_context(1)
    for _ in range(2):
        with pytest.raises(EngineError) as refused:
            context.enqueue(1)
    assert refused.value.problem.count("out of memory") == 1


def test_the_operators_library_is_loaded_unless_it_is_known(tmp_path: Path) -> None:
    (library := tmp_path / "libgpt4roi_roi_align.so").touch()
    fresh, again = FakeTensorRt(is_rtx=True), FakeTensorRt(is_rtx=True, known=True)
    for trt in (fresh, again):
        _runtime(trt, library)
    assert ("library", str(library)) in fresh.asked
    assert [one[0] for one in again.asked] == ["creator"]
    assert fresh.asked[0] == ("creator", "PyramidRoiAlign", "1", "gpt4roi")


def test_an_operators_library_that_is_refused_or_missing_says_so(tmp_path: Path) -> None:
    with pytest.raises(EngineMissingError, match="is missing"):
        _runtime(FakeTensorRt(is_rtx=True), tmp_path / "none.so")
    (library := tmp_path / "some.so").touch()
    with pytest.raises(EngineError, match=r"some\.so is refused"):
        _runtime(FakeTensorRt(is_rtx=True, refuse="library"), library)


@pytest.mark.parametrize("allowed", [False, True])
def test_code_in_a_plan_runs_only_where_it_was_allowed(*, allowed: bool) -> None:
    assert _runtime(FakeTensorRt(is_rtx=True), code_in_plans=allowed)._runtime.engine_host_code_allowed is allowed


def test_a_module_that_is_missing_or_broken_names_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(EngineMissingError) as missing:
        import_tensorrt("tensorrt_rtx")
    assert "gpt4roi-edge[rtx]" in missing.value.advice
    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
    with pytest.raises(EngineMissingError, match="broken") as broken:
        import_tensorrt("tensorrt")
    assert "--system-site-packages" in broken.value.advice


# --- CUDA


class FakeRuntimeApi(ModuleType):
    """``cuda.bindings.runtime``: every call gives a status and a number; ``fails`` names one that does not."""

    def __init__(self, fails: str = "", *, raises: bool = False) -> None:
        super().__init__("cuda.bindings.runtime")
        self.fails, self.raises = fails, raises
        self.asked: list[tuple[Any, ...]] = []
        self.cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice="in", cudaMemcpyDeviceToHost="out")
        self.cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal="local")

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cuda"):
            raise AttributeError(name)
        if name == "cudaGetErrorString":
            return lambda status: (0, b"out of memory")

        def call(*arguments: Any) -> tuple[Any, ...]:
            self.asked.append((name, *arguments))
            if name == self.fails:
                if self.raises:
                    raise RuntimeError("no library")
                return (2, None)
            return (0, 5, 6) if name == "cudaMemGetInfo" else (0, 42)

        return call


def _cuda(monkeypatch: pytest.MonkeyPatch, api: FakeRuntimeApi) -> CudaBindings:
    for name in ("cuda", "cuda.bindings"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", api)
    return CudaBindings()


def _everything(cuda: CudaDriver) -> None:
    cuda.memory()
    cuda.free(cuda.allocate(10))
    cuda.free_pinned(cuda.allocate_pinned(11))
    stream = cuda.new_stream()
    cuda.copy_in(1, 2, 3, stream)
    cuda.copy_out(4, 5, 6, stream)
    cuda.begin_recording(stream)
    recording = cuda.end_recording(stream)
    cuda.play(recording, stream)
    cuda.wait(stream)
    cuda.drop(recording)
    cuda.end_stream(stream)


CALLS = [
    ("cudaMemGetInfo",),
    ("cudaMalloc", 10),
    ("cudaFree", 42),
    ("cudaHostAlloc", 11, 0),
    ("cudaFreeHost", 42),
    ("cudaStreamCreateWithFlags", 1),
    ("cudaMemcpyAsync", 1, 2, 3, "in", 42),
    ("cudaMemcpyAsync", 4, 5, 6, "out", 42),
    ("cudaStreamBeginCapture", 42, "local"),
    ("cudaStreamEndCapture", 42),
    ("cudaGraphInstantiate", 42, 0),
    ("cudaGraphDestroy", 42),
    ("cudaGraphLaunch", 42, 42),
    ("cudaStreamSynchronize", 42),
    ("cudaGraphExecDestroy", 42),
    ("cudaStreamDestroy", 42),
]


def test_every_wish_is_one_call_of_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    api = FakeRuntimeApi()
    cuda = _cuda(monkeypatch, api)
    assert isinstance(cuda, CudaDriver)
    assert cuda.memory() == (5, 6)
    api.asked.clear()
    _everything(cuda)
    assert api.asked == CALLS


@pytest.mark.parametrize("raises", [False, True], ids=["status", "raises"])
@pytest.mark.parametrize("call", sorted({call[0] for call in CALLS}))
def test_what_cuda_refuses_is_ours_and_names_the_call(
    monkeypatch: pytest.MonkeyPatch, call: str, *, raises: bool
) -> None:
    with pytest.raises(EngineError, match=f"{call} failed: {'no library' if raises else 'out of memory'}"):
        _everything(_cuda(monkeypatch, FakeRuntimeApi(call, raises=raises)))


def test_without_the_bindings_the_pip_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda", None)
    with pytest.raises(EngineMissingError, match="cuda-bindings") as missing:
        CudaBindings()
    assert "gpt4roi-edge[rtx]" in missing.value.advice
