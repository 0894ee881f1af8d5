"""Which engines are installed, which of them work, and why the others do not; loads no model."""

from dataclasses import dataclass
from importlib import metadata

from gpt4roi_runtime.backends.llama_cpp_library import load_library
from gpt4roi_runtime.backends.llama_cpp_selftest import SelfTest
from gpt4roi_runtime.backends.onnx_graph import import_onnxruntime
from gpt4roi_runtime.backends.openvino_library import INSTALL, computes_bf16, import_openvino, openvino_version
from gpt4roi_runtime.errors import EngineError, EngineMissingError

ONNXRUNTIME_DISTRIBUTIONS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    "onnxruntime-directml",
    "onnxruntime-qnn",
    "onnxruntime-training",
    "ort-nightly",
    "ort-nightly-gpu",
)
"""All of them install one import package, so the last one wins and removing any of them breaks the rest."""

_WITHOUT_BACKEND = {"TensorRT": ("tensorrt", "tensorrt-rtx")}


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
        *(_unused(name, names) for name, names in _WITHOUT_BACKEND.items()),
    )


def installed_onnxruntimes() -> tuple[str, ...]:
    """Every distribution of ONNX Runtime in this environment, as ``name version``; more than one is a fault."""
    found = ((name, version_of(name)) for name in ONNXRUNTIME_DISTRIBUTIONS)
    return tuple(f"{name} {version}" for name, version in found if version is not None)


def version_of(distribution: str) -> str | None:
    """Installed version of a distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


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
    name = "llama.cpp (language, CPU)"
    try:
        library = load_library()
        verdict = SelfTest().verdict()
    except EngineError as error:
        return EngineFinding(name, works=False, detail=error.problem, advice=error.advice)
    return EngineFinding(name, works=True, detail=library.system, advice=verdict.note or "")


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


def _unused(name: str, distributions: tuple[str, ...]) -> EngineFinding:
    found = [f"{one} {version}" for one in distributions if (version := version_of(one)) is not None]
    state = f"{', '.join(found)} installed" if found else "not installed"
    return EngineFinding(name, works=False, detail=f"{state}; this version has no backend for it")
