"""TensorRT and TensorRT for RTX, imported late: a plan made ready to run; knows no bundle, no image and no memory.

Both have the same face. What a test without a GPU cannot have is behind ``LoadedPlan`` and ``PlanContext``.
"""

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from gpt4roi_runtime.backends.tensorrt_kernels import KeptKernels
from gpt4roi_runtime.bundle.plans import PlanEngine
from gpt4roi_runtime.errors import EngineError, EngineMissingError

NAMES: dict[PlanEngine, str] = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT for RTX"}
INSTALL: dict[PlanEngine, str] = {
    "tensorrt": "pip install 'gpt4roi-edge[tensorrt]'; on a Jetson, JetPack's own in an environment that was made "
    "with --system-site-packages, and pip install 'gpt4roi-edge[jetson]'",
    "tensorrt_rtx": "pip install 'gpt4roi-edge[rtx]'",
}
_SPOKEN = 3
"""Messages that an error repeats."""
_LOADING = threading.Lock()


@runtime_checkable
class PlanContext(Protocol):
    """One way through a plan: its inputs' shapes and everybody's addresses. Raises EngineError where refused."""

    def set_shape(self, name: str, shape: Sequence[int]) -> None:
        """Of an input with a free axis."""
        ...

    def set_address(self, name: str, address: int) -> None:
        """Of an input or output, on the GPU."""
        ...

    def enqueue(self, stream: int) -> None:
        """Put a run into a stream."""
        ...


@runtime_checkable
class LoadedPlan(Protocol):
    """A plan whose weights are on the GPU.

    Attributes:
        working_bytes: Memory that a run works in.
        weight_bytes: Of its weights, or 0 where it does not say.
    """

    working_bytes: int
    weight_bytes: int

    def new_context(self, working_memory: int) -> PlanContext:
        """A way through it that works in memory at this address.

        Raises:
            EngineError: It cannot be made.
        """
        ...

    def tensor_names(self) -> tuple[str, ...]:
        """All inputs and outputs."""
        ...

    def close(self) -> None:
        """Free contexts and weights; closing twice is harmless."""
        ...


@dataclass(frozen=True)
class TensorRtLibrary:
    """One of the two, imported.

    Attributes:
        engine: Which.
        version: Its whole version.
        module: For whoever needs more of it.
    """

    engine: PlanEngine
    version: str
    module: Any

    def __str__(self) -> str:
        return f"{NAMES[self.engine]} {self.version}"


def import_tensorrt(engine: PlanEngine) -> TensorRtLibrary:
    """The module, imported when it is first needed.

    Raises:
        EngineMissingError: It is not installed, or what is installed is broken.
    """
    name = NAMES[engine]
    try:
        module: Any = import_module(engine)
    except (ImportError, OSError) as error:  # a library that it links to is missing
        raise EngineMissingError(f"{name} cannot be imported: {error}", INSTALL[engine]) from error
    if not hasattr(module, "Runtime") or not hasattr(module, "ILogger"):
        raise EngineMissingError(f"{name} is broken: a part of it is missing", INSTALL[engine])
    return TensorRtLibrary(engine, str(module.__version__), module)


class TensorRt:
    """A runtime of one of the two, with our operator known to it.

    Args:
        library: Imported.
        plugin: The library of our operator; ``None`` if the plans carry it, or need none.
        code_in_plans: Whether plans may carry the code of an operator; only where they are trusted.

    Raises:
        EngineError: It does not start, or does not take the operator's library.
    """

    def __init__(self, library: TensorRtLibrary, plugin: Path | None, *, code_in_plans: bool = False) -> None:
        self.library = library
        trt = library.module
        self._log = _listener(trt)
        try:
            self._runtime: Any = trt.Runtime(self._log)
            self._runtime.engine_host_code_allowed = code_in_plans
            if plugin is not None:
                with _LOADING:  # the registry is the process's: the second load of one library is refused
                    _load_plugin(self._runtime, plugin)
        except EngineError:
            raise
        except Exception as error:  # its exceptions share no base but Exception
            raise EngineError(f"{library} does not start: {self.reason(error)}", _ADVICE) from error

    def load(self, content: bytearray, what: str, kernels: KeptKernels | None = None) -> "TensorRtPlan":
        """A plan from its bytes, which must be trusted: they are code.

        Args:
            content: The bytes.
            what: Its name, for people.
            kernels: Where TensorRT for RTX keeps what it compiles for this plan; ``None`` keeps nothing.

        Raises:
            EngineError: It is refused.
        """
        self.forget()
        try:
            engine = self._runtime.deserialize_cuda_engine(content)
        except Exception as error:  # its exceptions share no base but Exception
            raise EngineError(f"{self.library} refuses {what}: {self.reason(error)}", _AGAIN) from error
        if engine is None:
            raise EngineError(f"{self.library} refuses {what}: {self.reason()}", _AGAIN)
        return TensorRtPlan(self, engine, what, kernels)

    def reason(self, error: Exception | None = None) -> str:
        """What it said last, or the error's own words."""
        said = "; ".join(self._log.errors[-_SPOKEN:])
        return said or (str(error) if error is not None and str(error) else "it gave no reason")

    def forget(self) -> None:
        """Drop what was said so far: it is about something else."""
        self._log.errors.clear()

    def close(self) -> None:
        """Free the runtime; its plans must be closed before."""
        self._runtime = None


