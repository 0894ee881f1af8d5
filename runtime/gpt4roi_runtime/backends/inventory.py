"""Which engines are installed, which of them work, and why the others do not; loads no model."""

from dataclasses import dataclass

from gpt4roi_runtime.backends.cuda_device import find_cuda_device
from gpt4roi_runtime.backends.distributions import RTX_DISTRIBUTIONS, TENSORRT_DISTRIBUTIONS, installed, version_of
from gpt4roi_runtime.backends.llama_cpp_devices import find_offload
from gpt4roi_runtime.backends.llama_cpp_library import load_library
from gpt4roi_runtime.backends.llama_cpp_selftest import SelfTest
from gpt4roi_runtime.backends.onnx_graph import import_onnxruntime
from gpt4roi_runtime.backends.openvino_library import INSTALL, computes_bf16, import_openvino, openvino_version
from gpt4roi_runtime.backends.tensorrt_library import NAMES, import_tensorrt
from gpt4roi_runtime.bundle.plans import PlanEngine
from gpt4roi_runtime.errors import EngineError, EngineMissingError


@dataclass(frozen=True)
class EngineFinding:
    """One engine.

    Attributes:
        name: Its name.
        works: Whether this program can use it now.
        detail: Version and devices where it works, else the reason.
        advice: What to do about it, or an empty string.
    """

    name: str
    works: bool
    detail: str
    advice: str = ""


def find_engines() -> tuple[EngineFinding, ...]:
    """Look at every engine this program knows by name."""
    return (
        _onnxruntime(),
        _llama_cpp(),
        _openvino(),
        _gpu(),
        _tensorrt("tensorrt", TENSORRT_DISTRIBUTIONS),
        _tensorrt("tensorrt_rtx", RTX_DISTRIBUTIONS),
    )


def _onnxruntime() -> EngineFinding:
    name = "ONNX Runtime (vision, CPU)"
    try:
        ort = import_onnxruntime()
    except EngineError as error:
        return EngineFinding(name, works=False, detail=error.problem, advice=error.advice)
    return EngineFinding(
        name, works=True, detail=f"{ort.__version__}, providers {', '.join(ort.get_available_providers())}"
    )


def _llama_cpp() -> EngineFinding:
    name = "llama.cpp (language)"
    try:
        library = load_library()
        verdict = SelfTest().verdict()
    except EngineError as error:
        return EngineFinding(name, works=False, detail=error.problem, advice=error.advice)
    offload = find_offload(library.api)
    return EngineFinding(name, works=True, detail=f"{offload}; {library.system}", advice=verdict.note or "")


def _openvino() -> EngineFinding:
    """A second engine of the vision half; nobody has to have it, so its absence is no fault to mend."""
    name = "OpenVINO (vision)"
    try:
        core = import_openvino().Core()
    except EngineMissingError as error:
        missing = version_of("openvino") is None
        detail = f"not installed; it is not needed, but may be faster: {INSTALL}" if missing else error.problem
        return EngineFinding(name, works=False, detail=detail, advice="" if missing else error.advice)
    bf16 = "bfloat16" if computes_bf16(core) else "no bfloat16 of this processor's own"
    return EngineFinding(
        name, works=True, detail=f"{openvino_version()}, devices {', '.join(core.available_devices)}, {bf16}"
    )


def _gpu() -> EngineFinding:
    """No engine, but what those on a GPU stand on; most machines have none, so that is no fault."""
    name = "NVIDIA GPU"
    try:
        device = find_cuda_device()
    except EngineMissingError as error:
        return EngineFinding(name, works=False, detail=error.problem)
    return EngineFinding(name, works=True, detail=str(device))


def _tensorrt(engine: PlanEngine, distributions: tuple[str, ...]) -> EngineFinding:
    """Whether it can be imported: on a Jetson it belongs to the system, and is no distribution here."""
    name = f"{NAMES[engine]} (vision, GPU)"
    here = ", ".join(installed(distributions))
    try:
        library = import_tensorrt(engine)
    except EngineMissingError as error:
        detail = error.problem if here else "not installed; it is not needed without an NVIDIA GPU"
        return EngineFinding(name, works=False, detail=detail, advice=error.advice if here else "")
    return EngineFinding(name, works=True, detail=here or f"{library.version}, the system's")
