"""Which engines on a GPU come before those on the CPU for a bundle, and why one of them does not; loads none.

Without an NVIDIA GPU, as most machines are, this is one question to the system's loader: nothing else is imported.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gpt4roi_runtime.backends.cuda_device import find_cuda_device
from gpt4roi_runtime.backends.distributions import (
    GPU_ONNXRUNTIME_DISTRIBUTIONS,
    RTX_DISTRIBUTIONS,
    TENSORRT_DISTRIBUTIONS,
    installed,
)
from gpt4roi_runtime.backends.vision_settings import ENGINE_NAMES, VisionEngine, VisionSettings
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.errors import EngineError, EngineMissingError

Look = Callable[[Bundle], object]


def _tensorrt(bundle: Bundle) -> object:
    from gpt4roi_runtime.backends.tensorrt_open import find_plans

    return find_plans(bundle, "tensorrt")


def _tensorrt_rtx(bundle: Bundle) -> object:
    from gpt4roi_runtime.backends.tensorrt_open import find_plans

    return find_plans(bundle, "tensorrt_rtx")


def _onnxruntime_cuda(_: Bundle) -> None:
    from gpt4roi_runtime.backends.onnxruntime_cuda import check_cuda

    check_cuda()


LOOKS: tuple[tuple[VisionEngine, Look], ...] = (
    (VisionEngine("tensorrt", "auto"), _tensorrt),
    (VisionEngine("tensorrt-rtx", "auto"), _tensorrt_rtx),
    (VisionEngine("onnxruntime-cuda"), _onnxruntime_cuda),
)
"""In the order in which they are preferred; each says whether all that the engine needs is there."""


@dataclass(frozen=True)
class Candidate:
    """One engine on a GPU.

    Attributes:
        engine: Which.
        refused: Why it is not taken, or None: then it is worth loading.
        advice: What would change that.
    """

    engine: VisionEngine
    refused: str | None = None
    advice: str = ""


def missing_gpu(find: Callable[[], object] = find_cuda_device) -> EngineMissingError | None:
    """Why no engine on a GPU can run here at all: no driver, or no GPU; None where one can."""
    try:
        find()
    except EngineMissingError as error:
        return error
    return None


def candidates(
    bundle: Bundle,
    settings: VisionSettings,
    looks: tuple[tuple[VisionEngine, Look], ...] = LOOKS,
    find: Callable[[], object] = find_cuda_device,
) -> tuple[Candidate, ...]:
    """Every engine on a GPU, the preferred first; none without a GPU, or where the user named another engine.

    A precision of the CPU's names one too. In float32 by name, TensorRT is left out: what its plans round is the
    plans' own.
    """
    if settings.backend != "auto" or settings.precision == "bf16" or missing_gpu(find) is not None:
        return ()
    asked = [(engine, look) for engine, look in looks if settings.precision in ("auto", engine.precision)]
    return tuple(_looked(bundle, engine, look) for engine, look in asked)


def _looked(bundle: Bundle, engine: VisionEngine, look: Look) -> Candidate:
    try:
        look(bundle)
    except EngineError as error:
        return Candidate(engine, error.problem, error.advice)
    return Candidate(engine)


def gave_way(bundle: Bundle, refused: tuple[Candidate, ...]) -> str | None:
    """A line for a person whose vision half runs on the CPU beside a GPU, or None where nobody meant it to run there.

    Args:
        bundle: Whose vision half.
        refused: Every engine on the GPU, and why it was not taken, a failure of loading too.
    """
    for candidate in refused:
        if candidate.refused is not None and _is_meant(bundle, candidate.engine):
            name = ENGINE_NAMES[candidate.engine.backend]
            return f"the CPU runs the vision half, not the GPU: {name}: {candidate.refused}; see `gpt4roi doctor`"
    return None


def _is_meant(bundle: Bundle, engine: VisionEngine) -> bool:
    """Whether somebody installed its package, or built plans for it."""
    if engine.backend == "onnxruntime-cuda":
        return bool(installed(GPU_ONNXRUNTIME_DISTRIBUTIONS))
    from gpt4roi_runtime.bundle.plans import read_plans

    packages, module = {
        "tensorrt": (TENSORRT_DISTRIBUTIONS, "tensorrt"),
        "tensorrt-rtx": (RTX_DISTRIBUTIONS, "tensorrt_rtx"),
    }[engine.backend]
    plans, _ = read_plans(bundle)
    return bool(installed(packages)) or any(plan.record.key.engine == module for plan in plans)