class TensorRtPlan:
    """LoadedPlan of a real engine."""

    def __init__(self, runtime: TensorRt, engine: Any, what: str, kernels: KeptKernels | None = None) -> None:
        self._runtime = runtime
        self._engine: Any = engine
        self._what = what
        self._kernels = kernels
        self._contexts: list[TensorRtContext] = []
        self._compiled: Any = None
        trt = runtime.library.module
        self.working_bytes = int(engine.device_memory_size_v2)
        statistic = getattr(trt, "EngineStat", None)
        self.weight_bytes = int(engine.get_engine_stat(statistic.TOTAL_WEIGHTS_SIZE)) if statistic is not None else 0

    def tensor_names(self) -> tuple[str, ...]:
        """See LoadedPlan."""
        return tuple(str(self._engine.get_tensor_name(index)) for index in range(self._engine.num_io_tensors))

    def new_context(self, working_memory: int) -> "TensorRtContext":
        """See LoadedPlan; contexts of a plan take turns in the memory that they are given."""
        self._runtime.forget()
        try:
            made = self._made()
            if made is not None:
                if hasattr(made, "set_device_memory"):
                    made.set_device_memory(working_memory, self.working_bytes)
                else:
                    made.device_memory = working_memory
        except Exception as error:  # its exceptions share no base but Exception
            raise EngineError(f"{self._what} cannot be run: {self._runtime.reason(error)}", _ADVICE) from error
        if made is None:
            raise EngineError(f"{self._what} cannot be run: {self._runtime.reason()}", _ADVICE)
        context = TensorRtContext(self._runtime, made, self._what)
        self._contexts.append(context)
        return context

    def close(self) -> None:
        """See LoadedPlan."""
        self.keep_kernels()
        for context in self._contexts:
            context.close()
        self._contexts.clear()
        self._compiled = None
        self._engine = None

    def keep_kernels(self) -> None:
        """Write down what was compiled so far, where the engine compiles where it runs."""
        if self._compiled is None or self._kernels is None:
            return
        with suppress(Exception):  # its exceptions share no base but Exception; without, they are compiled again
            if (serialized := self._compiled.serialize()) is not None:
                self._kernels.write(bytes(serialized))

    def _bring_kernels(self) -> None:
        if self._kernels is not None and (kept := self._kernels.read()):
            with suppress(Exception):  # as above; it says no to those of another GPU or version, and has none then
                self._compiled.deserialize(kept)

    def _made(self) -> Any:
        trt = self._runtime.library.module
        by_us = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        specialise = getattr(trt, "DynamicShapesKernelSpecializationStrategy", None)
        if specialise is None:
            return self._engine.create_execution_context(by_us)
        config = self._engine.create_runtime_config()  # TensorRT for RTX compiles kernels where they run
        config.set_execution_context_allocation_strategy(by_us)
        config.cuda_graph_strategy = trt.CudaGraphStrategy.DISABLED  # we record ourselves, the copies too
        config.dynamic_shapes_kernel_specialization_strategy = specialise.EAGER  # a recording keeps what it met
        if self._compiled is None:
            self._compiled = config.create_runtime_cache()
            self._bring_kernels()
        config.set_runtime_cache(self._compiled)  # what one context compiled, the next one need not
        return self._engine.create_execution_context(config)


class TensorRtContext:
    """PlanContext of a real engine."""

    def __init__(self, runtime: TensorRt, context: Any, what: str) -> None:
        self._runtime = runtime
        self._context: Any = context
        self._what = what

    def set_shape(self, name: str, shape: Sequence[int]) -> None:
        """See PlanContext."""
        self._done(f"the shape {list(shape)} of {name}", "set_input_shape", name, tuple(shape))

    def set_address(self, name: str, address: int) -> None:
        """See PlanContext."""
        self._done(f"an address for {name}", "set_tensor_address", name, address)

    def enqueue(self, stream: int) -> None:
        """See PlanContext."""
        self._done("a run", "execute_async_v3", stream)

    def close(self) -> None:
        """Free it."""
        self._context = None

    def _done(self, what: str, method: str, *arguments: object) -> None:
        self._runtime.forget()
        try:
            taken = getattr(self._context, method)(*arguments)
        except Exception as error:  # its exceptions share no base but Exception
            raise EngineError(f"{self._what} refuses {what}: {self._runtime.reason(error)}", _ADVICE) from error
        if not taken:
            raise EngineError(f"{self._what} refuses {what}: {self._runtime.reason()}", _ADVICE)


def _load_plugin(runtime: Any, plugin: Path) -> None:
    registry = runtime.get_plugin_registry()
    if registry.get_creator("PyramidRoiAlign", "1", "gpt4roi") is not None:
        return
    if not plugin.is_file():
        raise EngineMissingError(f"the operator's library {plugin} is missing", "docs/nvidia.md says how to build it.")
    if registry.load_library(str(plugin.resolve())) is None:
        raise EngineError(f"the operator's library {plugin} is refused", "Build it again: docs/nvidia.md says how.")


def _listener(trt: Any) -> Any:
    """A logger that keeps what went wrong, and prints nothing."""
    bad = (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR)

    class Listener(trt.ILogger):  # type: ignore[misc]
        """Called from native code, in any thread."""

        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: object, message: str) -> None:
            """Note one message."""
            if severity in bad:
                self.errors.append(" ".join(str(message).split()))

    return Listener()


_ADVICE = "`gpt4roi doctor` shows the GPU and its memory; --vision-backend onnxruntime takes the CPU."
_AGAIN = "Build the plan again on this machine: gpt4roi-export engines --force."
